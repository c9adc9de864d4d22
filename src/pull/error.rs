//! Why an image can't become a file.

use std::io;
use std::path::PathBuf;

use crate::error::ErrorKind;
use crate::image::layer::LayerError;
use crate::image_source::{ImageSourceError, layer_error_kind};
use crate::registry::RegistryError;

/// Why an image can't become a file.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Its registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Its documents.
    #[error(transparent)]
    Source(#[from] ImageSourceError),
    /// A layer of it.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// A layer can't be fetched.
    #[error("a layer can't be fetched: {0}")]
    Fetch(#[source] io::Error),
    /// It isn't there for the platform.
    #[error("{pinned} has no image for {platform}; it has {}", has.join(", "))]
    NoPlatform {
        /// The image.
        pinned: String,
        /// What was asked for.
        platform: String,
        /// What there is.
        has: Vec<String>,
    },
    /// The format has no name for its architecture.
    #[error("a SIF can't say that it is for {0}")]
    Architecture(String),
    /// Its configuration makes no sense.
    #[error("the image's configuration can't be read: {0}")]
    Config(#[source] serde_json::Error),
    /// A file can't be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file makes no sense.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file isn't what it says that it is.
    #[error("{} isn't what {pinned} gives: byte {at} is the first that differs", path.display())]
    Differs {
        /// The file.
        path: PathBuf,
        /// The image that it names.
        pinned: String,
        /// Where it differs, in bytes from its beginning.
        at: u64,
    },
    /// The user wanted no more.
    #[error("no file was written: it was broken off")]
    Cancelled,
    /// The thread that wrote it ended.
    #[error("writing it was broken off: {0}")]
    Ended(#[source] tokio::task::JoinError),
}

impl PullError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Registry(error) => error.kind(),
            Self::Source(error) => error.kind(),
            Self::Layer(error) => layer_error_kind(error),
            Self::Fetch(_) | Self::Write { .. } => ErrorKind::Environment,
            Self::NoPlatform { .. } | Self::File { .. } => ErrorKind::User,
            Self::Differs { .. } => ErrorKind::Difference,
            Self::Architecture(_) | Self::Config(_) | Self::Cancelled | Self::Ended(_) => {
                ErrorKind::Work
            }
        }
    }
}
