//! The person's own configuration: what no project may say, and which folders are trusted.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::TrustError;
use crate::config::RegistryConfig;

/// `~/.config/mlbuild/config.toml`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct UserConfig {
    /// Folders whose projects, and those below them, may reach out without a question.
    #[serde(default)]
    pub trusted: Vec<PathBuf>,
    /// Address of the builder, as `--builder`.
    pub builder: Option<String>,
    /// Seconds without progress after which a wait is given up, as `MLBUILD_STALL_SECONDS`.
    pub stall_seconds: Option<u64>,
    /// Registries that are reached without TLS, and mirrors.
    #[serde(default)]
    pub registry: RegistryConfig,
}

/// Where it lies: in `$XDG_CONFIG_HOME/mlbuild`, else `~/.config/mlbuild`. `None` without a home.
pub(super) fn path() -> Option<PathBuf> {
    Some(crate::env_vars::config_dir()?.join("config.toml"))
}

impl UserConfig {
    /// Reads it; empty where there is none.
    ///
    /// # Errors
    /// [`TrustError::UserFile`].
    pub fn load() -> Result<Self, TrustError> {
        let Some(file) = path() else {
            return Ok(Self::default());
        };
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => {
                let why = error.to_string();
                return Err(TrustError::UserFile { file, why });
            }
        };
        toml::from_str(&text).map_err(|error| TrustError::UserFile {
            file,
            why: error.to_string(),
        })
    }

    /// Whether a folder, whose path is resolved, is one that is trusted, or below one.
    pub(super) fn trusts(&self, folder: &Path) -> bool {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        self.trusted.iter().any(|trusted| {
            let path = match (trusted.strip_prefix("~"), &home) {
                (Ok(rest), Some(home)) => home.join(rest),
                _ => trusted.clone(),
            };
            // A relative path would mean another folder wherever one stands.
            let path = path.is_absolute().then(|| path.canonicalize().ok());
            path.flatten().is_some_and(|path| folder.starts_with(path))
        })
    }
}
