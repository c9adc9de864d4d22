//! Why an image isn't verified.

use std::path::PathBuf;

use mlbuild_manifests::lock::ImageKey;
use mlbuild_manifests::{LockError, RunId};
use oci_spec::distribution::Reference;

use crate::build::BuildError;
use crate::builder::BuilderError;
use crate::diff::DiffError;
use crate::error::ErrorKind;
use crate::image_source::ImageSourceError;
use crate::lock::{LockBesideError, LockingError};
use crate::planning::PlanningError;
use crate::pull::PullError;
use crate::rebase::RebaseError;
use crate::records::StoreError;
use crate::registry::RegistryError;
use crate::settings::SettingsError;
use crate::trust::TrustError;

/// Why an image isn't verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The image can't be built once more, or a registry can't be asked.
    #[error(transparent)]
    Build(Box<BuildError>),
    /// The file for Apptainer can't be made once more, or is another one.
    #[error(transparent)]
    Sif(Box<PullError>),
    /// There is no such run.
    #[error(transparent)]
    Run(#[from] StoreError),
    /// The lock beside the image can't be looked for.
    #[error(transparent)]
    LockBeside(#[from] LockBesideError),
    /// The two images can't be compared.
    #[error(transparent)]
    Diff(Box<DiffError>),
    /// The image can't be taken apart.
    #[error(transparent)]
    Apart(Box<RebaseError>),
    /// The image of a run is on one machine only.
    #[error("run {id}: its image was never pushed")]
    RunNotPushed {
        /// The run.
        id: RunId,
    },
    /// Nothing says what an image was made from.
    #[error("{image} has no lock beside it: nobody knows what it was made from")]
    NoLockBeside {
        /// The image.
        image: Box<Reference>,
    },
    /// The project keeps no lock.
    #[error("there is nothing to verify")]
    NoLock,
    /// The lock holds no image.
    #[error("{} holds no image", path.display())]
    EmptyLock {
        /// The lock.
        path: PathBuf,
    },
    /// The lock holds other images.
    #[error("{} has no entry for {key}; it has {}", path.display(), names.join(", "))]
    NoEntry {
        /// The lock.
        path: PathBuf,
        /// The image that is meant.
        key: ImageKey,
        /// Those that the lock has.
        names: Vec<String>,
    },
    /// The image was made from another one without a build.
    #[error("{key} was {} without a build", if base.is_some() { "put on another base" } else { "given to another user" })]
    Derived {
        /// The image.
        key: ImageKey,
        /// What it was made from.
        from: String,
        /// Its base, with the digest, where that is another one.
        base: Option<String>,
    },
    /// mlbuild assembled the image, and the lock doesn't say of what.
    #[error(
        "{key} was assembled of packages that the lock doesn't pin: it names their versions and not their files, so \
         that nobody can make the image again"
    )]
    NotPinned {
        /// The image, as the lock names it.
        key: ImageKey,
        /// The image, by digest.
        image: Box<Reference>,
    },
    /// The image, or the lock beside it, isn't what can be proved without a project.
    #[error("{image} isn't proved by its reference alone: {why}")]
    Unproved {
        /// The image, by digest.
        image: Box<Reference>,
        /// Why not.
        why: String,
    },
    /// There is no image to compare with.
    #[error("{name} was never pushed: there is nothing to compare with")]
    NeverPushed {
        /// The image.
        name: ImageKey,
        /// Whether the name is one of this machine, which no registry has.
        is_local: bool,
    },
    /// The project isn't the one that the lock is of.
    #[error("this isn't the project that the lock is of:\n  {}", changed.join("\n  "))]
    OtherProject {
        /// What differs, in a line each.
        changed: Vec<String>,
    },
}

impl VerifyError {
    /// Of which kind it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Build(error) => error.kind(),
            Self::Sif(error) => error.kind(),
            Self::LockBeside(error) => error.kind(),
            Self::Diff(error) => error.kind(),
            Self::Apart(error) => error.kind(),
            Self::OtherProject { .. } | Self::Unproved { .. } => ErrorKind::Difference,
            Self::Run(_)
            | Self::RunNotPushed { .. }
            | Self::NoLockBeside { .. }
            | Self::NoLock
            | Self::EmptyLock { .. }
            | Self::NoEntry { .. }
            | Self::Derived { .. }
            | Self::NotPinned { .. }
            | Self::NeverPushed { .. } => ErrorKind::User,
        }
    }
}

impl From<PullError> for VerifyError {
    fn from(error: PullError) -> Self {
        Self::Sif(Box::new(error))
    }
}

impl From<RebaseError> for VerifyError {
    fn from(error: RebaseError) -> Self {
        Self::Apart(Box::new(error))
    }
}

impl From<DiffError> for VerifyError {
    fn from(error: DiffError) -> Self {
        Self::Diff(Box::new(error))
    }
}

impl From<BuildError> for VerifyError {
    fn from(error: BuildError) -> Self {
        Self::Build(Box::new(error))
    }
}

/// What goes wrong in rebuilding is an error of a build.
macro_rules! of_a_build {
    ($($error:ty),+) => {
        $(impl From<$error> for VerifyError {
            fn from(error: $error) -> Self {
                BuildError::from(error).into()
            }
        })+
    };
}

of_a_build!(
    SettingsError,
    TrustError,
    PlanningError,
    LockingError,
    BuilderError,
    RegistryError,
    ImageSourceError,
    LockError
);
