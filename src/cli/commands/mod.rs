//! The verbs, one file or folder each: arguments to a request, a call, an answer.

pub mod adopt;
pub mod attest;
pub mod base;
pub mod bash;
pub mod ci;
pub mod completions;
pub mod dev;
pub mod devcontainer;
pub mod diff;
pub mod doctor;
pub mod engine;
pub mod env;
pub mod gui_run;
pub mod init;
pub mod inspect;
pub mod logs;
pub mod man;
pub mod mirror;
pub mod prune;
pub mod restore;
pub mod run;
pub mod runs;
pub mod schema;
pub mod submit;
pub mod templates;
pub mod verify;
