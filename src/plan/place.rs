//! Where a value of a build was given.

use std::fmt;

/// Where a value of a build was given, for errors about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the request, in the field of this name.
    Request(&'static str),
    /// In `mlbuild.toml`, by this key: `[build] network`.
    File(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Request(field) => f.write_str(field),
            Place::File(key) => write!(f, "mlbuild.toml: {key}"),
        }
    }
}
