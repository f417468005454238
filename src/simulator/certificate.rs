//! The simulated cloud's own certification authority.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const LEAF: &str = "server.pem";
const KEY: &str = "server.key";
const CA: &str = "ca.pem";

/// Makes the TLS configuration of the servers and returns it with the file to trust.
///
/// The certificates that `directory` holds from an earlier start are used again, so that a client that trusts them
/// survives a restart of the simulator.
///
/// # Errors
///
/// Fails when `directory` cannot be read or written, or holds something else under these names.
pub fn prepare(directory: &Path, address: IpAddr) -> io::Result<(Arc<ServerConfig>, PathBuf)> {
    let ca = directory.join(CA);
    let kept = [CA, LEAF, KEY].iter().all(|name| directory.join(name).exists());
    if !kept {
        make(directory, address)?;
    }
    let leaf = CertificateDer::from_pem_file(directory.join(LEAF)).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(directory.join(KEY)).map_err(io::Error::other)?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![leaf], key)
        .map_err(io::Error::other)?;
    Ok((Arc::new(config), ca))
}

fn make(directory: &Path, address: IpAddr) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut params = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "navien2mqtt simulated cloud");
    let ca_key = KeyPair::generate().map_err(io::Error::other)?;
    let ca = params.self_signed(&ca_key).map_err(io::Error::other)?;
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), address.to_string()];
    let mut leaf = CertificateParams::new(names).map_err(io::Error::other)?;
    leaf.distinguished_name.push(DnType::CommonName, "localhost");
    // Strict clients, such as Python from 3.13 on, refuse a certificate that does not name its authority's key.
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let leaf = leaf.signed_by(&key, &Issuer::new(params, ca_key)).map_err(io::Error::other)?;
    fs::write(directory.join(CA), ca.pem())?;
    fs::write(directory.join(LEAF), leaf.pem())?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(directory.join(KEY))?;
    file.write_all(key.serialize_pem().as_bytes())
}
