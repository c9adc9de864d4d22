//! Log-ins to registries: the type that never shows its secret, and where
//! Docker's client keeps them.

use std::fmt;
use std::path::{Path, PathBuf};

use docker_credential::{CredentialRetrievalError, DockerCredential};

/// A text that Debug doesn't show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// How to log in to one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryCredentials {
    /// User name and password (or access token used as one).
    Password {
        /// User name.
        username: String,
        /// Password.
        password: Secret,
    },
    /// An identity (refresh) token, to be exchanged for access tokens.
    IdentityToken(Secret),
}

/// Why credentials couldn't be read. Having none is no error.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Docker's configuration can't be read.
    #[error("{}: {reason}", path.display())]
    Config {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A credential helper failed.
    #[error("the credential helper for {registry} failed: {reason}")]
    Helper {
        /// The registry.
        registry: String,
        /// What it said.
        reason: String,
    },
}

impl RegistryCredentials {
    /// As Docker's API takes it in `X-Registry-Auth`.
    pub(crate) fn to_docker_json(&self) -> serde_json::Value {
        match self {
            Self::Password { username, password } => serde_json::json!({
                "username": username,
                "password": password.expose(),
            }),
            Self::IdentityToken(token) => serde_json::json!({
                "identitytoken": token.expose(),
            }),
        }
    }

    /// Looks `registry` (a host, with port if it has one) up in the
    /// `config.json` of `docker_config`: log-ins in the file, credential
    /// helpers, the credential store. `None` where none is configured. Runs
    /// helper programs, so it blocks.
    pub fn lookup(docker_config: &Path, registry: &str) -> Result<Option<Self>, CredentialsError> {
        let path = docker_config.join("config.json");
        let config_error = |reason: String| CredentialsError::Config {
            path: path.clone(),
            reason,
        };
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(config_error(e.to_string())),
        };
        let found = docker_credential::get_credential_from_reader(
            std::io::BufReader::new(file),
            configured_name(registry),
        );
        match found {
            Ok(DockerCredential::IdentityToken(token)) => {
                Ok(Some(Self::IdentityToken(Secret::new(token))))
            }
            // Helpers answer so for a refresh token.
            Ok(DockerCredential::UsernamePassword(user, token)) if user == "<token>" => {
                Ok(Some(Self::IdentityToken(Secret::new(token))))
            }
            Ok(DockerCredential::UsernamePassword(user, password))
                if user.is_empty() && password.is_empty() =>
            {
                Ok(None)
            }
            Ok(DockerCredential::UsernamePassword(username, password)) => {
                Ok(Some(Self::Password {
                    username,
                    password: Secret::new(password),
                }))
            }
            Err(
                CredentialRetrievalError::NoCredentialConfigured
                | CredentialRetrievalError::ConfigNotFound,
            ) => Ok(None),
            Err(CredentialRetrievalError::HelperFailure { stdout, .. })
                if stdout.contains("credentials not found") =>
            {
                Ok(None)
            }
            Err(
                e @ (CredentialRetrievalError::HelperFailure { .. }
                | CredentialRetrievalError::HelperCommunicationError
                | CredentialRetrievalError::MalformedHelperResponse),
            ) => Err(CredentialsError::Helper {
                registry: registry.to_string(),
                reason: e.to_string(),
            }),
            Err(e) => Err(config_error(e.to_string())),
        }
    }
}

/// Docker Hub's log-in is filed under an old address.
fn configured_name(registry: &str) -> &str {
    match registry {
        "docker.io" | "registry-1.docker.io" | "index.docker.io" => "https://index.docker.io/v1/",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.json"), json).unwrap();
        dir
    }

    #[test]
    fn no_configuration_means_anonymous() {
        let dir = tempfile::tempdir().unwrap();
        let found = RegistryCredentials::lookup(dir.path(), "r.example").unwrap();
        assert_eq!(found, None);
    }

    #[test]
    fn hub_is_found_under_its_old_address() {
        // ana:hunter2
        let dir =
            config(r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YW5hOmh1bnRlcjI="}}}"#);
        let found = RegistryCredentials::lookup(dir.path(), "registry-1.docker.io").unwrap();
        let Some(RegistryCredentials::Password { username, password }) = found else {
            panic!("{found:?}");
        };
        assert_eq!((username.as_str(), password.expose()), ("ana", "hunter2"));
    }

    #[test]
    fn a_broken_configuration_is_named() {
        let dir = config("{");
        let error = RegistryCredentials::lookup(dir.path(), "r.example").unwrap_err();
        assert!(error.to_string().contains("config.json"), "{error}");
    }

    #[test]
    fn debug_hides_secrets() {
        let token = RegistryCredentials::IdentityToken(Secret::new("hunter2"));
        assert_eq!(format!("{token:?}"), "IdentityToken([redacted])");
    }
}
