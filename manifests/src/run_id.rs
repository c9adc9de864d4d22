//! The name of a run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest run id, in bytes: with `.toml` it must stay a file name everywhere.
pub const MAX_LENGTH: usize = 128;

/// A run's id: a word that is safe as a file name.
///
/// Letters, digits, `.`, `_` and `-`; it starts with a letter, a digit or `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

impl RunId {
    /// A new id that sorts after those made before it (a ULID).
    pub fn generate() -> Self {
        Self(ulid::Ulid::r#gen().to_string())
    }

    /// The id to use: the given one, else Weights & Biases' (`WANDB_RUN_ID`), else a new one.
    /// Empty counts as not given for the environment's value only.
    pub fn choose(given: Option<&str>, wandb: Option<&str>) -> Result<Self, RunIdError> {
        match (given, wandb.filter(|id| !id.is_empty())) {
            (Some(id), _) | (None, Some(id)) => id.parse(),
            (None, None) => Ok(Self::generate()),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0
    }
}

impl TryFrom<String> for RunId {
    type Error = RunIdError;

    fn try_from(id: String) -> Result<Self, RunIdError> {
        id.parse()
    }
}

impl FromStr for RunId {
    type Err = RunIdError;

    fn from_str(id: &str) -> Result<Self, RunIdError> {
        let refuse = |why| {
            Err(RunIdError {
                id: id.to_owned(),
                why,
            })
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if id.is_empty() {
            return refuse("it is empty".to_owned());
        }
        if id.len() > MAX_LENGTH {
            return refuse(format!(
                "it is {} bytes long, more than {MAX_LENGTH}",
                id.len()
            ));
        }
        if let Some(c) = id.chars().find(|&c| !allowed(c)) {
            return refuse(format!("{c:?} isn't a letter, a digit, `.`, `_` or `-`"));
        }
        if id.starts_with(['.', '-']) {
            return refuse("it starts with `.` or `-`".to_owned());
        }
        Ok(Self(id.to_owned()))
    }
}

/// A run id that can't be a file name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the run id {id:?} can't be used: {why}")]
pub struct RunIdError {
    /// The id as given.
    pub id: String,
    /// What is wrong with it.
    pub why: String,
}
