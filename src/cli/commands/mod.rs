//! The verbs, one file or folder each: arguments to a request, a call, an answer.

pub mod ci;
pub mod completions;
pub mod doctor;
pub mod engine;
pub mod init;
pub mod man;
pub mod prune;
pub mod schema;
pub mod templates;
