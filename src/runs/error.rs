//! What keeps the records of runs from being read, removed or exchanged.

use std::io;
use std::path::PathBuf;

use mlbuild_manifests::LockError;
use mlbuild_manifests::run_record::RunRecordError;
use oci_spec::image::Digest;

use crate::error::ErrorKind;
use crate::records::{GitError, StoreError};
use crate::registry::RegistryError;
use crate::trackers::TrackerError;

/// Why a use case of [`crate::runs`] failed.
#[derive(Debug, thiserror::Error)]
pub enum RunsError {
    /// A run isn't known, or the folder of records can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record, or its patch, can't be read or written.
    #[error(transparent)]
    Record(#[from] RunRecordError),
    /// The registry refuses, or doesn't have the image.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The image of a run is in no registry.
    #[error(
        "the image of run {run} ({image}) was never pushed: there is nothing to attach its record to"
    )]
    NeverPushed {
        /// The run's id.
        run: String,
        /// The image's reference, as the record has it.
        image: String,
    },
    /// The tag that would keep a run's image names another image.
    #[error("{tag} is another image than that of run {run}: {found}")]
    KeptOtherwise {
        /// The run's id.
        run: String,
        /// The tag, with its repository.
        tag: String,
        /// The digest that it has.
        found: Digest,
    },
    /// A run's id is too long for a tag.
    #[error("the id of run {run} is too long for a tag, which has 128 characters at most")]
    NoTag {
        /// The run's id.
        run: String,
    },
    /// What the branches of the repository need can't be read.
    #[error("what the branches of this repository need can't be read: {0}")]
    Git(#[from] GitError),
    /// The lock can't be read.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A file of the project can't be read.
    #[error("{}: can't be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// None of the runs that are attached to an image has such an id.
    #[error("no run `{run}` is attached to {image}")]
    NotAttached {
        /// The id that was asked for, or its beginning.
        run: String,
        /// The image.
        image: String,
    },
    /// A tracker's server doesn't say which runs it has.
    #[error(transparent)]
    Tracker(#[from] TrackerError),
    /// A record names no run that there could be.
    #[error("{0}")]
    Id(String),
    /// A file can't be removed.
    #[error("{}: can't be removed: {source}", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl RunsError {
    /// Of which kind it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Record(RunRecordError::Write { .. })
            | Self::Store(StoreError::Record(RunRecordError::Write { .. })) => {
                ErrorKind::Environment
            }
            Self::Lock(_) | Self::Store(_) | Self::Record(_) | Self::NeverPushed { .. } => {
                ErrorKind::User
            }
            Self::NotAttached { .. }
            | Self::KeptOtherwise { .. }
            | Self::NoTag { .. }
            | Self::Id(_) => ErrorKind::User,
            Self::Git(_) | Self::Read { .. } => ErrorKind::Environment,
            Self::Registry(error) => error.kind(),
            Self::Tracker(error) => error.kind(),
            Self::Remove { .. } => ErrorKind::Environment,
        }
    }
}
