//! The hall of mlbuild: joins the rooms (`templates`, `buildkit`, `manifests`)
//! and owns the verbs. The binary `mlbuild` is a thin shell around [`cli::main`].

pub mod accelerator;
pub mod cli;
pub mod config;
pub mod display;
pub mod engine;
pub mod env_vars;
pub mod error;
pub mod flags;
pub mod host;
pub mod image;
pub mod inputs;
pub mod kubernetes;
pub mod loopback;
pub mod nearest;
pub mod on_path;
pub mod pin;
pub mod plan;
pub mod queue;
pub mod records;
pub mod registry;
pub mod runtime;
pub mod settings;
