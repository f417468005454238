//! Which servers are trusted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tracing::warn;

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
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| refused(path, &error))?;
        }
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
            let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| refused(key, &error))?;
            builder.with_client_auth_cert(certificates(certificate)?, key_der)?
        }
    };
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| refused(path, &error))?;
    if found.is_empty() {
        return Err(refused(path, &"it holds no PEM certificate"));
    }
    Ok(found)
}

fn refused(path: &Path, what: &dyn std::fmt::Display) -> TlsSetupError {
    TlsSetupError::File { path: path.to_owned(), what: what.to_string() }
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
    }
}
