//! Make, run and restore container images for machine learning, pinned by digest.
//!
//! The program `mlbuild` is a thin command line over this library: each of its commands makes a
//! request of plain data, calls one function, and prints the outcome.
//!
//! | to | call | with | for |
//! | --- | --- | --- | --- |
//! | make an image | [`build::run`], [`build::plan`], [`build::dry_run`] | [`settings::BuildRequest`] | [`build::BuildOutcome`] |
//! | pin its packages | [`lock::run`] | [`lock::LockRequest`] | [`lock::LockOutcome`] |
//! | prove that it rebuilds to the same digest | [`verify::verify`] | [`verify::VerifyRequest`] | [`verify::Verification`] |
//! | start a container of it, and record the run | [`start`] | | |
//! | bring a run back | [`restore`] | | |
//! | run it as a Job of a Kubernetes cluster | [`submit`] | | |
//! | take jobs from queues | [`agent`], [`queue`] | | |
//! | give it to another user | [`adopt`] | | |
//! | put it on another base | [`rebase::rebase`] | [`rebase::RebaseRequest`] | [`rebase::RebaseOutcome`] |
//! | look at images | [`inspect`], [`diff`], [`attest`] | | |
//! | see what is missing on this machine | [`doctor`] | | |
//!
//! # The flow of a build
//!
//! A [`settings::BuildRequest`] holds what a person would type. [`settings::resolve`] joins it with the
//! environment and `mlbuild.toml` ([`config`]), and [`trust`] says what the project's files may do.
//! [`planning`] composes the Dockerfile from what the folder holds, asks the [`registry`] for its bases
//! and makes a [`plan::BuildPlan`]. [`builder`] finds a BuildKit and runs the plan there; [`image`] reads
//! and writes layers; what came of it is confirmed by the registry and written into the [`lock`].
//!
//! ```no_run
//! use mlbuild::reporter::Silent;
//! use mlbuild::settings::BuildRequest;
//!
//! # async fn image() -> Result<(), Box<dyn std::error::Error>> {
//! let request = BuildRequest {
//!     project: "train".into(),
//!     tags: vec!["registry.example/me/train:v1".into()],
//!     push: true,
//!     ..BuildRequest::default()
//! };
//! let built = mlbuild::build::run(&request, &Silent).await?;
//! println!("{}", built.name());
//! # Ok(())
//! # }
//! ```
//!
//! # What a caller provides
//!
//! - A [`reporter::Reporter`], which hears notes, warnings and the steps of builds, and answers
//!   questions. Nothing in this crate prints. [`reporter::Silent`] drops everything;
//!   [`testing::RecordingReporter`] keeps it for tests.
//! - A runtime of tokio with several threads. No function of the library makes one.
//!
//! Errors say of which kind they are ([`error::ErrorKind`]), and so which exit code a program ends
//! with. Their texts are for people, without flags and commands.
//!
//! `examples/library` in the repository is a program that does all of this in one file.

pub mod accelerator;
pub mod adopt;
pub mod agent;
pub mod assemble;
pub mod assembly;
pub mod attest;
pub mod base;
pub mod build;
pub mod builder;
pub mod config;
pub mod diff;
pub mod display;
pub mod doctor;
pub mod env_vars;
pub mod error;
pub mod host;
pub mod image;
pub mod image_source;
pub mod inspect;
pub mod known_base;
pub mod kubernetes;
pub mod lock;
pub mod loopback;
pub mod nearest;
pub mod on_path;
pub mod package_index;
pub mod package_store;
pub mod pin;
pub mod plan;
pub mod planning;
pub mod private_engine;
pub mod pull;
pub mod queue;
pub mod rebase;
pub mod records;
mod redirects;
pub mod registry;
pub mod reporter;
pub mod resolve;
pub mod restore;
pub mod runs;
pub mod runtime;
pub mod scratch;
pub mod settings;
pub mod shell;
pub mod slurm;
pub mod start;
pub mod submit;
mod tee;
pub mod testing;
pub mod trackers;
pub mod trust;
pub mod verify;
