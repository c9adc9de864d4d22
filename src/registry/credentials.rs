//! Log-ins as Docker and Podman keep them: `config.json` and `auth.json`, with
//! credential stores and helpers. Helpers are other programs and may be slow, so
//! the look-up runs beside the async runtime, once per registry.

use std::fs;
use std::path::{Path, PathBuf};

use docker_credential::{CredentialRetrievalError as E, DockerCredential};

use super::error::RegistryError;
use super::secret::Secret;

/// Docker Hub's key in configuration files.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// A log-in for one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// None: ask as anybody.
    Anonymous,
    /// User name and password (or access token).
    Password {
        /// User name.
        user: String,
        /// Password.
        password: Secret,
    },
    /// A token that buys access tokens.
    Identity(Secret),
}

/// Files that log-ins are read from, in order.
#[derive(Clone, Debug, Default)]
pub struct CredentialStore {
    files: Vec<PathBuf>,
}

impl CredentialStore {
    /// Docker's file (`DOCKER_CONFIG`, else `~/.docker`), then Podman's
    /// (`REGISTRY_AUTH_FILE`, else `$XDG_RUNTIME_DIR/containers/auth.json`, else
    /// `~/.config/containers/auth.json`).
    pub fn from_environment() -> Self {
        let variable = |name| {
            std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let home = variable("HOME");
        let docker = variable("DOCKER_CONFIG")
            .or_else(|| home.as_ref().map(|h| h.join(".docker")))
            .map(|folder| folder.join("config.json"));
        let podman = match variable("REGISTRY_AUTH_FILE") {
            Some(file) => vec![file],
            None => [
                variable("XDG_RUNTIME_DIR").map(|d| d.join("containers/auth.json")),
                home.map(|h| h.join(".config/containers/auth.json")),
            ]
            .into_iter()
            .flatten()
            .collect(),
        };
        Self {
            files: docker.into_iter().chain(podman).collect(),
        }
    }

    /// These files only.
    pub fn from_files(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            files: files.into_iter().collect(),
        }
    }

    /// The log-in for a registry (`docker.io`, `ghcr.io`, `127.0.0.1:5000`).
    pub async fn get(&self, registry: &str) -> Result<Credential, RegistryError> {
        let (files, registry) = (self.files.clone(), registry.to_owned());
        tokio::task::spawn_blocking(move || look_up(&files, &registry))
            .await
            .expect("the look-up doesn't panic")
    }
}

fn look_up(files: &[PathBuf], registry: &str) -> Result<Credential, RegistryError> {
    for file in files {
        let text = match fs::read(file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(unusable(file, e)),
        };
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match look_into(file, &text, registry)? {
            Credential::Anonymous => {}
            found => return Ok(found),
        }
    }
    Ok(Credential::Anonymous)
}

fn look_into(file: &Path, text: &[u8], registry: &str) -> Result<Credential, RegistryError> {
    let config: serde_json::Value = serde_json::from_slice(text).map_err(|e| unusable(file, e))?;
    let key = match registry {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB_KEY,
        other => other,
    };
    match docker_credential::get_credential_from_reader(text, key) {
        Ok(DockerCredential::UsernamePassword(user, password))
            if user.is_empty() && password.is_empty() =>
        {
            Ok(Credential::Anonymous)
        }
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(Credential::Password {
            user,
            password: Secret::new(password),
        }),
        Ok(DockerCredential::IdentityToken(token)) => Ok(Credential::Identity(Secret::new(token))),
        Err(E::NoCredentialConfigured | E::ConfigNotFound) => Ok(Credential::Anonymous),
        Err(E::HelperFailure { stdout, stderr, .. }) if is_not_found(&stdout, &stderr) => {
            Ok(Credential::Anonymous)
        }
        Err(E::HelperFailure {
            helper,
            stdout,
            stderr,
        }) => {
            let said = if stderr.trim().is_empty() {
                stdout
            } else {
                stderr
            };
            Err(helper_failed(helper, registry, said.trim()))
        }
        Err(E::HelperCommunicationError) => {
            let helper = helper_name(&config, key);
            let why = if is_on_path(&helper) {
                "it ended without listening"
            } else {
                "it isn't on PATH"
            };
            Err(helper_failed(helper, registry, why))
        }
        Err(E::MalformedHelperResponse) => {
            let helper = helper_name(&config, key);
            Err(helper_failed(
                helper,
                registry,
                "its answer isn't the JSON that Docker expects",
            ))
        }
        Err(E::ConfigReadError) => Err(unusable(file, "`auths` isn't as Docker writes it")),
        Err(E::CredentialDecodingError) => Err(unusable(
            file,
            format!("the `auth` of {registry} isn't base64 of `user:password`"),
        )),
        Err(E::CredentialMismatchError) => Err(unusable(
            file,
            format!("`auth` of {registry} doesn't fit its `username` and `password`"),
        )),
    }
}

