//! Why a run can't be brought back.

use std::path::PathBuf;

use mlbuild_manifests::RunIdError;
use mlbuild_manifests::lock::LockError;
use mlbuild_manifests::run_record::RunRecordError;

use crate::error::ErrorKind;
use crate::pull::PullError;
use crate::records::StoreError;
use crate::records::checkout::CheckoutError;
use crate::registry::RegistryError;
use crate::runs::RunsError;
use crate::trackers::TrackerError;

/// Where Weights & Biases wrote down what a run was.
#[derive(Debug, Clone)]
pub enum WandbSource {
    /// In this file.
    File(PathBuf),
    /// At its server: the run's name there.
    Server(String),
}

impl std::fmt::Display for WandbSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(file) => file.display().fmt(f),
            Self::Server(run) => f.write_str(run),
        }
    }
}

/// Why a run can't be brought back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The run isn't in the project's folder, or could be several.
    #[error(transparent)]
    Store(StoreError),
    /// The run isn't in the project's folder, and the lock names no image that could have it.
    #[error(transparent)]
    NotRecorded(StoreError),
    /// The run's record or its patch can't be used.
    #[error(transparent)]
    Record(RunRecordError),
    /// The project's lock can't be read.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The file for Apptainer makes no sense.
    #[error(transparent)]
    Sif(#[from] PullError),
    /// A reference is none, or its registry can't be asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// What is attached to an image can't be read.
    #[error(transparent)]
    Attached(#[from] RunsError),
    /// The lock names no image that was pushed.
    #[error(
        "{} names no image that was pushed",
        mlbuild_manifests::lock::FILE_NAME
    )]
    NoPushedImage,
    /// The run is neither here nor beside these images.
    #[error("no run `{run}` is recorded here or attached to {}", images.join(", "))]
    NotAttached {
        /// What was asked for.
        run: String,
        /// The images that were asked.
        images: Vec<String>,
    },
    /// The run's record names its image without a digest.
    #[error("run {run} names no image that can be had: `{reference}` without a digest")]
    NoDigest {
        /// The run.
        run: String,
        /// The image.
        reference: String,
    },
    /// The run's image was never pushed, and isn't here.
    #[error("the image of run {run} was never pushed, and {program} doesn't have it here: {reference}, image ID {}, on {}", image_id.as_deref().unwrap_or("unknown"), host.as_deref().unwrap_or("the machine that ran it"))]
    NeverPushed {
        /// The run.
        run: String,
        /// The program that starts containers.
        program: String,
        /// The image.
        reference: String,
        /// The image's ID.
        image_id: Option<String>,
        /// The machine that has it.
        host: Option<String>,
    },
    /// The registry doesn't have the run's image, or can't be asked.
    #[error(transparent)]
    NotInRegistry(RegistryError),
    /// Neither the registry nor this machine has the run's image.
    #[error("the image of run {run} can't be had: {source}, and {program} doesn't have it either")]
    NotAnywhere {
        /// The run.
        run: String,
        /// The program that starts containers.
        program: String,
        /// What the registry said.
        source: Box<RegistryError>,
    },
    /// A worktree is wanted, and the run recorded no code.
    #[error("run {run} recorded no code: it was in no git repository")]
    NoCode {
        /// The run.
        run: String,
    },
    /// The code can't be had; nothing was changed.
    #[error("{source}")]
    Code {
        /// The run.
        run: String,
        /// The repository that the run was in, where that is known.
        remote: Option<String>,
        /// Why.
        source: CheckoutError,
    },
    /// Bringing the code back failed; everything is as it was.
    #[error(transparent)]
    CheckOut(CheckoutError),
    /// A tracker's server doesn't say what the run was.
    #[error(transparent)]
    Tracker(#[from] TrackerError),
    /// What Weights & Biases has of the run can't be used.
    #[error("{from}: {why}")]
    Wandb {
        /// The file, or the run and its server.
        from: WandbSource,
        /// Why.
        why: String,
    },
    /// What Weights & Biases has of the run names no image.
    #[error("{from}: it has no `docker`: the run was started without WANDB_DOCKER")]
    WandbNoImage {
        /// The file, or the run and its server.
        from: WandbSource,
    },
    /// What MLflow has of the run can't be used.
    #[error("{0}")]
    Mlflow(String),
    /// What MLflow has of the run names no image.
    #[error("{from}: it has no tag mlbuild.image")]
    MlflowNoImage {
        /// The run, and its server or file.
        from: String,
    },
    /// The run's id isn't one.
    #[error(transparent)]
    RunId(#[from] RunIdError),
}

impl From<StoreError> for RestoreError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl RestoreError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Registry(error) | Self::NotInRegistry(error) => error.kind(),
            Self::NotAnywhere { source, .. } => source.kind(),
            Self::Attached(error) => error.kind(),
            Self::Sif(error) => error.kind(),
            Self::Tracker(error) => error.kind(),
            Self::CheckOut(CheckoutError::Git(error))
            | Self::Code {
                source: CheckoutError::Git(error),
                ..
            } if error.is_of_machine() => ErrorKind::Environment,
            Self::CheckOut(_) => ErrorKind::Work,
            _ => ErrorKind::User,
        }
    }
}
