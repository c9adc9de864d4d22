//! One job, from its claim to its end.

use super::follow::JobOutcome;
use super::handle::JobHandle;
use super::state::{Agent, JobEngine};
use super::{cluster, recover, start};
use crate::queue::{Claim, End};

/// Does a job.
pub(super) fn run(agent: &Agent, claim: &Claim, handle: &JobHandle) {
    let outcome = match (&agent.engine, &claim.started) {
        (JobEngine::Cluster(at), _) => cluster::run(agent, at, claim, handle),
        (JobEngine::Machine(containers), None) => start::run(agent, containers, claim, handle),
        (JobEngine::Machine(containers), Some(started)) => {
            recover::run(agent, containers, claim, started, handle)
        }
    };
    match outcome {
        JobOutcome::Ended(end, remove) => finish(agent, claim, &end, remove.as_deref()),
        JobOutcome::NotStarted => {
            agent.retry(|store| store.give_back(&agent.registration, claim));
        }
        JobOutcome::Lost => tell(agent, claim, "another agent has it"),
    }
}

fn finish(agent: &Agent, claim: &Claim, end: &End, remove: Option<&str>) {
    let state = agent.retry(|store| store.finish(&agent.registration, claim, end));
    let how = match (&end.error, end.exit_code) {
        (Some(error), _) => format!(": {error}"),
        (None, Some(code)) if code != 0 => format!(": exit code {code}"),
        _ => String::new(),
    };
    match state {
        Some(Some("queued")) => tell(agent, claim, &format!("tried again{how}")),
        Some(Some(state)) => tell(agent, claim, &format!("{state}{how}")),
        Some(None) => tell(agent, claim, "another agent has it"),
        None => return,
    }
    match (&agent.engine, remove) {
        (JobEngine::Machine(containers), Some(container)) => {
            containers.remove(container);
        }
        (JobEngine::Cluster(at), Some(object)) => at.release(agent, object),
        (_, None) => {}
    }
}

fn tell(agent: &Agent, claim: &Claim, what: &str) {
    agent.reporter.note(format!("job {}: {what}", claim.id));
}
