//! A certificate authority of the test's own, with one server and one client.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

/// PEM files in a folder that ends with the value.
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    pub fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "localhost");
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub fn ca(&self) -> String {
        self.path("ca.pem")
    }

    pub fn server(&self) -> String {
        self.path("server.pem")
    }

    pub fn server_key(&self) -> String {
        self.path("server.key")
    }

    pub fn client(&self) -> String {
        self.path("client.pem")
    }

    pub fn client_key(&self) -> String {
        self.path("client.key")
    }
}

/// Writes a new authority, and a server and a client of it that are called `host`, under the names that the simulator
/// uses as well.
pub fn write(folder: &Path, host: &str) {
    write_valid_from(1975, folder, host);
}

/// The same, valid from the beginning of this year on.
pub fn write_valid_from(year: i32, folder: &Path, host: &str) {
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().unwrap();
    let certificate = authority.self_signed(&key).unwrap();
    fs::write(folder.join("ca.pem"), certificate.pem()).unwrap();
    let issuer = Issuer::new(authority, key);
    for (name, usage) in
        [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
    {
        let mut leaf = CertificateParams::new(vec![host.to_owned()]).unwrap();
        leaf.distinguished_name.push(rcgen::DnType::CommonName, name);
        leaf.extended_key_usages = vec![usage];
        leaf.not_before = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = leaf.signed_by(&key, &issuer).unwrap();
        fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}
