//! Why no base image was made.

use std::io;
use std::path::PathBuf;

use crate::error::ErrorKind;
use crate::image::LayoutError;
use crate::image::layout_writer::LayoutWriteError;
use crate::registry::RegistryError;
use crate::settings::SettingsError;

/// Why no base image was made.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The suite is no name that Debian has.
    #[error("{0}: not a name that Debian has")]
    Suite(String),
    /// A package to include is no name that Debian has.
    #[error("{0}: not a name that Debian has")]
    Package(String),
    /// The time of the snapshot isn't written as the archive writes it.
    #[error("{0}: not a time of the archive")]
    SnapshotTime(String),
    /// A snapshot is asked for, and no archive of snapshots is named.
    #[error("{0}: of which archive of snapshots?")]
    SnapshotOfNone(String),
    /// The program that makes the files isn't installed.
    #[error("mmdebstrap isn't installed")]
    NotInstalled,
    /// apt knows no archive, and none is named.
    #[error("apt on this machine names no archive that could have {suite}")]
    NoArchive {
        /// The suite.
        suite: String,
    },
    /// The address that the image's apt is to name is none.
    #[error("{0}: not an address of an archive")]
    Sources(String),
    /// The archive's address holds a log-in, which the image would hold too.
    #[error("the archive's address has a log-in, and the image's own apt would name it")]
    LogInOfArchive,
    /// `SOURCE_DATE_EPOCH` can't be used.
    #[error(transparent)]
    Epoch(#[from] SettingsError),
    /// The archive doesn't say when it was written.
    #[error("{url} says no date: it is no Debian archive")]
    NoDate {
        /// Address of its signed list.
        url: String,
    },
    /// The archive doesn't give its signed list.
    #[error("{suite}: {source}")]
    NoList {
        /// The suite.
        suite: String,
        /// Why.
        source: ToolError,
    },
    /// mmdebstrap makes no files.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// There is no place to work in.
    #[error("temporary folder: {0}")]
    TemporaryFolder(#[source] io::Error),
    /// What mmdebstrap wrote can't be read.
    #[error("mmdebstrap's tar: {0}")]
    Tar(#[source] io::Error),
    /// The layout can't be written.
    #[error(transparent)]
    Write(#[from] LayoutWriteError),
    /// The layout can't be moved to where it is to be.
    #[error("{}: {source}", folder.display())]
    Output {
        /// Where it is to be.
        folder: PathBuf,
        /// Why it can't be.
        source: io::Error,
    },
    /// The layout that was written can't be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The registry doesn't take it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Why a tool did nothing.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It can't be started.
    #[error("{name}: {source}")]
    Start {
        /// The tool.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It failed.
    #[error("{name} failed:\n  {last}")]
    Failed {
        /// The tool.
        name: &'static str,
        /// Its last words.
        last: String,
    },
}

impl BaseError {
    /// Of which kind it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Suite(_)
            | Self::Package(_)
            | Self::SnapshotTime(_)
            | Self::SnapshotOfNone(_)
            | Self::Sources(_)
            | Self::LogInOfArchive => ErrorKind::User,
            Self::Epoch(error) => error.kind(),
            Self::Tool(error) | Self::NoList { source: error, .. } => error.kind(),
            Self::Registry(error) => error.kind(),
            Self::NotInstalled
            | Self::NoArchive { .. }
            | Self::NoDate { .. }
            | Self::TemporaryFolder(_)
            | Self::Tar(_)
            | Self::Write(_)
            | Self::Output { .. }
            | Self::Layout(_) => ErrorKind::Environment,
        }
    }
}

impl ToolError {
    /// Of which kind it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Start { .. } => ErrorKind::Environment,
            Self::Failed { .. } => ErrorKind::Work,
        }
    }
}
