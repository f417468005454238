//! Which servers are trusted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use tracing::warn;

use crate::config::Pem;

/// Says why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// A file cannot be used.
    #[error("{}: {what}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Nothing is trusted.
    #[error("this system has no trusted root certificates (the package ca-certificates), and no ca_file is set")]
    NoRoots,
    /// The library refuses the combination.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// Trusts the system's roots and those of `ca_file`, and shows `client`, a certificate and its key, when it is given.
///
/// # Errors
///
/// Names the file that cannot be used.
pub fn client_config(
    ca_file: Option<&Path>,
    client: Option<(&Path, &Path)>,
) -> Result<Arc<ClientConfig>, TlsSetupError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    // One bad certificate among the system's costs only itself.
    let (of_the_system, _) = roots.add_parsable_certificates(system.certs);
    if of_the_system == 0 && ca_file.is_some() {
        warn!("This system has no trusted root certificates; only those of ca_file are trusted");
    }
    if let Some(path) = ca_file {
        trust(&mut roots, &read(path)?).map_err(|what| refused(path, what))?;
    }
    if roots.is_empty() {
        return Err(TlsSetupError::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(&read(certificate)?).map_err(|what| refused(certificate, what))?;
            builder.with_client_auth_cert(chain, private_key(&read(key)?).map_err(|what| refused(key, what))?)?
        }
    };
    Ok(Arc::new(config))
}

/// Checks what a file holds.
///
/// # Errors
///
/// Says what is wrong with it, without a word of what it holds.
pub fn check(file: &[u8], pem: Pem<'_>) -> Result<(), String> {
    match pem {
        Pem::Roots => trust(&mut RootCertStore::empty(), file),
        Pem::Certificate => certificates(file).map(drop),
        Pem::Key { certificate } => {
            let key = private_key(file)?;
            // Without a certificate there is another mistake to mend first.
            let Some(chain) = certificate.and_then(|certificate| certificates(certificate).ok()) else { return Ok(()) };
            let fits = CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider());
            fits.map(drop).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => "it is not the key of the certificate".to_owned(),
                other => other.to_string(),
            })
        }
    }
}

fn trust(roots: &mut RootCertStore, file: &[u8]) -> Result<(), String> {
    certificates(file)?.into_iter().try_for_each(|root| roots.add(root)).map_err(|error| error.to_string())
}

fn certificates(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Option<Vec<_>> = CertificateDer::pem_slice_iter(file).collect::<Result<_, _>>().ok();
    found.filter(|found| !found.is_empty()).ok_or_else(|| "it holds no PEM certificate".to_owned())
}

/// The parser's own words can quote what it read, so they are not passed on.
fn private_key(file: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(file).map_err(|_| "it holds no PEM private key".to_owned())
}

fn read(path: &Path) -> Result<Vec<u8>, TlsSetupError> {
    std::fs::read(path).map_err(|error| refused(path, format!("it cannot be read: {error}")))
}

fn refused(path: &Path, what: String) -> TlsSetupError {
    TlsSetupError::File { path: path.to_owned(), what }
}

/// Returns whether a certificate was refused because it begins to be valid later than our clock says it is: then the clock
/// is wrong, since nobody uses certificates of the future.
pub fn is_of_the_future(error: &rustls::Error) -> bool {
    use rustls::CertificateError::{NotValidYet, NotValidYetContext};
    matches!(error, rustls::Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "no certificate here\n").unwrap();
        let error = client_config(Some(&empty), None).unwrap_err().to_string();
        assert!(error.contains("empty.pem") && error.contains("no PEM certificate"), "{error}");
        let missing = folder.path().join("missing.pem");
        assert!(client_config(Some(&missing), None).unwrap_err().to_string().contains("missing.pem"));
    }

    #[test]
    fn what_is_wrong_with_a_key_is_said_without_a_word_of_it() {
        let damaged = b"-----BEGIN PRIVATE KEY----- hush\nhush\n-----END";
        assert_eq!(check(damaged, Pem::Key { certificate: None }).unwrap_err(), "it holds no PEM private key");
    }

    #[cfg(feature = "simulator")]
    #[test]
    fn a_client_shows_its_certificate_only_with_the_right_key() {
        let folder = tempfile::tempdir().unwrap();
        let made = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (own, strangers) = (made(), made());
        let certificate = write("client.pem", own.cert.pem());
        let key = write("client.key", own.signing_key.serialize_pem());
        let strangers_key = write("other.key", strangers.signing_key.serialize_pem());
        let shown = |key| client_config(Some(&certificate), Some((&certificate, key)));
        assert!(shown(&key).unwrap().client_auth_cert_resolver.has_certs());
        assert!(matches!(shown(&strangers_key), Err(TlsSetupError::Tls(_))));
        let error = shown(&certificate).unwrap_err().to_string();
        assert!(error.contains("client.pem"), "{error}");

        let [chain, key, strangers_key] = [certificate, key, strangers_key].map(|path| std::fs::read(path).unwrap());
        let fits = |key: &[u8], certificate| check(key, Pem::Key { certificate });
        assert_eq!((check(&chain, Pem::Roots), check(&chain, Pem::Certificate)), (Ok(()), Ok(())));
        assert_eq!((fits(&key, Some(&chain)), fits(&strangers_key, None)), (Ok(()), Ok(())));
        assert_eq!(fits(&strangers_key, Some(&chain)).unwrap_err(), "it is not the key of the certificate");
        assert!(
            check(&key, Pem::Roots).is_err() && check(&key, Pem::Certificate).is_err() && fits(&chain, None).is_err()
        );
    }
}
