//! What can be wrong with a lock file.

use std::io;
use std::path::PathBuf;

use super::FORMAT_VERSION;

/// A lock file that can't be used. Each message names the file, the line where
/// there is one, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file is there and can't be read.
    #[error("{}: can't be read: {source}", path.display())]
    Read {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file can't be written or locked.
    #[error("{}: can't be written: {source}", path.display())]
    Write {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Conflict markers of a merge.
    #[error(
        "{}:{}: merge conflict (markers in lines {}); take either side \
         (`git checkout --ours -- {}` or `--theirs`), then build again",
        path.display(), lines.first().unwrap_or(&1), join(lines), path.display()
    )]
    Conflict {
        /// The lock file.
        path: PathBuf,
        /// Lines of the markers, from 1.
        lines: Vec<usize>,
    },
    /// The end is missing.
    #[error(
        "{}:{line}: the file is cut off: its last line isn't `{}`; \
         take it back from version control, or delete it and build again",
        path.display(), super::write::END
    )]
    Truncated {
        /// The lock file.
        path: PathBuf,
        /// The last line there is.
        line: usize,
    },
    /// A newer format.
    #[error(
        "{}:{line}: made by a newer mlbuild: format {found}, and this version reads up to \
         {FORMAT_VERSION}; update mlbuild",
        path.display()
    )]
    Newer {
        /// The lock file.
        path: PathBuf,
        /// Line of the version.
        line: usize,
        /// The version it has.
        found: i64,
    },
    /// Not what the format says: bad TOML, an unknown or missing key, a bad value.
    #[error("{}:{line}: {message}", path.display())]
    Invalid {
        /// The lock file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong; names the key.
        message: String,
    },
    /// An entry doesn't match its checksum.
    #[error(
        "{}:{line}: the entry of {image} was edited: its checksum says {found}, its text gives \
         {computed}; take it back from version control, or delete the entry and build again",
        path.display()
    )]
    Edited {
        /// The lock file.
        path: PathBuf,
        /// Line of the checksum.
        line: usize,
        /// The image.
        image: String,
        /// The checksum in the file.
        found: String,
        /// The checksum of what the file says.
        computed: String,
    },
}

fn join(lines: &[usize]) -> String {
    let lines: Vec<String> = lines.iter().map(usize::to_string).collect();
    lines.join(", ")
}
