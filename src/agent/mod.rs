//! An agent: takes jobs from queues and runs them as containers, or as objects of a Kubernetes cluster.
//!
//! | step | file |
//! | --- | --- |
//! | the request, `launch-config.yaml`, the engine, a registration at the store | here |
//! | take what silent agents left, take jobs, say that it lives | `serve` |
//! | one job: prepared, started once, followed, written down | `job`, `start`, `follow` |
//! | a job that an agent left: followed, or started if it never was | `recover` |
//! | images of jobs from code | `image`, `code` |
//! | who builds them, and why that isn't the agent's own process | [`ImageBuilds`] |
//! | calls that outlast the daemon's restarts | `containers` |
//! | those calls, of Docker and of Podman | `container_api` |
//! | which agents of this machine live | `alive` |
//! | jobs as objects of a Kubernetes cluster | `cluster` |
//! | what the threads share | `state`, `handle` |
//!
//! An agent may be ended at any moment, by SIGKILL too. What it has begun is known to the store or
//! to the container engine; another agent goes on from there. So the loop, the signs of life and
//! each job have a thread of their own, which nobody waits for when the agent leaves.

mod alive;
mod builds;
mod cluster;
mod code;
mod container_api;
mod containers;
mod error;
mod follow;
mod handle;
mod image;
mod job;
mod labels;
mod recover;
mod serve;
mod start;
mod state;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mlbuild_manifests::RunId;
use tokio::runtime::Handle;

use self::alive::Alive;
use self::cluster::JobCluster;
use self::containers::Containers;
use self::state::{Agent, JobEngine};
use crate::kubernetes::ClusterTarget;
use crate::queue::{
    AgentRegistration, BuilderKind, LaunchConfig, Place, QueueConfig, QueueKind, Store, StoreError,
};
use crate::records::this_host;
use crate::reporter::Reporter;
use crate::runtime::RuntimeCli;

pub use self::builds::{BuildFailure, ImageBuild, ImageBuilds, RunningBuild};
pub use self::error::{AgentError, JobError};
pub use self::labels::RUN as RUN_LABEL;

/// What an agent is to do.
pub struct AgentRequest {
    /// The queues to serve; where there are none, those that the configuration names.
    pub queues: Vec<String>,
    /// How many jobs it runs at once; else as the configuration has it, else one.
    pub max_jobs: Option<usize>,
    /// A `launch-config.yaml`; otherwise the one in the home folder, if there is one.
    pub config: Option<PathBuf>,
    /// Its name; otherwise the machine's, with some letters.
    pub name: Option<String>,
    /// The GPUs that it may hand out.
    pub gpus: GpuChoice,
    /// How long it may say nothing before others take its jobs over.
    pub lease: Duration,
    /// What starts containers: Docker or Podman.
    pub runtime_cli: RuntimeCli,
    /// Which cluster, for queues of Kubernetes.
    pub cluster: ClusterTarget,
    /// Whether it ends when nothing waits or runs in its queues.
    pub exit_when_idle: bool,
    /// Where queues and jobs are kept.
    pub place: Place,
    /// Relative folders in jobs are meant from here.
    pub folder: PathBuf,
    /// The project that gets the runs' records.
    pub project: PathBuf,
    /// Who builds images of jobs from code.
    pub builds: Box<dyn ImageBuilds>,
    /// A job's failure as people read it in the queue.
    pub words: fn(JobError) -> String,
}

/// The GPUs that an agent may hand out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpuChoice {
    /// All that can be handed out one by one.
    Found,
    /// These, by number; none where the list is empty.
    Ids(Vec<String>),
}

/// An agent that the store knows, before it takes jobs.
pub struct RegisteredAgent {
    agent: Arc<Agent>,
    place: Place,
}

/// Registers an agent at the store. It needs a tokio runtime with its drivers enabled, and is
/// dropped outside of asynchronous code.
///
/// # Errors
/// Where the configuration is wrong, no queue is named or one isn't there, the engine doesn't
/// answer, or the store can't be used.
pub async fn register(
    request: AgentRequest,
    reporter: Arc<dyn Reporter>,
) -> Result<RegisteredAgent, AgentError> {
    let runtime = Handle::current();
    on_own_thread(move || register_here(request, reporter, runtime)).await
}

