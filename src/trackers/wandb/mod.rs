//! Weights & Biases: its runs, as its server has them.
//!
//! Held against the client `wandb` 0.31 of Python, which asks the same questions.

mod api;
mod name;
mod settings;

pub use self::api::{WandbRun, fetch};
pub use self::name::WandbName;
pub(crate) use self::settings::key_in_netrc;
