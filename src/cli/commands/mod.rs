//! The verbs, one file or folder each: arguments to a request, a call, an answer.

pub mod bash;
pub mod ci;
pub mod completions;
pub mod dev;
pub mod devcontainer;
pub mod doctor;
pub mod engine;
pub mod env;
pub mod gui_run;
pub mod init;
pub mod logs;
pub mod man;
pub mod prune;
pub mod restore;
pub mod run;
pub mod schema;
pub mod submit;
pub mod templates;
