//! What a project asked for and doesn't get.

use std::path::PathBuf;

use crate::error::ErrorKind;

/// Why a project's wish isn't granted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It reaches out of its folder, and nobody agreed to that.
    #[error(
        "{} asks for what is outside its folder:\n{}",
        file.display(),
        wishes.iter().map(|wish| format!("  - {wish}")).collect::<Vec<_>>().join("\n")
    )]
    Refused {
        /// The project's file.
        file: PathBuf,
        /// Its folder.
        folder: PathBuf,
        /// What it asks for, in plain words.
        wishes: Vec<String>,
        /// The person's own configuration.
        user_file: Option<PathBuf>,
    },
    /// It says what only the person may say.
    #[error("{}: {key} = {value}: a project can't say that, only you can", file.display())]
    OwnAffair {
        /// The project's file.
        file: PathBuf,
        /// Table and key.
        key: &'static str,
        /// What it says.
        value: String,
        /// The person's own configuration.
        user_file: Option<PathBuf>,
    },
    /// The person's own configuration can't be used.
    #[error("{}: {why}", file.display())]
    UserFile {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl TrustError {
    /// Whose turn it is.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::User
    }
}
