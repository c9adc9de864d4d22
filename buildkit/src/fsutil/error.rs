//! What can go wrong while a file tree is read, sent or written.

use std::io;
use std::path::PathBuf;

use super::gopath;
use super::patterns::PatternError;

/// A failure, with the file that it concerns.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    /// A call on a file or folder failed.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// The verb, such as `open`.
        doing: &'static str,
        /// The file or folder, readable even where the name isn't UTF-8.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The root of a tree is something else.
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// A pattern list can't be used.
    #[error("invalid {list} patterns: {source}")]
    Pattern {
        /// `include` or `exclude`.
        list: &'static str,
        /// The pattern at fault.
        source: PatternError,
    },
    /// An ignore file that a build would refuse.
    #[error("{file}: {reason}")]
    IgnoreFile {
        /// The ignore file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file isn't what it was when it was looked at first.
    #[error(
        "{path} {what} while it was being read; run the build again once nothing writes to it, \
         or list it in .dockerignore"
    )]
    Changed {
        /// The file.
        path: String,
        /// What happened to it, such as `disappeared`.
        what: &'static str,
    },
    /// The other side gave up; its message.
    #[error("the builder stopped the transfer: {0}")]
    Remote(String),
    /// The other side broke the protocol, or is gone.
    #[error("file transfer: {0}")]
    Protocol(String),
    /// The transfer was called off on this side.
    #[error("the file transfer was cancelled")]
    Cancelled,
    /// A received path that would lead out of the destination.
    #[error("refused path {0:?} from the builder: it leaves the destination")]
    Escape(String),
}

impl FsError {
    pub(super) fn io(doing: &'static str, path: &[u8], source: impl Into<io::Error>) -> Self {
        FsError::Io {
            doing,
            path: display(path),
            source: source.into(),
        }
    }

    pub(super) fn changed(path: &[u8], what: &'static str) -> Self {
        FsError::Changed {
            path: display(path),
            what,
        }
    }
}

/// A path as a person should see it: bytes that aren't UTF-8 and control
/// characters are escaped.
pub(super) fn display(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok(s) if !s.chars().any(char::is_control) => s.to_owned(),
        Ok(s) => s.escape_debug().to_string(),
        Err(_) => {
            let mut out = String::new();
            let mut rest = path;
            while !rest.is_empty() {
                let (c, n) = gopath::decode_char(rest);
                if c == char::REPLACEMENT_CHARACTER && n == 1 {
                    out.push_str(&format!("\\x{:02x}", rest[0]));
                } else {
                    out.extend(c.escape_debug());
                }
                rest = &rest[n..];
            }
            out
        }
    }
}
