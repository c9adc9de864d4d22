//! The agent's loop.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};

use super::containers::Containers;
use super::job::{self, JobHandle};
use crate::cli::support::output;
use crate::error::{CommandError, CommandResult};
use crate::queue::{AgentRegistration, Builder, Claim, Place, Store, StoreError};

/// A retry that is due is nobody's change: it is looked for.
const LOOK: Duration = Duration::from_secs(1);

/// An agent at work. Its threads share it.
pub(super) struct Agent {
    pub(super) store: Store,
    /// What tells containers of this store's jobs from those of others.
    pub(super) store_id: String,
    pub(super) registration: AgentRegistration,
    pub(super) containers: Containers,
    pub(super) builder: Builder,
    pub(super) registry: Option<String>,
    /// Where it was started: relative folders of jobs are meant from here.
    pub(super) folder: PathBuf,
    /// Gets the records.
    pub(super) project: PathBuf,
    pub(super) max_jobs: usize,
    pub(super) exit_when_idle: bool,
    pub(super) stopping: Arc<AtomicBool>,
    pub(super) jobs: Mutex<BTreeMap<String, Arc<JobHandle>>>,
}

impl Agent {
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(super) fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, Arc<JobHandle>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the store until it answers: a database that is away comes back.
    pub(super) fn retry<T>(&self, ask: impl Fn(&Store) -> Result<T, StoreError>) -> Option<T> {
        let mut told = false;
        loop {
            match ask(&self.store) {
                Ok(answer) => return Some(answer),
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        output::warning(&format!("{error}; it is asked again until it answers"));
                    }
                    if self.is_stopping() {
                        return None;
                    }
                    thread::sleep(LOOK);
                }
            }
        }
    }
}

/// Serves until it is told to stop, or nothing is left to do.
pub(super) fn serve(agent: Agent, place: &Place) -> CommandResult {
    let agent = Arc::new(agent);
    let mut watch = place.watch()?;
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, agent.stopping.clone())
            .and_then(|_| signal_hook::flag::register(signal, agent.stopping.clone()))
            .map_err(CommandError::environment)?;
    }
    let heart = agent.clone();
    thread::spawn(move || beat(&heart));
    let beat = agent.registration.lease / 3;
    let mut looked: Option<Instant> = None;
    let mut told = String::new();
    while !agent.is_stopping() {
        if looked.is_none_or(|looked| looked.elapsed() >= beat) {
            looked = Some(Instant::now());
            if let Err(error) = take_over(&agent) {
                say_once(&mut told, &error);
            }
        }
        match turn(&agent) {
            Ok(true) => break,
            Ok(false) => told.clear(),
            Err(error) => say_once(&mut told, &error),
        }
        if let Err(error) = watch.wait(beat.min(LOOK)) {
            say_once(&mut told, &error);
            thread::sleep(LOOK);
        }
    }
    if agent.is_stopping() && !agent.jobs().is_empty() {
        output::note("containers go on; the next agent on this machine takes them over");
    }
    for handle in agent.jobs().values() {
        handle.end_build();
    }
    agent.store.leave(&agent.registration)?;
    Ok(())
}

fn say_once(told: &mut String, error: &StoreError) {
    let text = error.to_string();
    if *told != text {
        output::warning(&format!("{text}; it is asked again until it answers"));
        *told = text;
    }
}

/// Looks once; true where nothing is left to do.
fn turn(agent: &Arc<Agent>) -> Result<bool, StoreError> {
    look_for_cancelled(agent)?;
    loop {
        if agent.jobs().len() >= agent.max_jobs || agent.is_stopping() {
            return Ok(false);
        }
        match agent.store.claim(&agent.registration)? {
            Some(claim) => start(agent, claim),
            None => break,
        }
    }
    Ok(agent.exit_when_idle
        && agent.jobs().is_empty()
        && agent.store.is_idle(&agent.registration.queues)?)
}

/// Stops what somebody wants to end.
fn look_for_cancelled(agent: &Arc<Agent>) -> Result<(), StoreError> {
    if agent.jobs().is_empty() {
        return Ok(());
    }
    for held in agent.store.held(&agent.registration)? {
        let handle = agent.jobs().get(&held.id).cloned();
        if let Some(handle) = handle.filter(|_| held.cancelled) {
            handle.cancel(agent);
        }
    }
    Ok(())
}

/// Says that the agent lives. What it lost meanwhile, its threads learn from the store.
fn beat(agent: &Agent) {
    loop {
        thread::sleep(agent.registration.lease / 3);
        // The loop says what is wrong with the store.
        let _ = agent.store.renew(&agent.registration);
    }
}

fn take_over(agent: &Arc<Agent>) -> Result<(), StoreError> {
    let working: Vec<String> = agent.jobs().keys().cloned().collect();
    for claim in agent.store.take_over(&agent.registration, &working)? {
        output::note(&format!("job {}: taken over", claim.id));
        start(agent, claim);
    }
    // Containers of those who were lost between making and starting one.
    for (job, fencing_token, container) in agent.containers.created(&agent.store_id) {
        if !agent.store.needs(&job, fencing_token, &container)? {
            agent.containers.remove(&container);
        }
    }
    Ok(())
}

fn start(agent: &Arc<Agent>, claim: Claim) {
    let handle = Arc::new(JobHandle::default());
    agent.jobs().insert(claim.id.clone(), handle.clone());
    let agent = agent.clone();
    thread::spawn(move || {
        job::run(&agent, &claim, &handle);
        // Another try of the job may be at work already.
        let is_this = |other: &Arc<JobHandle>| Arc::ptr_eq(other, &handle);
        let mut jobs = agent.jobs();
        if jobs.get(&claim.id).is_some_and(is_this) {
            jobs.remove(&claim.id);
        }
    });
}
