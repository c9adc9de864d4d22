//! What a command can fail with: of which kind, the exit code, and what to type next.
//!
//! Rooms return their own `thiserror` types; the hall sorts them here.

use std::fmt;

/// What kind of failure it is. Each kind has one documented exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The build, the push or the run itself failed: exit code 1.
    Work,
    /// The command line, a file the user wrote or a name they gave is wrong: exit code 2.
    User,
    /// A builder, registry, disk or device is missing or refuses: exit code 3.
    Environment,
    /// A verification found a difference, or a lock would have changed: exit code 4.
    Difference,
    /// The container runtime couldn't have the image or start the container: exit code 125, as
    /// `docker run` has it.
    Runtime,
}

impl ErrorKind {
    /// The process exit code for this kind of failure.
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Work => 1,
            ErrorKind::User => 2,
            ErrorKind::Environment => 3,
            ErrorKind::Difference => 4,
            ErrorKind::Runtime => 125,
        }
    }
}

/// An error as the person at the terminal reads it.
#[derive(Debug)]
pub struct CommandError {
    /// What kind of failure.
    pub kind: ErrorKind,
    message: String,
    hints: Vec<String>,
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
        Ok(())
    }
}

impl std::error::Error for CommandError {}

/// Takes an error into one that holds it boxed, as `?` asks for: `from_boxed!(BuildError {
/// Settings(SettingsError) })`.
macro_rules! from_boxed {
    ($outer:ident { $($variant:ident($inner:ty)),+ $(,)? }) => {
        $(impl From<$inner> for $outer {
            fn from(error: $inner) -> Self {
                Self::$variant(Box::new(error))
            }
        })+
    };
}
pub(crate) use from_boxed;

/// Joins an error with its sources as `outer: inner: innermost`, skipping a
/// source whose text the outer one already holds.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_documented() {
        let codes = [
            ErrorKind::Work,
            ErrorKind::User,
            ErrorKind::Environment,
            ErrorKind::Difference,
            ErrorKind::Runtime,
        ]
        .map(ErrorKind::exit_code);
        assert_eq!(codes, [1, 2, 3, 4, 125]);
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
