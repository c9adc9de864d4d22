//! Tests against real daemons: `integration/engines/up` brings them up.

#[path = "../support/mod.rs"]
mod support;

#[path = "../chaos/caches.rs"]
mod caches;
#[path = "../chaos/engines.rs"]
mod chaos;
#[path = "../chaos/deaths/mod.rs"]
mod deaths;
#[path = "../chaos/left.rs"]
mod left;
#[path = "../chaos/leftovers.rs"]
mod leftovers;
#[path = "../chaos/peers.rs"]
mod peers;
#[path = "../chaos/proxy.rs"]
mod proxy;
#[path = "../chaos/verbs.rs"]
mod verbs;

mod adopt;
mod apptainer;
mod assemble;
mod assemble_alone;
mod assemble_code;
mod assemble_command;
mod assemble_lazy;
mod assemble_limits;
mod assemble_platforms;
mod base;
mod bring_up;
mod buildkit;
mod ci;
mod conda;
mod data;
mod dev;
mod diff;
mod docker_plugin;
mod examples;
mod filesync;
mod goldens;
mod gui_run;
mod image;
mod inspect;
mod keep;
mod kubernetes;
mod lock;
mod mlflow;
mod pages;
mod podman;
mod private_engine;
mod progress;
mod projects;
mod queue;
mod rebase;
mod registry;
mod resolve;
mod restore;
mod run;
mod run_gpu;
mod servers;
mod sif;
mod sign;
mod slurm;
mod strangers;
mod templates;
mod trackers;
mod variants;
