//! Servers of experiment trackers: where they are and by what log-in, as the trackers' own clients find
//! it out, and what they know of a run.
//!
//! A server is a stranger. What it says is read in bounds and kept in memory, never written under a name
//! that it gives; a log-in goes to the server that it is for, and with no redirect.
//!
//! | | |
//! | --- | --- |
//! | one server, asked over HTTP | `server` |
//! | the log-ins of `~/.netrc` | `netrc` |
//! | Weights & Biases | [`wandb`] |
//! | MLflow | [`mlflow`] |

mod error;
pub mod mlflow;
mod netrc;
mod server;
pub mod wandb;

pub use self::error::{Tracker, TrackerError};

/// A variable that is set, and not to nothing.
fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
