//! `mlbuild submit`, `logs`, `bash` and `env` with a real Kubernetes API server, its Job and quota
//! controllers and its garbage collector. There is no kubelet: see `cluster`.

mod builder;
pub(crate) mod cluster;
pub(crate) mod env;
mod jobs;
mod kinds;
mod nodes;
mod processes;
mod record;
mod refused;
mod submit;
