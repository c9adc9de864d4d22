//! What can be wrong with a command line of `mlbuild run`.

use super::table;
use crate::error::CommandError;

/// A command line that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunSpecError {
    /// No flag has this name.
    #[error("unknown flag --{name}")]
    UnknownFlag {
        /// The name, without dashes.
        name: String,
    },
    /// No flag has this letter.
    #[error("unknown flag -{short}{}", if word.chars().count() > 2 { format!(" in {word}") } else { String::new() })]
    UnknownShort {
        /// The letter.
        short: char,
        /// The word it stands in.
        word: String,
    },
    /// Not written as flags are.
    #[error("`{word}` isn't a flag")]
    Malformed {
        /// The word.
        word: String,
    },
    /// A flag at the end that needs a value.
    #[error("--{flag} needs a value")]
    MissingValue {
        /// The flag's long name.
        flag: &'static str,
    },
    /// A value that the flag doesn't take.
    #[error("--{flag} {value}: {why}")]
    Value {
        /// The flag's long name.
        flag: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it, and what to write.
        why: String,
    },
    /// The line ends before an image.
    #[error("no image is given{}", taken.as_ref().map_or_else(String::new, |(flag, value)| {
        format!("; `{value}` was read as the value of --{flag}")
    }))]
    NoImage {
        /// The last flag with a value in a word of its own, which may have been meant as the image.
        taken: Option<(&'static str, String)>,
    },
}

impl RunSpecError {
    /// What to type instead.
    pub fn hint(&self) -> String {
        match self {
            Self::UnknownFlag { name } => did_you_mean(name),
            Self::UnknownShort { word, .. } => {
                // `-rm` for `--rm`: a long name after one dash.
                let name = word.trim_start_matches('-');
                let name = name.split('=').next().unwrap_or_default();
                match table::find(name) {
                    Some(flag) => format!("did you mean `--{}`?", flag.name),
                    None => SEE.to_owned(),
                }
            }
            Self::MissingValue { flag } | Self::Value { flag, .. } => {
                let value = table::find(flag).map_or("", |flag| flag.value_name);
                format!("write --{flag} {value}").trim_end().to_owned()
            }
            Self::NoImage { .. } => "write mlbuild run [FLAGS] IMAGE [COMMAND]".to_owned(),
            Self::Malformed { .. } => SEE.to_owned(),
        }
    }
}

const SEE: &str = "mlbuild run --help lists the flags";

fn did_you_mean(name: &str) -> String {
    match table::nearest(name) {
        Some(name) => format!("did you mean `--{name}`?"),
        None => SEE.to_owned(),
    }
}

impl From<RunSpecError> for CommandError {
    fn from(error: RunSpecError) -> Self {
        CommandError::user(&error).hint(error.hint())
    }
}
