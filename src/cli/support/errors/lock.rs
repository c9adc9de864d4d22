//! Errors of `lock`.

use crate::error::CommandError;
use crate::lock::LockBesideError;

impl From<LockBesideError> for CommandError {
    fn from(error: LockBesideError) -> Self {
        match error {
            LockBesideError::Registry(error) => error.into(),
            LockBesideError::Unreadable { .. } => CommandError::new(error.kind(), error),
        }
    }
}
