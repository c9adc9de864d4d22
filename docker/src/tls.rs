//! TLS for `tcp://` builders and Docker daemons: which files, and how they
//! become a rustls configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Files and names for a TLS connection. With no `ca`, the system's own
/// certificate authorities are trusted. With `cert` and `key` the client shows
/// who it is (mTLS).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM file of the certificate authorities to trust.
    pub ca: Option<PathBuf>,
    /// PEM file of the client's certificate chain.
    pub cert: Option<PathBuf>,
    /// PEM file of the client's private key.
    pub key: Option<PathBuf>,
    /// The name that the server's certificate must hold, where it isn't the
    /// host in the address.
    pub server_name: Option<String>,
}

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read or holds no PEM of the wanted kind.
    #[error("{what} {}: {reason}", path.display())]
    File {
        /// Which file it is.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// One of certificate and key was given without the other.
    #[error("a client certificate needs its key, and a key its certificate: give both")]
    HalfIdentity,
    /// No trusted certificate authorities on this system.
    #[error("no certificate authorities: {0}; install ca-certificates or give a CA file")]
    NoSystemRoots(String),
    /// rustls refused the certificate or key.
    #[error("the client certificate or key can't be used: {0}")]
    Identity(#[source] rustls::Error),
    /// The server's name can't be checked.
    #[error("`{0}` is no server name that a certificate can hold")]
    ServerName(String),
    /// The TLS library refused its settings.
    #[error("TLS: {0}")]
    Library(#[source] rustls::Error),
}

impl TlsOptions {
    /// The usual three files in one folder: `ca.pem`, `cert.pem`, `key.pem`,
    /// each only if it is there.
    pub fn from_dir(dir: &Path) -> Self {
        let file = |name: &str| Some(dir.join(name)).filter(|p| p.is_file());
        Self {
            ca: file("ca.pem"),
            cert: file("cert.pem"),
            key: file("key.pem"),
            server_name: None,
        }
    }

    /// Reads the files. `verify` false trusts any server, which Docker's
    /// contexts can ask for.
    pub(crate) fn client_config(
        &self,
        verify: bool,
        alpn: &[&[u8]],
    ) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Library)?;
        let builder = if verify {
            builder.with_root_certificates(self.roots()?)
        } else {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(insecure::AnyServer(provider)))
        };
        let mut config = match (&self.cert, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                let chain = certificates("client certificate", cert)?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(|e| TlsError::File {
                    what: "client key",
                    path: key.clone(),
                    reason: pem_reason(&e, "private key"),
                })?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(TlsError::Identity)?
            }
            _ => return Err(TlsError::HalfIdentity),
        };
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        Ok(config)
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                for cert in certificates("CA file", path)? {
                    roots.add(cert).map_err(|e| TlsError::File {
                        what: "CA file",
                        path: path.clone(),
                        reason: e.to_string(),
                    })?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    let reasons: Vec<String> = found.errors.iter().map(|e| e.to_string()).collect();
                    return Err(TlsError::NoSystemRoots(reasons.join("; ")));
                }
            }
        }
        Ok(roots)
    }
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fail = |reason: String| TlsError::File {
        what,
        path: path.to_path_buf(),
        reason,
    };
    let certs = CertificateDer::pem_file_iter(path)
        .and_then(|certs| certs.collect::<Result<Vec<_>, _>>())
        .map_err(|e| fail(pem_reason(&e, "certificate")))?;
    if certs.is_empty() {
        return Err(fail("no certificate in it".to_string()));
    }
    Ok(certs)
}

fn pem_reason(error: &rustls::pki_types::pem::Error, wanted: &str) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::NoItemsFound => format!("no {wanted} in it"),
        Error::Io(e) => e.to_string(),
        other => other.to_string(),
    }
}

/// Trusts any server certificate.
mod insecure {
    use std::sync::Arc;

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    #[derive(Debug)]
    pub(super) struct AnyServer(pub(super) Arc<CryptoProvider>);

    impl ServerCertVerifier for AnyServer {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(
                message,
                cert,
                dss,
                &self.0.signature_verification_algorithms,
            )
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(
                message,
                cert,
                dss,
                &self.0.signature_verification_algorithms,
            )
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named() {
        let options = TlsOptions {
            ca: Some("/nowhere/ca.pem".into()),
            ..Default::default()
        };
        let error = options.client_config(true, &[]).unwrap_err().to_string();
        assert!(error.starts_with("CA file /nowhere/ca.pem: "), "{error}");
    }

    #[test]
    fn a_file_without_pem_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, "not PEM").unwrap();
        let options = TlsOptions {
            ca: Some(ca.clone()),
            ..Default::default()
        };
        let error = options.client_config(true, &[]).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("CA file {}: no certificate in it", ca.display())
        );
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let options = TlsOptions {
            cert: Some("/nowhere/cert.pem".into()),
            ..Default::default()
        };
        assert!(matches!(
            options.client_config(false, &[]),
            Err(TlsError::HalfIdentity)
        ));
    }
}
