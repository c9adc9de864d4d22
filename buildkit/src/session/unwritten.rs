//! What couldn't be written on this side. The builder tells of it in words of its own, as if it had
//! been at fault.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tonic::Status;

/// The first file of a build that couldn't be written, and why.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unwritten(Arc<Mutex<Option<(PathBuf, io::Error)>>>);

impl Unwritten {
    /// Notes it; returns what the builder is told.
    pub(super) fn status(&self, path: &Path, error: io::Error) -> Status {
        let status = Status::unavailable(format!("{}: {error}", path.display()));
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| (path.to_path_buf(), error));
        status
    }

    /// What was noted.
    pub(crate) fn take(&self) -> Option<(PathBuf, io::Error)> {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.take()
    }
}
