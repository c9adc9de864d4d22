//! Errors of `runs`.

use crate::error::CommandError;
use mlbuild::runs::RunsError;
use mlbuild::shell::word;

impl From<RunsError> for CommandError {
    fn from(error: RunsError) -> Self {
        let made = CommandError::new(error.kind(), &error);
        match error {
            RunsError::Store(error) => error.into(),
            RunsError::Registry(error) => error.into(),
            RunsError::Tracker(error) => error.into(),
            RunsError::NeverPushed { .. } => made.hint(
                "push the image (docker push, or mlbuild image --push) and start the next run from it",
            ),
            RunsError::NotAttached { image, .. } => made.hint(format!("mlbuild runs pull {}", word(image))),
            RunsError::KeptOtherwise { tag, .. } => {
                made.hint(format!("mlbuild inspect {} says what it is", word(&tag)))
            }
            RunsError::Git(_) => made.hint("nothing is removed while it isn't known what is needed"),
            RunsError::Lock(error) => error.into(),
            RunsError::NoTag { .. }
            | RunsError::Read { .. }
            | RunsError::Record(_) | RunsError::Id(_) | RunsError::Remove { .. } => made,
        }
    }
}
