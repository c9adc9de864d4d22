//! Where wheels are installed to: all that the files of a layer depend on beside the wheels.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A version of CPython, as far as installed files depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PythonVersion {
    /// The 3 of 3.11.
    pub major: u8,
    /// The 11 of 3.11.
    pub minor: u8,
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for PythonVersion {
    type Err = String;

    /// Reads `3.11` and `3.11.2`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('.');
        let mut number = || parts.next().and_then(|part| part.parse().ok());
        let (major, minor) = (number(), number());
        match (major, minor) {
            (Some(major), Some(minor)) => Ok(Self { major, minor }),
            _ => Err(format!("{text:?} is no version of Python")),
        }
    }
}

impl TryFrom<String> for PythonVersion {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PythonVersion> for String {
    fn from(version: PythonVersion) -> Self {
        version.to_string()
    }
}

/// A virtual environment to install into. Only what is here, the wheel and
/// [`LAYER_FORMAT`](crate::LAYER_FORMAT) decide a layer's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The environment's Python.
    pub python: PythonVersion,
    prefix: String,
}

impl Target {
    /// An environment in the folder `prefix`, an absolute path without `.`, `..`, doubled or
    /// trailing slashes.
    ///
    /// # Errors
    /// What is wrong with the path.
    pub fn new(python: PythonVersion, prefix: &str) -> Result<Self, String> {
        let bad = |why: &str| Err(format!("the environment's folder {prefix:?} {why}"));
        let Some(inside) = prefix.strip_prefix('/') else {
            return bad("isn't an absolute path");
        };
        if prefix.chars().any(char::is_control) {
            return bad("has control characters in it");
        }
        if inside
            .split('/')
            .any(|name| matches!(name, "" | "." | ".."))
        {
            return bad("isn't a plain path of a folder");
        }
        Ok(Self {
            python,
            prefix: prefix.to_owned(),
        })
    }

    /// The environment's folder, as it was given.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The folder as paths in a layer have it, without the leading slash.
    pub fn folder(&self) -> &str {
        &self.prefix[1..]
    }

    /// `lib/python3.11/site-packages`, below the environment's folder.
    pub fn site_packages(&self) -> String {
        format!("lib/python{}/site-packages", self.python)
    }

    /// `include/site/python3.11`, below the environment's folder.
    pub(crate) fn headers(&self) -> String {
        format!("include/site/python{}", self.python)
    }

    /// The Python that programs are started by.
    pub(crate) fn executable(&self) -> String {
        format!("{}/bin/python", self.prefix)
    }
}
