//! What can be wrong with a queue's configuration, a job's override, and `launch-config.yaml`.

use std::path::PathBuf;

use super::macros::MacroError;
use super::manifest::ManifestError;
use super::secret::SecretError;
use super::template::TemplateError;
use crate::config::ConfigError;
use crate::error::ErrorKind;

/// Why a queue's configuration or an override of it isn't taken.
#[derive(Debug, thiserror::Error)]
pub enum QueueConfigError {
    /// The file can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text isn't a configuration.
    #[error(transparent)]
    Invalid(#[from] ConfigError),
    /// No such option.
    #[error("{setting}: unknown option `{key}`")]
    UnknownOption {
        /// The override as it was written, `KEY=VALUE`.
        setting: String,
        /// Its key.
        key: String,
        /// The option that was probably meant.
        near: Option<&'static str>,
    },
    /// An option that isn't a switch has no value.
    #[error("{key}: `{key}` needs a value")]
    NeedsValue {
        /// The option.
        key: String,
        /// What its value is called.
        value_name: &'static str,
    },
    /// The option doesn't take this value.
    #[error("{key} {value}: {why}")]
    Value {
        /// The option.
        key: String,
        /// The value.
        value: String,
        /// Why not.
        why: String,
    },
    /// The value looks like a secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A macro that stands for nothing.
    #[error(transparent)]
    Macro(#[from] MacroError),
    /// A template variable, or the value that a launch gives it.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// With the values of a launch, the configuration isn't one any more.
    #[error("with these template variables: {why}")]
    Filled {
        /// Why.
        why: String,
    },
    /// A manifest, or what a launch sets in it.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Not a number of GPUs.
    #[error("gpus {gpus}: not all, a number, or device=IDS")]
    Gpus {
        /// What was written.
        gpus: String,
    },
    /// More than one option asks for GPUs.
    #[error("GPUs are asked for in several ways")]
    GpusSeveralTimes,
}

impl QueueConfigError {
    /// Always what the user wrote.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::User
    }
}

/// Why `launch-config.yaml` isn't taken.
#[derive(Debug, thiserror::Error)]
pub enum LaunchConfigError {
    /// The file can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something in the file is wrong.
    #[error("{}: {source}", path.display())]
    In {
        /// The file.
        path: PathBuf,
        /// What.
        source: Box<LaunchConfigError>,
    },
    /// Not YAML.
    #[error("{0}")]
    Yaml(String),
    /// No such key.
    #[error("unknown key `{key}`")]
    UnknownKey {
        /// The key with those above it.
        key: String,
        /// The one that was probably meant.
        near: Option<&'static str>,
        /// Those that can stand there.
        known: &'static [&'static str],
    },
    /// A value of another type.
    #[error("{key}: {why}")]
    Type {
        /// The key with those above it.
        key: String,
        /// What was expected.
        why: String,
    },
    /// No number of jobs.
    #[error("max_jobs is {0}")]
    MaxJobs(i64),
    /// No builder has this name.
    #[error("{key}: {value} is no builder that is known")]
    Builder {
        /// The key with those above it.
        key: String,
        /// What was written, as JSON.
        value: String,
    },
}

impl LaunchConfigError {
    /// Always what the user wrote.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::User
    }
}
