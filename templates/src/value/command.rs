//! A command: a list of words, or one line for a shell.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a container runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Command {
    /// The program and its arguments, given to the kernel as they are.
    Words(Vec<String>),
    /// One line for `/bin/sh -c`.
    Line(String),
}

impl Command {
    /// The words that are run; a line becomes `/bin/sh -c LINE`, so that Dockerfile linters are
    /// content and nothing depends on the base's SHELL.
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::Words(words) => words.clone(),
            Self::Line(line) => vec!["/bin/sh".into(), "-c".into(), line.clone()],
        }
    }
}
