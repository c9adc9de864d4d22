//! The environment variables that ways to a builder depend on, taken once, so
//! that tests and callers can say what they are.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// A snapshot of environment variables.
///
/// Read here: `BUILDKIT_HOST`, `DOCKER_HOST`, `DOCKER_CONTEXT`,
/// `DOCKER_CONFIG`, `DOCKER_TLS_VERIFY`, `DOCKER_CERT_PATH`,
/// `XDG_RUNTIME_DIR`, `HOME`, `SSH_AUTH_SOCK`.
#[derive(Clone, Default)]
pub struct Env {
    vars: BTreeMap<OsString, OsString>,
}

// Values may be secrets: Debug shows names only.
impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.vars.keys()).finish()
    }
}

impl Env {
    /// The process's own environment.
    pub fn process() -> Self {
        Self {
            vars: std::env::vars_os().collect(),
        }
    }

    /// The value of `name`; unset, empty and non-UTF-8 are all `None`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.vars.get(std::ffi::OsStr::new(name))?.to_str()?;
        (!value.is_empty()).then_some(value)
    }

    /// All variables, for helper programs.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.vars.iter()
    }

    /// Where Docker's client keeps its configuration: `DOCKER_CONFIG`, or
    /// `.docker` in the home folder.
    pub fn docker_config_dir(&self) -> Option<PathBuf> {
        match self.get("DOCKER_CONFIG") {
            Some(dir) => Some(dir.into()),
            None => Some(PathBuf::from(self.get("HOME")?).join(".docker")),
        }
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(iter: I) -> Self {
        Self {
            vars: iter
                .into_iter()
                .map(|(k, v)| (k.into(), v.into()))
                .collect(),
        }
    }
}
