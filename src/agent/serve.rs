//! The agent's loop.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::handle::JobHandle;
use super::job;
use super::state::{Agent, JobEngine, RETRY_INTERVAL};
use crate::queue::{Claim, Place, StoreError};

/// How often it is looked for jobs that wait for their retry: when one is due, the store changes
/// nothing that could be watched.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Serves until it is told to stop, or nothing is left to do.
///
/// # Errors
/// Where the store doesn't hear in the end that it leaves.
pub(super) fn serve(agent: &Arc<Agent>, place: &Place) -> Result<(), StoreError> {
    let heart = agent.clone();
    thread::spawn(move || beat(&heart));
    // The store answered when the agent registered there: it comes back.
    let Some(mut watch) = agent.retry(|_| place.watch()) else {
        return leave(agent);
    };
    let beat = agent.registration.lease / 3;
    let mut looked: Option<Instant> = None;
    let mut told = String::new();
    while !agent.is_stopping() {
        if looked.is_none_or(|looked| looked.elapsed() >= beat) {
            looked = Some(Instant::now());
            if let Err(error) = take_over(agent) {
                say_once(agent, &mut told, &error);
            }
        }
        match turn(agent) {
            Ok(true) => break,
            Ok(false) => told.clear(),
            Err(error) => say_once(agent, &mut told, &error),
        }
        if let Err(error) = watch.wait(beat.min(POLL_INTERVAL)) {
            say_once(agent, &mut told, &error);
            thread::sleep(RETRY_INTERVAL);
        }
    }
    if agent.is_stopping() && !agent.jobs().is_empty() {
        let text = match &agent.engine {
            JobEngine::Machine(_) => {
                "containers go on; the next agent on this machine takes them over"
            }
            JobEngine::Cluster(_) => {
                "what runs goes on; the next agent of this cluster takes it over"
            }
        };
        agent.reporter.note(text);
    }
    for handle in agent.jobs().values() {
        handle.end_build();
    }
    leave(agent)
}

/// Tells the store; once more where the connection had broken meanwhile, and not for ever: the lease runs out.
fn leave(agent: &Agent) -> Result<(), StoreError> {
    agent.has_left.store(true, Ordering::Relaxed);
    match agent.store.leave(&agent.registration) {
        Err(error) if error.may_pass() => {
            thread::sleep(RETRY_INTERVAL);
            agent.store.leave(&agent.registration)
        }
        done => done,
    }
}

fn say_once(agent: &Agent, told: &mut String, error: &StoreError) {
    let text = error.to_string();
    if *told != text {
        let warning = format!("{text}; it is asked again until it answers");
        agent.reporter.warning(warning);
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
            handle.cancel();
        }
    }
    Ok(())
}

/// Says that the agent lives. What it lost meanwhile, its threads learn from the store.
fn beat(agent: &Agent) {
    loop {
        thread::sleep(agent.registration.lease / 3);
        if agent.has_left.load(Ordering::Relaxed) {
            return;
        }
        // The loop says what is wrong with the store.
        let _ = agent.store.renew(&agent.registration);
    }
}

fn take_over(agent: &Arc<Agent>) -> Result<(), StoreError> {
    let working: Vec<String> = agent.jobs().keys().cloned().collect();
    for claim in agent.store.take_over(&agent.registration, &working)? {
        agent.reporter.note(format!("job {}: taken over", claim.id));
        start(agent, claim);
    }
    let containers = match &agent.engine {
        JobEngine::Machine(containers) => containers,
        JobEngine::Cluster(at) => return at.release_left(agent, |job| agent.store.is_over(job)),
    };
    for left in containers.left(&agent.store_id) {
        let is_needed = if left.is_ended {
            // Of those who were lost between writing down a job's end and removing what ran it.
            !left.is_to_go || !agent.store.is_over(&left.job)?
        } else {
            // Of those who were lost between making and starting one.
            agent.store.needs(&left.job, left.fencing_token, &left.id)?
        };
        if !is_needed {
            containers.remove(&left.id);
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
