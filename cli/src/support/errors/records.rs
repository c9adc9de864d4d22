//! Errors of `records`.

use mlbuild_manifests::RunRecordError;

use crate::error::CommandError;
use mlbuild::records::StoreError;

/// A record's error with the flag that gives another id, where that would help.
pub(super) fn record_words(error: &RunRecordError) -> String {
    match error {
        RunRecordError::BoundElsewhere { .. } | RunRecordError::Taken { .. } => {
            format!("{error}; choose another --run-id")
        }
        _ => error.to_string(),
    }
}

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