/// Helpers say so in these words when they hold nothing for a registry.
fn is_not_found(stdout: &str, stderr: &str) -> bool {
    let said = format!("{stdout}{stderr}").to_lowercase();
    [
        "credentials not found",
        "no credentials server url",
        "no credentials username",
    ]
    .iter()
    .any(|words| said.contains(words))
}

fn helper_name(config: &serde_json::Value, key: &str) -> String {
    let name = config["credHelpers"][key]
        .as_str()
        .or(config["credsStore"].as_str());
    format!("docker-credential-{}", name.unwrap_or("?"))
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn helper_failed(helper: String, registry: &str, why: &str) -> RegistryError {
    RegistryError::Helper {
        helper,
        registry: registry.to_owned(),
        why: why.to_owned(),
    }
}

fn unusable(file: &Path, why: impl std::fmt::Display) -> RegistryError {
    RegistryError::Configuration {
        path: file.display().to_string(),
        why: why.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(json: &str, registry: &str) -> Result<Credential, RegistryError> {
        look_into(Path::new("config.json"), json.as_bytes(), registry)
    }

    #[test]
    fn docker_hub_is_found_under_its_old_key() {
        let json = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6c2VjcmV0"}}}"#;
        let password = Secret::new("secret");
        let expected = Credential::Password {
            user: "me".into(),
            password,
        };
        assert_eq!(look(json, "docker.io").unwrap(), expected);
        assert_eq!(look(json, "ghcr.io").unwrap(), Credential::Anonymous);
    }

    #[test]
    fn identity_tokens_win_over_passwords() {
        let json = r#"{"auths":{"acme.azurecr.io":{"auth":"MDA6","identitytoken":"abc"}}}"#;
        let expected = Credential::Identity(Secret::new("abc"));
        assert_eq!(look(json, "acme.azurecr.io").unwrap(), expected);
    }

    #[test]
    fn a_broken_file_is_named() {
        let error = look("{", "ghcr.io").unwrap_err().to_string();
        assert!(error.starts_with("config.json: "), "{error}");
        let error = look(r#"{"auths":{"ghcr.io":{"auth":"%%"}}}"#, "ghcr.io").unwrap_err();
        assert_eq!(
            error.to_string(),
            "config.json: the `auth` of ghcr.io isn't base64 of `user:password`"
        );
    }

    #[test]
    fn a_missing_helper_is_named() {
        let json = r#"{"credHelpers":{"ghcr.io":"mlbuild-test-nowhere"}}"#;
        let error = look(json, "ghcr.io").unwrap_err().to_string();
        assert!(
            error.contains("docker-credential-mlbuild-test-nowhere") && error.contains("PATH"),
            "{error}"
        );
    }

    #[test]
    fn secrets_are_never_shown() {
        let json = r#"{"auths":{"ghcr.io":{"auth":"bWU6c2VjcmV0"}}}"#;
        assert!(!format!("{:?}", look(json, "ghcr.io").unwrap()).contains("secret"));
    }
}