impl RegisteredAgent {
    /// Set it, and the agent stops: it takes no more jobs, ends builds and leaves the store.
    /// Containers go on, and the next agent on the machine takes them over.
    pub fn stopping(&self) -> Arc<AtomicBool> {
        self.agent.stopping.clone()
    }

    /// Serves until it is told to stop, or nothing is left to do.
    ///
    /// # Errors
    /// Where the store isn't there when the agent leaves.
    pub async fn serve(self) -> Result<(), AgentError> {
        on_own_thread(move || Ok(serve::serve(&self.agent, &self.place)?)).await
    }
}

/// Does what waits for the store: that isn't asynchronous.
async fn on_own_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn register_here(
    request: AgentRequest,
    reporter: Arc<dyn Reporter>,
    runtime: Handle,
) -> Result<RegisteredAgent, AgentError> {
    let (mut config, policy_file) = config(request.config, &*reporter)?;
    let again = |error: &StoreError| state::told_to_wait(&*reporter, error);
    let store = Store::open_and_wait(&request.place, &again)?;
    let queues = match (request.queues, std::mem::take(&mut config.queues)) {
        (given, _) if !given.is_empty() => given,
        (_, named) if !named.is_empty() => named,
        _ => return Err(AgentError::NoQueue),
    };
    let is_of_cluster = kind_of(&queues, &store, &again)? == QueueKind::Kubernetes;
    let choice = EngineChoice {
        runtime_cli: request.runtime_cli,
        cluster: request.cluster,
        gpus: request.gpus,
    };
    let engine = if is_of_cluster {
        on_cluster(choice, &config, policy_file.as_deref(), runtime, &*reporter)?
    } else {
        on_machine(choice, runtime)?
    };
    let host = this_host().name;
    let session = RunId::generate().to_string();
    let own_name = || format!("{host}-{}", session[session.len() - 6..].to_lowercase());
    let registration = AgentRegistration {
        name: request.name.unwrap_or_else(own_name),
        session,
        host,
        engine: engine.id,
        queues,
        gpus: engine.gpus,
        lease: request.lease,
    };
    let alive = Alive::of(&registration.session);
    let is_gone = |session: &str, host: &str| host == registration.host && alive::is_gone(session);
    retry_starting(&again, || store.register(&registration, &is_gone))?;
    let max_jobs = request.max_jobs.or(config.max_jobs).unwrap_or(1);
    reporter.note(introduction(&registration, max_jobs));
    let agent = Agent {
        store_id: retry_starting(&again, || store.id())?,
        store,
        _alive: alive,
        registration,
        engine: engine.engine,
        builder: config.builder,
        registry: config.registry,
        entity: config.entity,
        policy: config.policy,
        policy_file,
        builds: request.builds,
        words: request.words,
        folder: request.folder,
        project: request.project,
        max_jobs,
        exit_when_idle: request.exit_when_idle,
        reporter,
        stopping: Arc::default(),
        has_left: AtomicBool::default(),
        jobs: Default::default(),
    };
    Ok(RegisteredAgent {
        agent: Arc::new(agent),
        place: request.place,
    })
}

/// What an agent is to start jobs on, as far as it was said.
struct EngineChoice {
    runtime_cli: RuntimeCli,
    cluster: ClusterTarget,
    gpus: GpuChoice,
}

/// What it starts jobs on.
struct Engine {
    engine: JobEngine,
    /// What tells it from others.
    id: String,
    /// The GPUs that are handed out one by one.
    gpus: Vec<String>,
}

/// What the jobs of queues become.
fn kind_of(
    queues: &[String],
    store: &Store,
    again: &dyn Fn(&StoreError),
) -> Result<QueueKind, AgentError> {
    let mut kinds = Vec::new();
    for name in queues {
        let queue = retry_starting(again, || store.queue(name))?;
        // What can't be read fails its jobs, which tell why.
        let config =
            QueueConfig::parse(&queue.config, std::path::Path::new(name)).unwrap_or_default();
        kinds.push((name, config.kind()));
    }
    let first = kinds.first().map_or(QueueKind::Docker, |(_, kind)| *kind);
    if kinds.iter().all(|(_, kind)| *kind == first) {
        return Ok(first);
    }
    let told = kinds
        .iter()
        .map(|(name, kind)| format!("{name} ({})", kind.as_str()));
    Err(AgentError::SeveralKinds {
        queues: told.collect(),
    })
}

