//! Errors of `records`.

use crate::cli::error::CommandError;
use crate::records::StoreError;

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        let made = CommandError::user(&error);
        match error {
            StoreError::Unknown {
                near: Some(near), ..
            } => made.hint(format!("did you mean `{near}`?")),
            StoreError::Unknown { .. } => made.hint("mlbuild runs list"),
            StoreError::Ambiguous { .. } => made.hint("type more of the id"),
            StoreError::Folder { .. } | StoreError::Record(_) => made,
        }
    }
}
