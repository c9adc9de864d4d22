//! Errors of `adopt`.

use crate::error::CommandError;
use mlbuild::adopt::AdoptError;

impl From<AdoptError> for CommandError {
    fn from(error: AdoptError) -> Self {
        let made = CommandError::new(error.kind(), &error);
        match error {
            AdoptError::Registry(error) => error.into(),
            AdoptError::Refused { source, .. } => {
                let error = CommandError::from(source);
                error.hints().iter().fold(made, CommandError::hint)
            }
            AdoptError::AlreadyOwned { .. } => {
                made.hint("name a tag in the same repository, or copy the image")
            }
            _ => made,
        }
    }
}
