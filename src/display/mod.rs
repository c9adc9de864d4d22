//! The display that windows appear on: which one it is, the cookie that opens it, and how it gets to
//! where a container can reach it.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `name` | `DISPLAY`, parsed |
//! | `authority` | Xauthority files: read and written |
//! | `server` | the beginning of an X11 connection: does the cookie open it, and who else is let in |
//! | `find` | the display of this session, tried out |
//! | `folder` | the private folder of one run: cookie, relayed socket, accounts |
//! | `relay` | a display that is reached over TCP, as a socket |
//! | `wayland`, `sound`, `camera` | what else a window may want |
//! | `accounts` | a passwd and group with the host's user in them |
//! | `image` | what an image lacks for windows |
//! | `words` | what programs say when no window opens, explained |
//!
//! Nothing here starts containers or prints.

pub mod accounts;
pub mod authority;
pub mod camera;
pub mod diagnostics;
pub mod find;
pub mod folder;
pub mod image;
pub mod name;
pub mod relay;
pub mod server;
pub mod sound;
pub mod wayland;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where to look: this machine, or a test's folder.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Stands before absolute paths.
    pub root: PathBuf,
    /// The environment.
    pub env: BTreeMap<String, String>,
}

impl Surroundings {
    /// This machine.
    pub fn this() -> Self {
        Self {
            root: PathBuf::from("/"),
            env: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        }
    }

    /// A variable that is set and not empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// A path of the machine.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}
