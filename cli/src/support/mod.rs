//! What commands share: flags, how errors of the library read at a terminal, what is usually meant, and
//! values that several commands take.

pub mod cluster_args;
pub mod difference;
pub(super) mod docker_help;
pub(super) mod dry_run;
pub mod errors;
pub mod format;
pub mod hints;
pub mod image_args;
mod image_request;
pub mod interrupt;
pub(crate) mod job_state;
mod json_lines;
pub(super) mod mlbuild_flags;
pub mod output;
pub mod platform;
pub mod project_args;
pub mod project_file;
pub mod registry_args;
mod remedies;
pub(super) mod run_line;
pub(super) mod runtime;
pub mod scratch;
mod shown;
pub mod size;
pub mod slurm_args;
pub mod terminal;
pub mod time;
pub(crate) mod trust;
pub mod value;
pub mod waits;
