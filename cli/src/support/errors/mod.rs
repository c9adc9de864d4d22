//! Each module's errors as the person at the terminal reads them: of which kind, in the command
//! line's words, and what to type next. One file a module.

mod adopt;
mod agent;
mod attest;
mod base;
mod build;
pub mod builder;
mod config;
mod diff;
mod image;
mod inspect;
mod kubernetes;
mod lock;
mod planning;
mod queue;
mod rebase;
mod records;
mod registry;
mod restore;
mod runs;
mod runtime;
pub(crate) mod settings;
mod slurm;
pub(crate) mod start;
mod submit;
mod trackers;
mod trust;
mod verify;
