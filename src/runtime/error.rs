//! What can be wrong with a line of docker's grammar.

use super::flag::Flag;

/// A command line that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunSpecError {
    /// No flag has this name.
    #[error("unknown flag --{name}")]
    UnknownFlag {
        /// The name, without dashes.
        name: String,
        /// The name nearest to it.
        near: Option<&'static str>,
        /// The verb that was typed.
        verb: &'static str,
    },
    /// No flag has this letter.
    #[error("unknown flag -{short}{}", if word.chars().count() > 2 { format!(" in {word}") } else { String::new() })]
    UnknownShort {
        /// The letter.
        short: char,
        /// The word it stands in.
        word: String,
        /// The long name that the word is, after one dash only.
        meant: Option<&'static str>,
        /// The verb that was typed.
        verb: &'static str,
    },
    /// Not written as flags are.
    #[error("`{word}` isn't a flag")]
    Malformed {
        /// The word.
        word: String,
        /// The verb that was typed.
        verb: &'static str,
    },
    /// A flag at the end that needs a value.
    #[error("{flag} needs a value")]
    MissingValue {
        /// The flag.
        flag: &'static Flag,
    },
    /// A value that the flag doesn't take.
    #[error("{flag} {value}: {why}")]
    Value {
        /// The flag.
        flag: &'static Flag,
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
        /// The verb that was typed.
        verb: &'static str,
    },
}
