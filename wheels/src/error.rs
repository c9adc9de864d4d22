//! What can be wrong with a wheel, and with making a layer of it.

use std::io;
use std::path::PathBuf;

/// A wheel that can't be installed.
#[derive(Debug, thiserror::Error)]
#[error("{wheel}: {fault}")]
pub struct WheelError {
    /// Its file name.
    pub wheel: String,
    /// What is wrong with it.
    #[source]
    pub fault: Fault,
}

/// What is wrong with a wheel.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Its file can't be read.
    #[error("can't be read: {0}")]
    Read(#[source] io::Error),
    /// Its file isn't the pinned one.
    #[error("has sha256:{found}, and sha256:{pinned} is pinned")]
    OtherHash {
        /// Hash that the pin has, hex.
        pinned: String,
        /// Hash that the file has, hex.
        found: String,
    },
    /// Its name isn't one of a wheel.
    #[error("isn't named as a wheel is (NAME-VERSION-PYTHON-ABI-PLATFORM.whl): {0}")]
    Name(&'static str),
    /// None of its tags is one that the Python takes.
    #[error("doesn't fit {python}: {nearest}")]
    Tags {
        /// The Python and its platform.
        python: String,
        /// What the wheel is for, and what of it would have to be different.
        nearest: String,
    },
    /// It ends too early.
    #[error("is cut off: {0}")]
    Truncated(&'static str),
    /// It is no zip archive, or one that makes no sense.
    #[error("isn't a zip archive that can be used: {0}")]
    NotAZip(String),
    /// An entry is encrypted.
    #[error("{entry} is encrypted")]
    Encrypted {
        /// The entry's name.
        entry: String,
    },
    /// An entry is compressed in a way that wheels aren't.
    #[error("{entry} is compressed by method {method}; wheels are stored (0) or deflated (8)")]
    Method {
        /// The entry's name.
        entry: String,
        /// The number of the method in the zip format.
        method: u16,
    },
    /// It would unpack to far more than it is.
    #[error("holds more than any wheel: {found} {what}, and {most} are allowed")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much there may be.
        most: u64,
    },
    /// The path of an entry can't be used.
    #[error("the path {path:?} {why}")]
    Path {
        /// The path as it stands in the archive.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The content of an entry isn't what the archive says of it.
    #[error("{entry} is damaged: {why}")]
    Damaged {
        /// The entry's name.
        entry: String,
        /// How.
        why: &'static str,
    },
    /// RECORD says something else of a file than what it is.
    #[error("its RECORD lies about {path:?}: {why}")]
    Record {
        /// The file.
        path: String,
        /// What differs.
        why: String,
    },
    /// A file of its metadata can't be understood.
    #[error("{file} can't be understood: {why}")]
    Metadata {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
    /// A program would stand in the place of the environment's Python.
    #[error("wants to install a program named {0:?}, which is the environment's own Python")]
    ReservedProgram(String),
}

/// Why a layer can't be made.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A wheel can't be installed.
    #[error(transparent)]
    Wheel(#[from] WheelError),
    /// Two wheels bring one file with different contents.
    #[error("{path} is in {first} and in {second}, with different contents")]
    Overlap {
        /// Where it would be installed, below the environment's folder.
        path: String,
        /// The one wheel.
        first: String,
        /// The other.
        second: String,
    },
    /// The layer can't be written.
    #[error("a layer can't be written: {0}")]
    Write(#[source] io::Error),
    /// The store of layers can't be used.
    #[error("{}: {source}", path.display())]
    Store {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl LayerError {
    /// True where the disk is full: with more room the same call works.
    pub fn is_full_disk(&self) -> bool {
        let source = match self {
            LayerError::Write(source) | LayerError::Store { source, .. } => source,
            LayerError::Wheel(_) | LayerError::Overlap { .. } => return false,
        };
        matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }
}
