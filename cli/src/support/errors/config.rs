//! Errors of `mlbuild.toml`.

use crate::error::CommandError;
use mlbuild::config::ConfigError;

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        let made = CommandError::user(&error);
        match error {
            ConfigError::Invalid {
                hint: Some(hint), ..
            } => made.hint(hint),
            _ => made,
        }
    }
}
