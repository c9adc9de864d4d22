//! Log-ins to registries, and where Docker's client keeps them.

use std::path::{Path, PathBuf};

use docker_credential::{CredentialRetrievalError as NotHere, DockerCredential};
use mlbuild_secrets::Secret;
use mlbuild_waits::program::ProgramWait;

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
    #[error("the credential helper {helper} gave no log-in for {registry}: {reason}")]
    Helper {
        /// The program.
        helper: String,
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
        Self::lookup_in(&docker_config.join("config.json"), registry)
    }

    /// Like [`Self::lookup`], in a file of any name: Podman's `auth.json` has the same form.
    pub fn lookup_in(file: &Path, registry: &str) -> Result<Option<Self>, CredentialsError> {
        let unusable = |reason: String| CredentialsError::Config {
            path: file.to_path_buf(),
            reason,
        };
        let text = match std::fs::read(file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(unusable(e.to_string())),
        };
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let config: serde_json::Value =
            serde_json::from_slice(&text).map_err(|e| unusable(e.to_string()))?;
        let key = configured_name(registry);
        let helper = helper_of(&config, key);
        let wait = helper.as_ref().map(|helper| {
            let peer = format!("the credential helper {helper}, for {registry}");
            ProgramWait::on_children(peer)
        });
        let found = docker_credential::get_credential_from_reader(text.as_slice(), key);
        if let (Err(_), Some(helper)) = (&found, &helper)
            && let Some(stalled) = wait.and_then(|wait| wait.stalled())
        {
            return Err(CredentialsError::Helper {
                helper: helper.clone(),
                registry: registry.to_string(),
                reason: format!("it did nothing for {} s", stalled.silent.as_secs()),
            });
        }
        match found {
            Ok(found) => Ok(Self::found(found)),
            Err(NotHere::NoCredentialConfigured | NotHere::ConfigNotFound) => Ok(None),
            Err(NotHere::HelperFailure { stdout, stderr, .. }) if has_none(&stdout, &stderr) => {
                Ok(None)
            }
            Err(NotHere::ConfigReadError) => {
                Err(unusable("`auths` isn't as Docker writes it".to_string()))
            }
            Err(NotHere::CredentialDecodingError) => Err(unusable(format!(
                "the `auth` of {registry} isn't base64 of `user:password`"
            ))),
            Err(NotHere::CredentialMismatchError) => Err(unusable(format!(
                "`auth` of {registry} doesn't fit its `username` and `password`"
            ))),
            Err(failed) => {
                let helper = helper.unwrap_or_else(|| "docker-credential-?".to_owned());
                Err(CredentialsError::Helper {
                    registry: registry.to_string(),
                    reason: why_helper_failed(failed, &helper),
                    helper,
                })
            }
        }
    }

    /// A log-in as Docker holds it; `None` for one of neither name nor password.
    fn found(found: DockerCredential) -> Option<Self> {
        match found {
            DockerCredential::IdentityToken(token) => Some(Self::IdentityToken(Secret::new(token))),
            // Helpers answer so for a refresh token.
            DockerCredential::UsernamePassword(user, token) if user == "<token>" => {
                Some(Self::IdentityToken(Secret::new(token)))
            }
            DockerCredential::UsernamePassword(user, password)
                if user.is_empty() && password.is_empty() =>
            {
                None
            }
            DockerCredential::UsernamePassword(username, password) => Some(Self::Password {
                username,
                password: Secret::new(password),
            }),
        }
    }
}

/// The helper that a configuration names for a registry.
fn helper_of(config: &serde_json::Value, key: &str) -> Option<String> {
    let name = config["credHelpers"][key].as_str();
    let name = name.or(config["credsStore"].as_str())?;
    Some(format!("docker-credential-{name}"))
}

/// Why a helper's answer can't be used: its own words, where it has some.
fn why_helper_failed(failed: NotHere, helper: &str) -> String {
    match failed {
        NotHere::HelperFailure { stdout, stderr, .. } => {
            let said = if stderr.trim().is_empty() {
                stdout
            } else {
                stderr
            };
            said.trim().to_string()
        }
        NotHere::HelperCommunicationError if is_on_path(helper) => {
            "it ended without listening".to_string()
        }
        NotHere::HelperCommunicationError => "it isn't on PATH".to_string(),
        _ => "its answer isn't the JSON that Docker expects".to_string(),
    }
}

/// Helpers say so in these words when they hold nothing for a registry.
fn has_none(stdout: &str, stderr: &str) -> bool {
    let said = format!("{stdout}{stderr}").to_lowercase();
    [
        "credentials not found",
        "no credentials server url",
        "no credentials username",
    ]
    .iter()
    .any(|words| said.contains(words))
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
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
    fn identity_tokens_win_over_passwords() {
        let dir = config(r#"{"auths":{"r.example":{"auth":"MDA6","identitytoken":"abc"}}}"#);
        let found = RegistryCredentials::lookup(dir.path(), "r.example").unwrap();
        let token = RegistryCredentials::IdentityToken(Secret::new("abc"));
        assert_eq!(found, Some(token));
    }

    #[test]
    fn a_bad_entry_is_told_from_a_bad_file() {
        let dir = config(r#"{"auths":{"r.example":{"auth":"%%"}}}"#);
        let error = RegistryCredentials::lookup(dir.path(), "r.example").unwrap_err();
        let expected = "config.json: the `auth` of r.example isn't base64 of `user:password`";
        assert!(error.to_string().ends_with(expected), "{error}");
    }

    #[test]
    fn a_helper_that_is_missing_is_named() {
        let dir = config(r#"{"credHelpers":{"r.example":"mlbuild-test-nowhere"}}"#);
        let error = RegistryCredentials::lookup(dir.path(), "r.example").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the credential helper docker-credential-mlbuild-test-nowhere gave no log-in for \
             r.example: it isn't on PATH"
        );
    }

    #[test]
    fn debug_hides_secrets() {
        let token = RegistryCredentials::IdentityToken(Secret::new("hunter2"));
        assert_eq!(format!("{token:?}"), "IdentityToken([redacted])");
    }
}
