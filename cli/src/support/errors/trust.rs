//! Errors of `trust`.

use crate::error::CommandError;
use mlbuild::shell::word;
use mlbuild::trust::TrustError;

impl From<TrustError> for CommandError {
    fn from(error: TrustError) -> Self {
        let made = CommandError::new(error.kind(), &error);
        let place = |file: &Option<std::path::PathBuf>| match file {
            Some(file) => file.display().to_string(),
            None => "~/.config/mlbuild/config.toml".to_owned(),
        };
        match &error {
            TrustError::Refused {
                folder, user_file, ..
            } => made
                .hint("if you know why it does: the same command with --trust")
                .hint(format!(
                    "for good: trusted = [{:?}] in {}",
                    folder.display().to_string(),
                    place(user_file)
                )),
            TrustError::OwnAffair {
                key,
                value,
                user_file,
                ..
            } => {
                let word = word(value);
                let (flag, line) = match *key {
                    "[build] builder" => {
                        (format!("--builder {word}"), format!("builder = {value:?}"))
                    }
                    "[registry] insecure" => (
                        format!("--insecure-registry {word}"),
                        format!("[registry] insecure = [{value:?}]"),
                    ),
                    _ => (
                        "no mirror".to_owned(),
                        "[registry] mirrors, as it stands in the project".to_owned(),
                    ),
                };
                made.hint(format!("leave it out, and type {flag}"))
                    .hint(format!(
                        "or write it once into {}: {line}",
                        place(user_file)
                    ))
            }
            TrustError::UserFile { .. } => made,
        }
    }
}
