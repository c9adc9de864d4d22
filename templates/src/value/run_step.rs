//! A command that is run while the image is made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ContainerPath;

/// A command that is run while the image is made: one line, or a table with more about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "RunForm")]
pub struct RunStep {
    /// What is given to `/bin/sh -c`; several lines are one command.
    pub command: String,
    /// When it is run.
    pub when: RunWhen,
    /// Whether the image's user runs it, after everything else; else root does.
    pub user: bool,
    /// Folders that the builder keeps between builds, and that are no part of the image.
    pub cache: Vec<ContainerPath>,
    /// Whether it gets the settings of this machine's package index where a log-in is in them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub index: bool,
}

/// When a command is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunWhen {
    /// After the Debian packages, before the Python packages.
    BeforePackages,
    /// After all packages and with the image's environment; an edit of the code doesn't run it again.
    #[default]
    AfterPackages,
    /// Once the code is there, in the working directory.
    AfterCode,
}

/// What may stand in a list of commands.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a command is a text, or a table with the keys command, when, user, cache and index"
)]
enum RunForm {
    Line(String),
    Table(RunTable),
}

/// A command with more about it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunTable {
    /// What is given to `/bin/sh -c`.
    command: String,
    /// When it is run: `after-packages` where absent.
    #[serde(default)]
    when: RunWhen,
    /// Whether the image's user runs it, after everything else; else root does.
    #[serde(default)]
    user: bool,
    /// Folders that the builder keeps between builds, and that are no part of the image.
    #[serde(default)]
    cache: Vec<ContainerPath>,
    /// Whether it gets the settings of this machine's package index where a log-in is in them. The folder has to
    /// be trusted then; settings without a log-in every command gets.
    #[serde(default)]
    index: bool,
}

/// A command that can't be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunStepError {
    /// It has no words.
    #[error("a command to run is empty; write what a shell is to run, or leave it out")]
    Empty,
    /// A shell can't be given it.
    #[error("a command to run holds a NUL character; take it out")]
    Nul,
    /// The user comes last.
    #[error(
        "the image's user runs commands after everything else: leave out when = \"{0}\" or user"
    )]
    TooEarly(&'static str),
}

impl RunStep {
    /// A command that root runs after the packages.
    ///
    /// # Errors
    /// Where no shell can be given it.
    pub fn new(command: impl Into<String>) -> Result<Self, RunStepError> {
        let command = command.into();
        if command.trim().is_empty() {
            return Err(RunStepError::Empty);
        }
        if command.contains('\0') {
            return Err(RunStepError::Nul);
        }
        Ok(Self {
            command,
            when: RunWhen::default(),
            user: false,
            cache: Vec::new(),
            index: false,
        })
    }
}

impl std::str::FromStr for RunStep {
    type Err = RunStepError;

    fn from_str(command: &str) -> Result<Self, Self::Err> {
        Self::new(command)
    }
}

impl TryFrom<RunForm> for RunStep {
    type Error = RunStepError;

    fn try_from(form: RunForm) -> Result<Self, Self::Error> {
        let table = match form {
            RunForm::Line(command) => return Self::new(command),
            RunForm::Table(table) => table,
        };
        if table.user && table.when == RunWhen::BeforePackages {
            return Err(RunStepError::TooEarly("before-packages"));
        }
        Ok(Self {
            when: table.when,
            user: table.user,
            cache: table.cache,
            index: table.index,
            ..Self::new(table.command)?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Has {
        run: Vec<RunStep>,
    }

    #[test]
    fn a_command_is_a_line_or_a_table() {
        let has: Has = toml::from_str(
            "run = ['make', { command = 'x', when = 'after-code', cache = ['/c'] }, { command = 'y', user = true }]",
        )
        .unwrap();
        assert_eq!(has.run[0], RunStep::new("make").unwrap());
        assert_eq!(has.run[1].when, RunWhen::AfterCode);
        assert_eq!(has.run[1].cache[0].as_str(), "/c");
        assert!(has.run[2].user);
    }

    #[test]
    fn what_no_shell_can_be_given_is_refused() {
        for (text, why) in [
            ("run = [' ']", "is empty"),
            (
                "run = [{ command = 'x', user = true, when = 'before-packages' }]",
                "after everything else",
            ),
            ("run = [{ comand = 'x' }]", "a table with the keys command"),
            ("run = [7]", "a command is a text"),
        ] {
            let error = toml::from_str::<Has>(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
