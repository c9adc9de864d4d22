//! Why an image can't be looked at.

use std::io;
use std::path::PathBuf;

use mlbuild_docker::api::DockerApiError;
use tokio::task::JoinError;

use crate::error::ErrorKind;
use crate::image::layer::LayerError;
use crate::image_source::{ImageSourceError, layer_error_kind};
use crate::pull::PullError;
use crate::registry::RegistryError;
use crate::start::StartError;

/// Why an image can't be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The name is none, or the registry doesn't have the image.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The image can't be read.
    #[error(transparent)]
    Image(#[from] ImageSourceError),
    /// It is a file for Apptainer, and makes no sense.
    #[error(transparent)]
    Sif(#[from] PullError),
    /// A layer of it can't be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// There is nothing on this machine that could have it.
    #[error(transparent)]
    Runtime(#[from] StartError),
    /// Docker doesn't answer as it should.
    #[error(transparent)]
    Docker(#[from] DockerApiError),
    /// The runtime's program fails.
    #[error("{}: {why}", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// Its words.
        why: String,
    },
    /// The image can't be copied out of the runtime's store.
    #[error("no room for a copy of {image}: {source}")]
    NoRoom {
        /// The image.
        image: String,
        /// Why.
        source: io::Error,
    },
    /// The image isn't there for the platform that is asked for.
    #[error("{image} has no image for {wanted}; it has {}", available.join(", "))]
    NoSuchPlatform {
        /// The image.
        image: String,
        /// The platform.
        wanted: String,
        /// Those that there are.
        available: Vec<String>,
    },
    /// No registry was to be asked, and this machine doesn't have the image.
    #[error("{image}: {here}")]
    NotHere {
        /// The image.
        image: String,
        /// What came of looking for it here.
        here: String,
    },
    /// Neither the registry nor this machine has the image.
    #[error("{registry}; and {here}")]
    Nowhere {
        /// What came of asking the registry.
        registry: Box<InspectError>,
        /// Whether the registry answered that it doesn't have the image.
        is_absent: bool,
        /// What came of looking for it here.
        here: String,
    },
    /// The work was dropped.
    #[error("reading the layers broke off: {0}")]
    BrokenOff(#[from] JoinError),
}

impl InspectError {
    /// Of which kind it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Registry(error) => error.kind(),
            Self::Image(error) => error.kind(),
            Self::Sif(error) => error.kind(),
            Self::Layer(error) => layer_error_kind(error),
            Self::Runtime(error) => error.kind(),
            Self::Docker(_) | Self::Program { .. } | Self::NoRoom { .. } => ErrorKind::Environment,
            Self::NoSuchPlatform { .. } | Self::NotHere { .. } => ErrorKind::User,
            Self::Nowhere { registry, .. } => registry.kind(),
            Self::BrokenOff(_) => ErrorKind::Work,
        }
    }
}
