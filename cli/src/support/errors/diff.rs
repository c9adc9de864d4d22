//! Errors of `diff`.

use crate::error::CommandError;
use mlbuild::diff::DiffError;

impl From<DiffError> for CommandError {
    fn from(error: DiffError) -> Self {
        match error {
            DiffError::Image(error) => error.into(),
            error => CommandError::new(error.kind(), &error),
        }
    }
}
