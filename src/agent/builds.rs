//! Who builds the images of jobs, as the agent sees it.
//!
//! The agent leaves a build to its caller, because what is built is the code of whoever may write
//! into the queue, and the agent has to outlive it. The command line's [`ImageBuilds`] gives each
//! build a process of its own, as the runners of other job services do:
//!
//! - A build that crashes, overflows its stack or is ended for its memory fails its own job. In the
//!   agent's process it would end the agent, the next agent would take the job over, and the job
//!   would end that one too. Neither of the last two can be caught.
//! - A signal to the build's process group ends all that the build has started, the git and the
//!   credential helpers of the project too.
//! - An agent runs for months: nothing that a build leaves open stays in it.
//!
//! A program that trusts its jobs can call [`crate::build::run`] in its own [`RunningBuild::wait`].

use std::io;
use std::path::PathBuf;

/// Starts builds of jobs' images.
pub trait ImageBuilds: Send + Sync {
    /// Starts a build, and returns at once.
    ///
    /// # Errors
    /// Where it can't be started, or its log can't be written.
    fn start(&self, build: &ImageBuild) -> io::Result<Box<dyn RunningBuild>>;
}

/// A build at work. Several threads use it: one waits, another ends it.
pub trait RunningBuild: Send + Sync {
    /// Asks the build to end, and returns at once. One that has ended is left alone.
    fn end(&self);

    /// Waits for the end of the build; returns what its container is to be started from:
    /// `NAME@sha256:…` where it was pushed, else [`ImageBuild::name`]. It is called once.
    ///
    /// # Errors
    /// Where there is no image.
    fn wait(&self) -> Result<String, BuildFailure>;
}

/// What is built for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageBuild {
    /// Folder of the code: the project.
    pub folder: PathBuf,
    /// The image's name.
    pub name: String,
    /// The variant of the project's image; [`ImageBuild::name`] ends in it.
    pub variant: Option<String>,
    /// Whether it is pushed; else it is loaded into the engine's store.
    pub push: bool,
    /// Whether Docker's own builder has to be used.
    pub with_docker: bool,
    /// Base that takes the place of the project's.
    pub base: Option<String>,
    /// Registries, with or without a path, that all images have to come from which it is made of;
    /// `None`: anywhere.
    pub base_registries: Option<Vec<String>>,
    /// File that gets the build's story, progress and error for people.
    pub log: PathBuf,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildFailure {
    /// The build failed; its log says why.
    #[error("the build failed")]
    Failed,
    /// The build's process can't be waited for.
    #[error(transparent)]
    Process(#[from] io::Error),
    /// The build succeeded, and its answer can't be read.
    #[error("the answer of the build: {0}")]
    Answer(#[source] serde_json::Error),
}
