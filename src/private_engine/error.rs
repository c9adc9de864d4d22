//! What can go wrong with a private builder.

use std::io;
use std::path::{Path, PathBuf};

/// Why there is no private builder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Containers need Linux.
    #[error("a private builder needs Linux")]
    NotLinux,
    /// Neither `MLBUILD_STATE_DIR`, `XDG_STATE_HOME` nor `HOME` is set.
    #[error("no folder for the private builder: set HOME or MLBUILD_STATE_DIR")]
    NoFolder,
    /// Every source was tried.
    #[error("no private builder could be had; tried:{}", list(.0))]
    NoSource(Vec<(&'static str, String)>),
    /// One source that was asked for by name does not have it.
    #[error("{name}: {reason}")]
    Source {
        /// The source, as a person names it.
        name: &'static str,
        /// What it lacks.
        reason: String,
    },
    /// The archive is not the one that was asked for.
    #[error("{url}: its sha256 is {found}, not {expected}; nothing of it was used")]
    WrongArchive {
        /// Where it came from.
        url: String,
        /// What it should have been.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The user isn't root, and the machine lets nobody else run containers.
    #[error("a private builder without root needs {0}")]
    Rootless(String),
    /// The user isn't root, and the machine's settings forbid user namespaces.
    #[error(
        "a private builder without root needs user namespaces, which {setting} = {value} forbids"
    )]
    NoUserNamespaces {
        /// The file under /proc.
        setting: &'static str,
        /// What it holds.
        value: &'static str,
    },
    /// It was started and did not come to answer.
    #[error("the private builder did not start: {reason}\n{log}")]
    DidNotStart {
        /// What was waited for.
        reason: String,
        /// The last lines of its log, indented.
        log: String,
    },
    /// A file or folder of its state.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A state file that mlbuild did not write.
    #[error("{path} is not what mlbuild wrote ({reason})")]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// For `map_err` on an operation on `path`.
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

fn list(tried: &[(&'static str, String)]) -> String {
    tried
        .iter()
        .map(|(name, reason)| format!("\n  {name}: {reason}"))
        .collect()
}
