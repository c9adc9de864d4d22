//! What to do about a file that isn't used.

use std::fmt;

use super::one_line;

/// What to do about a file that isn't used. Written out, it is in words of `mlbuild.toml`; a command line says
/// the same by its own options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextStep {
    /// In words.
    Do(String),
    /// Let packages be installed by this file: `requirements` of `[image]`.
    UseFile(String),
    /// The same for any one of several files, of which this is the form.
    UseOneLike(&'static str),
    /// Build this Dockerfile as it is: `dockerfile` of `[image]`.
    BuildFile(String),
    /// The same for any one of several Dockerfiles, of which this is the form.
    BuildOneLike(&'static str),
    /// Set the version of Python: `python` of `[image]`.
    SetPython(&'static str),
}

impl From<&str> for NextStep {
    fn from(words: &str) -> Self {
        Self::Do(words.to_owned())
    }
}

impl From<String> for NextStep {
    fn from(words: String) -> Self {
        Self::Do(words)
    }
}

impl fmt::Display for NextStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (purpose, key, value) = match self {
            Self::Do(words) => return f.write_str(&one_line(words)),
            Self::UseFile(file) => (
                "use it",
                "requirements",
                toml::Value::from(vec![file.as_str()]),
            ),
            Self::UseOneLike(file) => ("use one", "requirements", toml::Value::from(vec![*file])),
            Self::BuildFile(file) => ("build it as it is", "dockerfile", file.as_str().into()),
            Self::BuildOneLike(file) => ("build one as it is", "dockerfile", (*file).into()),
            Self::SetPython(version) => ("choose one", "python", (*version).into()),
        };
        let value = value.to_string();
        write!(
            f,
            "to {purpose}: {key} = {} under [image]",
            one_line(&value)
        )
    }
}
