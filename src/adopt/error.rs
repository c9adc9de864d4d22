//! Why an image isn't given to another user.

use mlbuild_manifests::LockError;
use oci_spec::distribution::Reference;

use crate::error::ErrorKind;
use crate::image::reown::ReownError;
use crate::registry::RegistryError;

/// Why an image isn't given to another user.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// A registry doesn't give the image, or doesn't take the new one.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The reference names no image that could be given away.
    #[error("{from}: {why}")]
    NoImage {
        /// The image.
        from: Box<Reference>,
        /// What it is instead.
        why: String,
    },
    /// A document of the image makes no sense.
    #[error("{from}: {why}")]
    Malformed {
        /// The image.
        from: Box<Reference>,
        /// What is wrong with it.
        why: String,
    },
    /// Giving it away isn't possible, or wouldn't be safe.
    #[error("{from} ({platform}): {source}")]
    Refused {
        /// The image.
        from: Box<Reference>,
        /// Its platform, as `linux/amd64`.
        platform: String,
        /// What stands against it.
        source: ReownError,
    },
    /// It belongs to that user, and a copy of it in another repository would be another image.
    #[error("{from} belongs to uid {uid} already: there is nothing to write")]
    AlreadyOwned {
        /// The image.
        from: Box<Reference>,
        /// The user.
        uid: u32,
    },
    /// What was written anew makes no sense together.
    #[error("{0}")]
    Derived(String),
    /// The index of the image isn't JSON.
    #[error(transparent)]
    Index(#[from] serde_json::Error),
    /// The lock can't be used or written.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl AdoptError {
    /// Of which kind it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Registry(error) => error.kind(),
            Self::NoImage { .. } | Self::AlreadyOwned { .. } | Self::Lock(_) => ErrorKind::User,
            Self::Refused { source, .. } => match source {
                ReownError::Refused { .. } => ErrorKind::User,
                ReownError::Layer(_) => ErrorKind::Work,
            },
            Self::Malformed { .. } | Self::Derived(_) | Self::Index(_) => ErrorKind::Work,
        }
    }
}
