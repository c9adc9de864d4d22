//! Errors of command lines that are docker's.

use crate::error::CommandError;
use crate::runtime::RunSpecError;

impl From<RunSpecError> for CommandError {
    fn from(error: RunSpecError) -> Self {
        CommandError::user(&error).hint(hint(&error))
    }
}

/// What to type instead.
fn hint(error: &RunSpecError) -> String {
    let did_you_mean = |name: Option<&str>, verb: &str| match name {
        Some(name) => format!("did you mean `--{name}`?"),
        None => format!("mlbuild {verb} --help lists the flags"),
    };
    match error {
        RunSpecError::UnknownFlag { near, verb, .. } => did_you_mean(*near, verb),
        RunSpecError::UnknownShort { meant, verb, .. } => did_you_mean(*meant, verb),
        RunSpecError::MissingValue { flag } | RunSpecError::Value { flag, .. } => {
            format!("write {flag} {}", flag.value_name)
                .trim_end()
                .to_owned()
        }
        RunSpecError::NoImage { verb, .. } => {
            format!("write mlbuild {verb} [FLAGS] IMAGE [COMMAND]")
        }
        RunSpecError::Malformed { verb, .. } => did_you_mean(None, verb),
    }
}
