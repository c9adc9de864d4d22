//! Where log-ins are looked for: Docker's file, then Podman's. Reading one is
//! `mlbuild_buildkit`'s business. Helpers are other programs and may be slow, so the
//! look-up runs beside the async runtime; callers ask once per registry.

use std::path::PathBuf;

use mlbuild_buildkit::{CredentialsError, RegistryCredentials};

use super::error::RegistryError;

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
            let value = std::env::var_os(name).filter(|v| !v.is_empty());
            value.map(PathBuf::from)
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

    /// The log-in for a registry (`docker.io`, `ghcr.io`, `127.0.0.1:5000`); `None` to ask
    /// as anybody.
    pub async fn get(&self, registry: &str) -> Result<Option<RegistryCredentials>, RegistryError> {
        let (files, registry) = (self.files.clone(), registry.to_owned());
        let look = move || {
            for file in &files {
                if let Some(found) = RegistryCredentials::lookup_in(file, &registry)? {
                    return Ok(Some(found));
                }
            }
            Ok::<_, CredentialsError>(None)
        };
        let found = tokio::task::spawn_blocking(look).await;
        Ok(found.expect("the look-up doesn't panic")?)
    }
}
