//! Errors of `diff`.

use crate::diff::DiffError;
use crate::error::CommandError;

impl From<DiffError> for CommandError {
    fn from(error: DiffError) -> Self {
        match error {
            DiffError::Image(error) => error.into(),
            error => CommandError::new(error.kind(), &error),
        }
    }
}
