//! The hall of mlbuild: joins the rooms (`templates`, `buildkit`, `manifests`)
//! and owns the verbs. The binary `mlbuild` is a thin shell around [`cli::main`].

pub mod accelerator;
pub mod build;
pub mod builder;
pub mod cli;
pub mod config;
pub mod display;
pub mod doctor;
pub mod env_vars;
pub mod error;
pub mod flags;
pub mod host;
pub mod image;
pub mod image_source;
pub mod kubernetes;
pub mod lock;
pub mod loopback;
pub mod nearest;
pub mod on_path;
pub mod package_store;
pub mod pin;
pub mod plan;
pub mod planning;
pub mod queue;
pub mod records;
pub mod registry;
pub mod reporter;
pub mod restore;
pub mod runs;
pub mod runtime;
pub mod settings;
pub mod start;
pub mod submit;
mod tee;
pub mod testing;