/// Docker or Podman of this machine.
fn on_machine(choice: EngineChoice, runtime: Handle) -> Result<Engine, AgentError> {
    if choice.cluster.is_chosen() {
        return Err(AgentError::OfOtherKind {
            what: "a cluster, a namespace or a kubeconfig is named",
            kind: QueueKind::Docker.as_str(),
        });
    }
    let containers = Containers::of(choice.runtime_cli, runtime)?;
    let id = containers.engine.id();
    if id.is_empty() {
        return Err(AgentError::NoEngineId(choice.runtime_cli));
    }
    Ok(Engine {
        id,
        gpus: match choice.gpus {
            GpuChoice::Found => containers.engine.gpus(),
            GpuChoice::Ids(ids) => ids,
        },
        engine: JobEngine::Machine(Arc::new(containers)),
    })
}

/// A cluster. What was said that holds for a machine alone is refused where it bounds, and named where it
/// allows.
fn on_cluster(
    choice: EngineChoice,
    config: &LaunchConfig,
    file: Option<&std::path::Path>,
    runtime: Handle,
    reporter: &dyn Reporter,
) -> Result<Engine, AgentError> {
    let other = |what| AgentError::OfOtherKind {
        what,
        kind: QueueKind::Kubernetes.as_str(),
    };
    if choice.runtime_cli != RuntimeCli::Docker {
        return Err(other("what starts containers on this machine is named"));
    }
    if matches!(&choice.gpus, GpuChoice::Ids(ids) if !ids.is_empty()) {
        return Err(other("GPUs of this machine are named"));
    }
    let policy = &config.policy;
    let path = file.unwrap_or(std::path::Path::new("launch-config.yaml"));
    for (key, is_said) in [
        ("users", policy.users.is_some()),
        ("gpus", policy.gpus.is_some()),
        ("memory", policy.memory.is_some()),
    ] {
        if is_said {
            let path = path.to_owned();
            return Err(AgentError::BoundOfMachine { key, path });
        }
    }
    for (key, list) in [
        ("mounts", &policy.mounts),
        ("env", &policy.env),
        ("options", &policy.options),
    ] {
        if !list.is_empty() {
            reporter.warning(format!(
                "{}: `policy.{key}` is for containers of a machine; what manifests may hold stands under \
                 policy.kubernetes",
                path.display()
            ));
        }
    }
    let cluster = JobCluster::of(&choice.cluster, runtime)?;
    reporter.note(format!("cluster: {}", cluster.shown()));
    Ok(Engine {
        id: cluster.id().to_owned(),
        gpus: Vec::new(),
        engine: JobEngine::Cluster(Arc::new(cluster)),
    })
}

/// Asks a store that answered before until it does so again.
///
/// # Errors
/// What doesn't pass by itself.
fn retry_starting<T>(
    again: &dyn Fn(&StoreError),
    ask: impl Fn() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    loop {
        match ask() {
            Err(error) if error.may_pass() => again(&error),
            done => return done,
        }
    }
}

/// What the agent says of itself when it begins.
fn introduction(registration: &AgentRegistration, max_jobs: usize) -> String {
    let at_once = match max_jobs {
        usize::MAX => "any number".to_owned(),
        number => number.to_string(),
    };
    let gpus = if registration.gpus.is_empty() {
        "none".to_owned()
    } else {
        registration.gpus.join(",")
    };
    let (name, queues) = (&registration.name, registration.queues.join(", "));
    format!("agent {name}: serves {queues}; jobs at once: {at_once}; GPUs: {gpus}")
}

/// The configuration, and its file.
fn config(
    given: Option<PathBuf>,
    reporter: &dyn Reporter,
) -> Result<(LaunchConfig, Option<PathBuf>), AgentError> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let found = given.or_else(|| LaunchConfig::find(&home?));
    let Some(file) = found else {
        return Ok((LaunchConfig::default(), None));
    };
    let config = LaunchConfig::read(&file)?;
    for key in &config.unused {
        reporter.warning(format!("{}: `{key}` means nothing here", file.display()));
    }
    for note in &config.notes {
        reporter.warning(format!("{}: {note}", file.display()));
    }
    if config.builder.kind == BuilderKind::Buildkit && config.registry.is_none() {
        return Err(AgentError::NothingToPushTo { path: file });
    }
    Ok((config, Some(file)))
}
