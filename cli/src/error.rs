//! What a command fails with, as the person at the terminal reads it: the message, its kind, and what to
//! type next. The errors of modules become one in [`crate::support::errors`].

use std::fmt;

use mlbuild::error::ErrorKind;

/// How this machine says that there is no room: on the disk, and of the user's share.
const NO_ROOM: [&str; 2] = ["(os error 28)", "(os error 122)"];

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
    /// An error of the given kind with the display of `message`. A disk without room is the environment's,
    /// whichever file was written.
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        let error = CommandError {
            kind,
            message: message.to_string(),
            hints: Vec::new(),
            evidence: Vec::new(),
            details: Vec::new(),
        };
        if NO_ROOM.iter().any(|words| error.message.contains(words)) {
            let kind = match kind {
                ErrorKind::User => ErrorKind::Environment,
                other => other,
            };
            return CommandError { kind, ..error }.hint("the disk is full: df -h .");
        }
        error
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
        let hint = hint.to_string();
        if !self.hints.contains(&hint) {
            self.hints.push(hint);
        }
        self
    }

    /// Says first what it is about.
    #[must_use]
    pub fn of(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
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
    fn a_full_disk_is_the_environments() {
        let full = std::io::Error::from_raw_os_error(28);
        for (kind, code) in [
            (ErrorKind::User, 3),
            (ErrorKind::Environment, 3),
            (ErrorKind::Work, 1),
        ] {
            let error = CommandError::new(kind, format!("a.toml: {full}"));
            let error = error.hint("the disk is full: df -h .");
            assert_eq!(error.kind.exit_code(), code);
            assert_eq!(error.hints(), ["the disk is full: df -h ."]);
        }
        assert_eq!(CommandError::user("a.toml: is cut off").hints().len(), 0);
    }

    #[test]
    fn hints_follow_the_message() {
        let error = CommandError::user("no template `pyton`").hint("did you mean `python`?");
        insta::assert_snapshot!(error, @r"
        no template `pyton`
          hint: did you mean `python`?
        ");
    }
}
