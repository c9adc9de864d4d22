//! Values of flags.

use crate::error::{CommandError, CommandResult};

/// Parses the value of a flag; the error names both.
///
/// # Errors
/// [`mlbuild::error::ErrorKind::User`] where it can't be used.
pub fn parse<T>(flag: &str, text: &str) -> CommandResult<T>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error| CommandError::user(format!("{flag} {text}: {error}")))
}
