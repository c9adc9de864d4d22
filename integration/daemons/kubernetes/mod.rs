//! `mlbuild submit`, `logs`, `bash` and `env` with a real Kubernetes API server, its Job and quota
//! controllers and its garbage collector. There is no kubelet: see `cluster`.

mod arrays;
mod builder;
pub(crate) mod cluster;
mod code;
pub(crate) mod env;
mod forward;
mod idle;
mod jobs;
mod kinds;
mod lacks;
pub mod nodes;
mod processes;
mod record;
mod refused;
mod schemas;
mod submit;
