//! Errors of `inspect`.

use crate::error::CommandError;
use mlbuild::inspect::InspectError;

impl From<InspectError> for CommandError {
    fn from(error: InspectError) -> Self {
        let made = CommandError::new(error.kind(), &error);
        match error {
            InspectError::Registry(error) => error.into(),
            InspectError::Image(error) => error.into(),
            InspectError::Sif(error) => error.into(),
            InspectError::Runtime(error) => error.into(),
            InspectError::NoSuchPlatform { .. } => made.hint("leave --platform out"),
            InspectError::NotHere { .. } => made
                .hint("docker image ls lists what is here; without --local its registry is asked"),
            InspectError::Nowhere {
                registry,
                is_absent,
                here,
            } => {
                let error = CommandError::from(*registry);
                let message = format!("{}; and {here}", error.message());
                let made = CommandError::new(error.kind, message);
                let made = error.hints().iter().fold(made, CommandError::hint);
                if is_absent {
                    made.hint(
                        "docker image ls lists what is here; mlbuild image --push puts one there",
                    )
                } else {
                    made
                }
            }
            _ => made,
        }
    }
}
