//! Starting containers: everything that can be said about it, typed, in [`RunSpec`].
//!
//! One table of flags ([`FLAGS`]) is read by the parser, the renderers, `mlbuild.toml` and the
//! documents. Which runtime is there, which digest an image has and which GPU is free are asked
//! elsewhere; nothing here talks to a daemon.

mod agree;
pub mod apptainer;
pub mod array;
mod carried;
mod devcontainer;
pub mod distributed;
mod env_file;
mod error;
mod flag;
pub mod kubernetes;
mod options;
mod parse;
mod render;
pub mod slurm;
mod spec;
mod table;
mod value;

pub use agree::Disagreement;
pub use devcontainer::devcontainer;
pub use env_file::assignments;
pub use error::RunSpecError;
pub use flag::{Flag, Kind, Owner, RuntimeCli};
pub use options::{Options, Setting};
pub use parse::{Grammar, Parsed, RUN, parse};
pub use render::{LeftOut, Rendered};

pub use crate::shell::line as shell_line;
pub use spec::RunSpec;
pub use table::{FLAGS, find};
pub use value::{Assignment, Device, Mount, Publish, Rule, Ulimit, Value, Volume};

#[cfg(test)]
mod tests;
