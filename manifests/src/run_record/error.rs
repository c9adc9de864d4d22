//! What can be wrong with a run record.

use std::io;
use std::path::{Path, PathBuf};

use super::FORMAT_VERSION;
use crate::RunId;

/// What can be wrong with a run record.
#[derive(Debug, thiserror::Error)]
pub enum RunRecordError {
    /// The run belongs to another image.
    #[error(
        "run {id} is bound to {bound} ({}), not to {asked}",
        path.display()
    )]
    BoundElsewhere {
        /// The run.
        id: RunId,
        /// Its record.
        path: PathBuf,
        /// The image it is bound to.
        bound: String,
        /// The image it was to be bound to.
        asked: String,
    },
    /// A run of this id was started before.
    #[error("run {id} was started before ({})", path.display())]
    Taken {
        /// The run.
        id: RunId,
        /// Its record.
        path: PathBuf,
    },
    /// The record can't be read.
    #[error("{}: can't be read: {source}", path.display())]
    Read {
        /// The record.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The record can't be written.
    #[error("{}: can't be written: {source}", path.display())]
    Write {
        /// The record.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A newer format.
    #[error(
        "{}:{line}: made by a newer mlbuild: format {found}, and this version reads up to \
         {FORMAT_VERSION}; update mlbuild",
        path.display()
    )]
    Newer {
        /// The record.
        path: PathBuf,
        /// Line of its format number, from 1.
        line: usize,
        /// Its format.
        found: u32,
    },
    /// Part of the record is missing.
    #[error(
        "{}:{line}: the record is cut off: its last line isn't `{}`; take it back from version \
         control, or pull it from the registry",
        path.display(),
        super::text::END
    )]
    Truncated {
        /// The record.
        path: PathBuf,
        /// Its last line, from 1.
        line: usize,
    },
    /// The patch beside the record isn't the one it was made with.
    #[error(
        "{}: it isn't the patch that was recorded ({digest}); take it back from version \
         control, or pull it from the registry",
        path.display()
    )]
    PatchDiffers {
        /// The patch.
        path: PathBuf,
        /// What the record says.
        digest: String,
    },
    /// Not what the format says.
    #[error("{}:{line}: {message}", path.display())]
    Invalid {
        /// The record.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong; names the key.
        message: String,
    },
}

impl RunRecordError {
    /// The file it speaks of.
    pub fn path(&self) -> &Path {
        match self {
            RunRecordError::BoundElsewhere { path, .. }
            | RunRecordError::Taken { path, .. }
            | RunRecordError::Read { path, .. }
            | RunRecordError::Write { path, .. }
            | RunRecordError::Newer { path, .. }
            | RunRecordError::Truncated { path, .. }
            | RunRecordError::PatchDiffers { path, .. }
            | RunRecordError::Invalid { path, .. } => path,
        }
    }
}
