//! One job, from its claim to its end.

use super::follow::JobOutcome;
use super::handle::JobHandle;
use super::state::Agent;
use super::{recover, start};
use crate::queue::{Claim, End};

/// Does a job.
pub(super) fn run(agent: &Agent, claim: &Claim, handle: &JobHandle) {
    let outcome = match &claim.started {
        None => start::run(agent, claim, handle),
        Some(started) => recover::run(agent, claim, started, handle),
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
    if let Some(container) = remove {
        agent.containers.remove(container);
    }
}

fn tell(agent: &Agent, claim: &Claim, what: &str) {
    agent.reporter.note(format!("job {}: {what}", claim.id));
}
