//! Why an image can't be put together.

use std::path::PathBuf;

use mlbuild_wheels::{LayerError as WheelLayerError, StoreError, WheelError};

use crate::error::ErrorKind;
use crate::image::layer::LayerError;
use crate::image::pack::PackError;

/// Why an image can't be put together from layers.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// A layer of the base can't be read.
    #[error("the base: {0}")]
    Base(#[from] LayerError),
    /// The base isn't one that wheels can be put on.
    #[error("the base {0}")]
    Unfit(String),
    /// A package isn't pinned as a wheel: it would have to be built.
    #[error("{0} is a source archive, which has to be built")]
    Source(String),
    /// A wheel doesn't fit the base's Python.
    #[error(transparent)]
    Wheel(#[from] WheelError),
    /// A layer can't be made.
    #[error(transparent)]
    Layer(#[from] WheelLayerError),
    /// Bytecode that was there is gone, as when another process made room.
    #[error("the bytecode of {0} is no longer kept")]
    NoBytecode(String),
    /// The store of layers can't be used.
    #[error("the store of layers: {0}")]
    Store(#[from] StoreError),
    /// The image can't be written.
    #[error(transparent)]
    Write(#[from] PackError),
    /// A blob can't be brought into the image's folder.
    #[error("{}: {source}", path.display())]
    Blob {
        /// The blob's file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There would be more layers than engines take.
    #[error("there would be {found} layers, and engines take {most}")]
    TooManyLayers {
        /// How many there would be.
        found: usize,
        /// How many there may be.
        most: usize,
    },
}

impl AssembleError {
    /// Whose turn it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            AssembleError::Unfit(_)
            | AssembleError::Source(_)
            | AssembleError::Wheel(_)
            | AssembleError::TooManyLayers { .. } => ErrorKind::User,
            AssembleError::Layer(error) if error.is_full_disk() => ErrorKind::Environment,
            AssembleError::Layer(_) | AssembleError::Base(_) => ErrorKind::Work,
            AssembleError::Store(_)
            | AssembleError::NoBytecode(_)
            | AssembleError::Write(_)
            | AssembleError::Blob { .. } => ErrorKind::Environment,
        }
    }
}
