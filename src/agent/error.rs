//! Why an agent doesn't serve, and why one of its jobs fails.

use std::io;
use std::path::PathBuf;

use mlbuild_manifests::RunIdError;

use crate::error::ErrorKind;
use crate::kubernetes::KubernetesError;
use crate::queue::archive::ArchiveError;
use crate::queue::{LaunchConfigError, PolicyError, QueueConfigError, StoreError};
use crate::records::GitError;
use crate::registry::RegistryError;
use crate::runtime::RuntimeCli;
use crate::start::StartError;

/// Why an agent doesn't serve.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The launch configuration can't be used.
    #[error(transparent)]
    Config(#[from] LaunchConfigError),
    /// The configuration has a builder that can only push, and nothing to push to.
    #[error("{}: builder.type is buildkit or kaniko, and no registry is named that it could push to", path.display())]
    NothingToPushTo {
        /// The configuration.
        path: PathBuf,
    },
    /// The store of queues can't be used, or doesn't take the agent.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Neither the request nor the configuration names a queue.
    #[error("no queue is named")]
    NoQueue,
    /// Docker or Podman can't be used.
    #[error(transparent)]
    Engine(#[from] StartError),
    /// The cluster can't be used.
    #[error(transparent)]
    Cluster(#[from] KubernetesError),
    /// One agent starts jobs on one machine or in one cluster.
    #[error("the queues are of several kinds: {}", queues.join(", "))]
    SeveralKinds {
        /// Each with its kind.
        queues: Vec<String>,
    },
    /// Something was said that is of the other kind of queues.
    #[error("{what}, and the queues are of {kind}")]
    OfOtherKind {
        /// What was said.
        what: &'static str,
        /// The kind of the queues.
        kind: &'static str,
    },
    /// A bound that holds on a machine, and that nobody would keep in a cluster.
    #[error("{}: policy.{key} is a bound for containers of a machine, and the queues are of Kubernetes", path.display())]
    BoundOfMachine {
        /// The key.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The engine can't be told from others.
    #[error("{0} doesn't tell its id")]
    NoEngineId(RuntimeCli),
}

impl AgentError {
    /// Of which kind it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Engine(error) => error.kind(),
            Self::Cluster(error) => error.kind(),
            Self::NothingToPushTo { .. }
            | Self::NoQueue
            | Self::SeveralKinds { .. }
            | Self::OfOtherKind { .. }
            | Self::BoundOfMachine { .. } => ErrorKind::User,
            Self::NoEngineId(_) => ErrorKind::Environment,
        }
    }
}

/// Why a job fails before its container runs.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The queue's configuration or one of the job's overrides isn't taken.
    #[error(transparent)]
    Options(#[from] QueueConfigError),
    /// A rule of the agent or of the queue refuses it.
    #[error("{source}")]
    Policy {
        /// Which one.
        source: PolicyError,
        /// The agent's `launch-config.yaml`, if there is one.
        file: Option<PathBuf>,
        /// The machine that it is on.
        host: String,
    },
    /// The job's id is none of a run.
    #[error(transparent)]
    RunId(#[from] RunIdError),
    /// The job needs an image, and the agent builds none.
    #[error("the agent's builder.type is noop: it builds no images")]
    BuildsNothing,
    /// Nothing that is built gets to Podman without a registry.
    #[error("the agent has Podman, whose store no build writes to, and no registry between them")]
    NoRegistryForPodman,
    /// Nothing that is built gets to a cluster without a registry.
    #[error("the agent has no registry that the cluster could pull from what it builds")]
    NoRegistryForCluster,
    /// The queue was made anew, as another kind.
    #[error("the queue {queue} is one of {kind} by now, and this agent's are of the other kind")]
    OtherKind {
        /// The queue.
        queue: String,
        /// Its kind.
        kind: &'static str,
    },
    /// The cluster refuses the job's object, or can't be asked.
    #[error(transparent)]
    Cluster(#[from] KubernetesError),
    /// The registry doesn't have the image, or can't be asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Another object has the name that the queue's manifest gives.
    #[error(
        "there is {object} already, which isn't this job's: write ${{run_id}} into metadata.name"
    )]
    NameTaken {
        /// The object.
        object: String,
    },
    /// There is nowhere to keep the code.
    #[error("there is no home folder to build in")]
    NoHome,
    /// A file or folder can't be written.
    #[error("{}: {source}", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store doesn't give the code.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The code can't be unpacked.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The commit can't be had.
    #[error("{url}: {source}")]
    CheckOut {
        /// The repository.
        url: String,
        /// Why.
        source: GitError,
    },
    /// The build can't be started or waited for.
    #[error("{0}")]
    BuildProcess(#[source] io::Error),
    /// The build's answer can't be read.
    #[error("the answer of the build: {0}")]
    BuildAnswer(#[source] serde_json::Error),
    /// The build failed.
    #[error("its image can't be built:\n{tail}")]
    Build {
        /// The last lines of its log.
        tail: String,
        /// All of it.
        log: PathBuf,
        /// The machine that has the log.
        host: String,
    },
    /// Somebody wanted it to end before it was started.
    #[error("cancelled before it was started")]
    Cancelled,
    /// The container can't be made, or the run can't be recorded.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The container was made and can't be started.
    #[error("the container can't be started: {why}")]
    NotStarted {
        /// The engine's words.
        why: String,
    },
}

impl JobError {
    /// Of which kind it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Options(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Start(error) => error.kind(),
            Self::Policy { source, .. } => source.kind(),
            Self::Cluster(error) => error.kind(),
            Self::Registry(error) => error.kind(),
            Self::RunId(_)
            | Self::BuildsNothing
            | Self::NoRegistryForPodman
            | Self::NoRegistryForCluster
            | Self::OtherKind { .. }
            | Self::NameTaken { .. } => ErrorKind::User,
            Self::NoHome | Self::Unwritable { .. } | Self::Archive(_) | Self::BuildProcess(_) => {
                ErrorKind::Environment
            }
            Self::CheckOut { .. } | Self::BuildAnswer(_) | Self::Build { .. } | Self::Cancelled => {
                ErrorKind::Work
            }
            Self::NotStarted { .. } => ErrorKind::Runtime,
        }
    }
}
