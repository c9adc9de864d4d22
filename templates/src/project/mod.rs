//! What a project's folder holds: requirements files, lock files, and the packages they name.
//!
//! Reads files of the build context only; what follows from them is decided in
//! [`mod@crate::compose`] and by whoever writes a first `mlbuild.toml`.

mod aside;
mod code;
mod compiles;
mod detect;
mod environment;
mod evaluate;
mod imports;
mod lists;
mod locks;
pub mod manifests;
mod next_step;
mod plain_strings;
mod pylock;
mod reached;
mod requirements;
mod source_only;

pub use aside::condarc_of_machine;
pub(crate) use aside::{to_fetch, unfetched_around};
pub(crate) use code::{Code, code_of};
pub(crate) use compiles::compiles;
pub use detect::{BESIDES_PACKAGES, Finding, ProjectFacts, detect, detect_chosen};
pub(crate) use detect::{WINDOWS, shows_windows, template_of};
pub use environment::ImagePython;
pub(crate) use imports::{Imported, imported};
pub use locks::ProjectLock;
pub(crate) use manifests::build_requirements;
pub(crate) use manifests::name_of as name_of_project;
pub use next_step::NextStep;
pub(crate) use plain_strings::frameworks_in;
pub use pylock::{FilePlace, PylockFile, PylockPython, files_of_pylock};
pub use requirements::{Address, LocalProject, Requirements, Span, read_lines, read_requirements};
pub(crate) use requirements::{
    PROXY_LEFT_OUT, PROXY_SENT, has_credentials, is_outside, names_proxy, parse_one,
};
pub(crate) use source_only::SourceOnly;

use std::borrow::Cow;
use std::path::PathBuf;

use pep440_rs::VersionSpecifiers;

/// Text of a stranger's file, such as a file's name, so that it begins no line of its own where it is shown.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if !text.contains(breaks) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().map(|c| match c {
        c if breaks(c) => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    });
    Cow::Owned(shown.collect())
}

/// A package that a file or the spec asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The name as PEP 503 normalizes it (`opencv-python`).
    pub name: String,
    /// The extras, sorted.
    pub extras: Vec<String>,
    /// The versions that will do; `None` where it comes from a URL.
    pub versions: Option<VersionSpecifiers>,
    /// Whether the URL is a wheel's: nothing is built from it.
    pub is_wheel: bool,
    /// Where it is asked for: `requirements.txt:3`, or the setting's name.
    pub origin: String,
}

/// Why a project file can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProjectError {
    /// The file can't be read.
    #[error("can't read {}: {reason}; {hint}", one_line(&path.to_string_lossy()))]
    Unreadable {
        /// The file, as it was named.
        path: PathBuf,
        /// Why.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// A line can't be understood.
    #[error(
        "{}:{line}: {}\n    {}\n{hint}",
        one_line(file),
        one_line(reason),
        one_line(text)
    )]
    Line {
        /// The file, relative to the project.
        file: String,
        /// The line's number, from 1.
        line: usize,
        /// The line.
        text: String,
        /// What is wrong with it.
        reason: String,
        /// What to write instead.
        hint: String,
    },
    /// A package of conda that neither the package index nor the distribution is known to have.
    #[error(
        "{origin}: {name} is a package of conda that neither the package index nor Debian is known to have{others}; name what stands in for it under [image] packages or apt and remove the line, or build on a base with conda from a Dockerfile of your own"
    )]
    Conda {
        /// `environment.yml:7`.
        origin: String,
        /// The package.
        name: String,
        /// Further packages of the kind, for the sentence.
        others: String,
    },
}
