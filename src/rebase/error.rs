//! Why an image isn't put on another base.

use oci_spec::distribution::Reference;
use oci_spec::image::Digest;

use crate::assemble::AssembleError;
use crate::build::BuildError;
use crate::builder::BuilderError;
use crate::error::ErrorKind;
use crate::image::layer::LayerError;
use crate::image::pack::PackError;
use crate::image_source::{ImageSourceError, layer_error_kind};
use crate::known_base::KnownBaseError;
use crate::registry::RegistryError;

/// Why an image isn't put on another base.
#[derive(Debug, thiserror::Error)]
pub enum RebaseError {
    /// A registry or Docker doesn't give or take something, or a file can't be written.
    #[error(transparent)]
    Build(Box<BuildError>),
    /// The reference names no image.
    #[error("{from} has no image in it")]
    NoImage {
        /// The reference.
        from: Box<Reference>,
    },
    /// The image doesn't say how it was put together.
    #[error(
        "{from} ({platform}) wasn't assembled by mlbuild: nothing in it says what is its base's"
    )]
    NotAssembled {
        /// The image.
        from: Box<Reference>,
        /// Its platform, as `linux/amd64`.
        platform: String,
    },
    /// What it says of itself can't be read.
    #[error("{from} ({platform}): what it says of its base can't be read: {why}")]
    Note {
        /// The image.
        from: Box<Reference>,
        /// Its platform.
        platform: String,
        /// What is wrong.
        why: String,
    },
    /// The base that it has can't be looked at, without which nobody knows what is its own.
    #[error("{from} is on {base}, which can't be read: {why}")]
    OldBase {
        /// The image.
        from: Box<Reference>,
        /// The base that it has.
        base: String,
        /// Why.
        why: String,
    },
    /// The base that it says it has is in a registry that nobody named: an image's word leads nowhere.
    #[error("{from} says that its base is {base}, in a registry that nobody named")]
    StrangeBase {
        /// The image.
        from: Box<Reference>,
        /// The base that it says it has.
        base: String,
    },
    /// Put together again on its own base, it is another image.
    #[error(
        "{from} ({platform}) isn't what it says: put together again on {base} it is {found}, and not {expected}"
    )]
    Another {
        /// The image.
        from: Box<Reference>,
        /// Its platform.
        platform: String,
        /// The base that it says it has.
        base: String,
        /// Its manifest.
        expected: Box<Digest>,
        /// What came out.
        found: Box<Digest>,
    },
    /// It isn't made of the layers of an assembled image.
    #[error("{from} ({platform}): {why}")]
    Layers {
        /// The image.
        from: Box<Reference>,
        /// Its platform.
        platform: String,
        /// What is wrong with them.
        why: String,
    },
    /// A layer of the image can't be read.
    #[error(transparent)]
    Layer(Box<LayerError>),
    /// The other base lacks a platform.
    #[error("{base} is for {}, and the image for {wanted}", has.join(", "))]
    Platform {
        /// The other base.
        base: String,
        /// The platforms that it has.
        has: Vec<String>,
        /// The image's.
        wanted: String,
    },
    /// The other base doesn't take what stays of the image.
    #[error("{base} ({platform}) {why}")]
    Unfit {
        /// The other base.
        base: String,
        /// The image's platform.
        platform: String,
        /// Why, as what the base does.
        why: String,
    },
    /// Docker doesn't read its layers.
    #[error("{why}")]
    Docker {
        /// Why.
        why: String,
    },
}

impl RebaseError {
    /// Of which kind it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Build(error) => error.kind(),
            Self::Layer(error) => layer_error_kind(error),
            Self::OldBase { .. } | Self::Docker { .. } => ErrorKind::Environment,
            Self::Another { .. } => ErrorKind::Difference,
            Self::NoImage { .. }
            | Self::NotAssembled { .. }
            | Self::Note { .. }
            | Self::StrangeBase { .. }
            | Self::Layers { .. }
            | Self::Platform { .. }
            | Self::Unfit { .. } => ErrorKind::User,
        }
    }
}

impl From<BuildError> for RebaseError {
    fn from(error: BuildError) -> Self {
        Self::Build(Box::new(error))
    }
}

/// What goes wrong in looking and writing is an error of a build.
macro_rules! of_a_build {
    ($($error:ty),+) => {
        $(impl From<$error> for RebaseError {
            fn from(error: $error) -> Self {
                BuildError::from(error).into()
            }
        })+
    };
}

of_a_build!(
    BuilderError,
    RegistryError,
    ImageSourceError,
    KnownBaseError,
    AssembleError,
    PackError
);

impl From<LayerError> for RebaseError {
    fn from(error: LayerError) -> Self {
        Self::Layer(Box::new(error))
    }
}
