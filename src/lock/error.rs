//! Why packages can't be pinned, or pinned ones can't be had.

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use mlbuild_manifests::LockError;
use mlbuild_progress::BuildTrace;
use mlbuild_templates::dockerfile::RenderError;
use tokio::task::JoinError;

use crate::builder::{BuilderError, ExplainFailure};
use crate::error::{ErrorKind, from_boxed};
use crate::image::layout_writer::LayoutWriteError;
use crate::package_store::StoreError;
use crate::pin::ExpandError;
use crate::plan::BuildPlan;
use crate::planning::PlanningError;
use crate::registry::RegistryError;
use crate::registry::mirror::MirrorError;
use crate::settings::{LockMode, SettingsError};
use crate::trust::TrustError;

/// Why packages can't be pinned, or pinned ones can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LockingError {
    /// What is asked for makes no settings.
    #[error(transparent)]
    Settings(#[from] Box<SettingsError>),
    /// The project reaches out of its folder, and nobody agreed to that.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The build can't be planned.
    #[error(transparent)]
    Planning(#[from] Box<PlanningError>),
    /// The builder, which is asked for packages inside the base.
    #[error(transparent)]
    Builder(#[from] BuilderError),
    /// A registry.
    #[error(transparent)]
    Registry(#[from] Box<RegistryError>),
    /// The store of packages.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A base image can't be copied.
    #[error(transparent)]
    Mirror(#[from] Box<MirrorError>),
    /// The lock can't be read or written.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// There is no place for the artifact that is kept beside the image.
    #[error(transparent)]
    Artifact(#[from] LayoutWriteError),
    /// One of several images of the project.
    #[error("{image}: {source}")]
    OfImage {
        /// Which one.
        image: String,
        /// What is wrong with it.
        source: Box<LockingError>,
    },
    /// No lock is kept.
    #[error("without a lock there is nothing to pin packages in")]
    NoLock,
    /// A Dockerfile of one's own fetches what its steps say.
    #[error("a Dockerfile of one's own says itself what its steps fetch: no packages as of a time")]
    AsOfOwnDockerfile,
    /// Packages are to be kept beside an image that has no name in a registry.
    #[error("to keep packages beside it, the image needs a name in a registry")]
    VendorWithoutName,
    /// The lock would have to change, and must not.
    #[error("{}", if *.has_pins {
        "the lock doesn't fit the project: its packages were pinned for another base, other packages or other requirements"
    } else {
        "the lock pins no packages for this image"
    })]
    WouldChange {
        /// How far the pins may move.
        mode: LockMode,
        /// Whether it pins packages for the image.
        has_pins: bool,
    },
    /// The lock's layers would have to be written with another compression, and must not be.
    #[error("the lock's layers are packed with {locked}, and {asked} is asked for")]
    OtherCompression {
        /// How far the pins may move.
        mode: LockMode,
        /// The lock's compression: `zstd:3`.
        locked: String,
        /// The one that is asked for.
        asked: String,
    },
    /// The image can't be put together without a builder.
    #[error("it can't be assembled: {reason}")]
    NotAssembled {
        /// Why not.
        reason: String,
    },
    /// A wheel that nothing can be installed from.
    #[error("{0}")]
    BadWheel(String),
    /// Layers of a locked image aren't written without compression.
    #[error("a lock's layers are packed with zstd or gzip, and none is asked for")]
    Uncompressed,
    /// Debian packages of a time that no archive is named for.
    #[error(
        "as of {as_of}: Debian's packages of that time are in an archive of snapshots, and none is named"
    )]
    NoSnapshots {
        /// The time.
        as_of: Timestamp,
    },
    /// The list of snapshots can't be read.
    #[error("apt_snapshots: {}: {source}", path.display())]
    Snapshots {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The list of snapshots has no place for a time.
    #[error("apt_snapshots: {}: no address in it has {{time}}", path.display())]
    SnapshotsWithoutTime {
        /// Its file.
        path: PathBuf,
    },
    /// Packages for another kind of machine, which the base would have to be asked for.
    #[error("packages can't be pinned for {platform}: {why}")]
    OtherMachine {
        /// The platform.
        platform: String,
        /// Why they aren't found without running the base.
        why: String,
    },
    /// The builder can't mount pinned packages.
    #[error("pinned packages are mounted into the build: {why}")]
    CannotMount {
        /// What it lacks.
        why: String,
    },
    /// There is no temporary folder.
    #[error("temporary folder: {0}")]
    TemporaryFolder(#[source] io::Error),
    /// A file of the question to the base can't be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The base can't stand in a Dockerfile.
    #[error(transparent)]
    Base(#[from] RenderError),
    /// The lock has no pin for the base that packages are looked for in.
    #[error("the lock has no pin for the base")]
    BaseWithoutPin,
    /// Nobody has pinned packages any more.
    #[error("no source of this machine has these pinned packages any more:\n  {}", files.join("\n  "))]
    Gone {
        /// Their names.
        files: Vec<String>,
    },
    /// Work on another thread ended by a panic.
    #[error(transparent)]
    Thread(#[from] JoinError),
}

impl LockingError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Settings(error) => error.kind(),
            Self::OfImage { source, .. } => source.kind(),
            Self::Trust(error) => error.kind(),
            Self::Planning(error) => error.kind(),
            Self::Builder(error) => error.kind(),
            Self::Registry(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Mirror(error) => error.kind(),
            Self::WouldChange { .. } | Self::OtherCompression { .. } | Self::BaseWithoutPin => {
                ErrorKind::Difference
            }
            Self::Gone { .. } | Self::BadWheel(_) => ErrorKind::Work,
            Self::Artifact(_)
            | Self::CannotMount { .. }
            | Self::TemporaryFolder(_)
            | Self::Write { .. }
            | Self::Thread(_) => ErrorKind::Environment,
            _ => ErrorKind::User,
        }
    }
}

from_boxed!(LockingError {
    Settings(SettingsError),
    Planning(PlanningError),
    Registry(RegistryError),
    Mirror(MirrorError),
});

impl From<ExpandError> for LockingError {
    fn from(error: ExpandError) -> Self {
        PlanningError::from(error).into()
    }
}

impl ExplainFailure for LockingError {
    fn explain(self, trace: &BuildTrace, plan: &BuildPlan) -> Self {
        match self {
            Self::Builder(error) => Self::Builder(error.explain(trace, plan)),
            other => other,
        }
    }
}
