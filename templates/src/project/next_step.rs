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
    /// Let packages be installed by all of these files together.
    UseFiles(Vec<String>),
    /// Let packages be installed by any one of several files, such as this one.
    UseOne(String),
    /// Build this Dockerfile as it is: `dockerfile` of `[image]`.
    BuildFile(String),
    /// The same for any one of several Dockerfiles, such as this one.
    BuildOne(String),
    /// Build a Dockerfile as it is, with a folder below the project's as its context.
    BuildIn {
        /// The folder, relative to the project.
        context: String,
        /// The Dockerfile, relative to the project.
        file: String,
    },
    /// Set the version of Python: `python` of `[image]`.
    SetPython(&'static str),
    /// Each of several kinds of files has a step of its own.
    Each(Vec<NextStep>),
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
        let list = |files: &[String]| toml::Value::from(files.to_vec());
        let (purpose, key, value) = match self {
            Self::Do(words) => return f.write_str(&one_line(words)),
            Self::Each(steps) => {
                let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
                return f.write_str(&steps.join("; "));
            }
            Self::BuildIn { context, file } => {
                let inside = file.strip_prefix(context.as_str());
                let inside = inside.map_or(file.as_str(), |rest| rest.trim_start_matches('/'));
                let value = toml::Value::from(inside).to_string();
                let place = format!("{context}/mlbuild.toml");
                return write!(
                    f,
                    "to build it as it is: dockerfile = {} under [image] of {}",
                    one_line(&value),
                    one_line(&place)
                );
            }
            Self::UseFile(file) => ("use it", "requirements", list(std::slice::from_ref(file))),
            Self::UseFiles(files) => ("use it", "requirements", list(files)),
            Self::UseOne(file) => ("use one", "requirements", list(std::slice::from_ref(file))),
            Self::BuildFile(file) => ("build it as it is", "dockerfile", file.as_str().into()),
            Self::BuildOne(file) => ("build one as it is", "dockerfile", file.as_str().into()),
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
