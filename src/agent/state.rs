//! An agent at work: what its threads share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::alive::Alive;
use super::builds::ImageBuilds;
use super::cluster::JobCluster;
use super::containers::Containers;
use super::error::JobError;
use super::handle::JobHandle;
use crate::queue::{AgentRegistration, Builder, Destination, Policy, Store, StoreError};
use crate::reporter::Reporter;

/// How long before a store that doesn't answer is asked again.
pub(super) const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What jobs are started on.
pub(super) enum JobEngine {
    /// Docker or Podman.
    Machine(Arc<Containers>),
    /// A Kubernetes cluster.
    Cluster(Arc<JobCluster>),
}

impl JobEngine {
    /// Whether an image is there without being pulled.
    pub(super) fn has_image(&self, name: &str) -> bool {
        match self {
            Self::Machine(containers) => containers.has_image(name),
            Self::Cluster(_) => false,
        }
    }
}

/// An agent at work. Its threads share it.
pub(super) struct Agent {
    pub(super) store: Store,
    /// What tells containers of this store's jobs from those of others.
    pub(super) store_id: String,
    pub(super) registration: AgentRegistration,
    /// Held for as long as this process is there.
    pub(super) _alive: Option<Alive>,
    /// What jobs are started on.
    pub(super) engine: JobEngine,
    pub(super) builder: Builder,
    pub(super) registry: Option<Destination>,
    /// What `${entity_name}` stands for.
    pub(super) entity: Option<String>,
    /// What jobs may do on this machine.
    pub(super) policy: Policy,
    /// The file that says so.
    pub(super) policy_file: Option<PathBuf>,
    pub(super) builds: Box<dyn ImageBuilds>,
    /// A job's failure as people read it in the queue.
    pub(super) words: fn(JobError) -> String,
    /// Where it was started: relative folders of jobs are meant from here.
    pub(super) folder: PathBuf,
    /// Gets the records.
    pub(super) project: PathBuf,
    pub(super) max_jobs: usize,
    pub(super) exit_when_idle: bool,
    pub(super) reporter: Arc<dyn Reporter>,
    pub(super) stopping: Arc<AtomicBool>,
    /// The store has been told that it leaves.
    pub(super) has_left: AtomicBool,
    pub(super) jobs: Mutex<BTreeMap<String, Arc<JobHandle>>>,
}

/// Says why the store is asked again, and waits.
pub(super) fn told_to_wait(reporter: &dyn Reporter, error: &StoreError) {
    reporter.warning(format!("{error}; it is asked again until it answers"));
    thread::sleep(RETRY_INTERVAL);
}

impl Agent {
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(super) fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, Arc<JobHandle>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the store until it answers: a database that is away comes back. `None` where the agent
    /// is to stop meanwhile.
    pub(super) fn retry<T>(&self, ask: impl Fn(&Store) -> Result<T, StoreError>) -> Option<T> {
        let mut told = false;
        loop {
            match ask(&self.store) {
                Ok(answer) => return Some(answer),
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        let text = format!("{error}; it is asked again until it answers");
                        self.reporter.warning(text);
                    }
                    if self.is_stopping() {
                        return None;
                    }
                    thread::sleep(RETRY_INTERVAL);
                }
            }
        }
    }
}
