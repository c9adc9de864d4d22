//! Why an image can't be given to somebody else.

use crate::image::layer::LayerError;

/// An image that can't be given to somebody else.
#[derive(Debug, thiserror::Error)]
pub enum ReownError {
    /// Its last layer can't be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// It can be read, and giving it away wouldn't be safe.
    #[error("{why}")]
    Refused {
        /// What stands against it.
        why: String,
        /// What to do instead.
        remedy: Remedy,
    },
}

/// What to do where an image can't be given to somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Build the image for the new owner.
    BuildForOwner,
    /// Let the user keep its login name, and with it its home.
    KeepName,
    /// Give another login name.
    OtherName,
    /// Push the image once more.
    PushAgain,
}

impl ReownError {
    pub(super) fn refused(why: impl Into<String>, remedy: Remedy) -> Self {
        Self::Refused {
            why: why.into(),
            remedy,
        }
    }
}
