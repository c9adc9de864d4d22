//! What a command fails with, as the person at the terminal reads it: the message, its kind, and what to
//! type next. The errors of modules become one in [`crate::cli::support::errors`].

use std::fmt;

use crate::error::ErrorKind;

/// An error as the person at the terminal reads it.
#[derive(Debug)]
pub struct CommandError {
    /// What kind of failure.
    pub kind: ErrorKind,
    message: String,
    hints: Vec<String>,
    evidence: Vec<String>,
    details: Vec<String>,
}

/// The result of a command.
pub type CommandResult<T = ()> = Result<T, CommandError>;

impl CommandError {
    /// An error of the given kind with the display of `message`.
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        CommandError {
            kind,
            message: message.to_string(),
            hints: Vec::new(),
            evidence: Vec::new(),
            details: Vec::new(),
        }
    }

    /// The build, push or run failed.
    pub fn work(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Work, message)
    }

    /// The command line or a user's file is wrong.
    pub fn user(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::User, message)
    }

    /// The surroundings are not what the command needs.
    pub fn environment(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Environment, message)
    }

    /// Something that had to be the same is not.
    pub fn difference(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Difference, message)
    }

    /// The container runtime couldn't do it.
    pub fn runtime(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Runtime, message)
    }

    /// Adds a line that says what to type next.
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hints.push(hint.to_string());
        self
    }

    /// Adds what a program said, which stands below the hints.
    pub fn evidence(mut self, text: impl fmt::Display) -> Self {
        self.evidence.push(text.to_string());
        self
    }

    /// Adds what is shown with `--verbose` alone.
    pub fn detail(mut self, text: impl fmt::Display) -> Self {
        self.details.push(text.to_string());
        self
    }

    /// Shows the details too.
    #[must_use]
    pub fn verbose(mut self, is_verbose: bool) -> Self {
        if is_verbose {
            self.evidence.append(&mut self.details);
        }
        self
    }

    /// What stands below the hints.
    pub fn evidences(&self) -> &[String] {
        &self.evidence
    }

    /// The message without hints.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The lines that say what to type next.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        for hint in &self.hints {
            write!(f, "\n  hint: {hint}")?;
        }
        for evidence in &self.evidence {
            write!(f, "\n\n{evidence}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CommandError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_follow_the_message() {
        let error = CommandError::user("no template `pyton`").hint("did you mean `python`?");
        insta::assert_snapshot!(error, @r"
        no template `pyton`
          hint: did you mean `python`?
        ");
    }
}
