//! What becomes of a job, and a container that was started, followed to its end.

use std::sync::Arc;

use super::containers::Containers;
use super::handle::JobHandle;
use super::state::Agent;
use crate::queue::{Claim, End};
use crate::records::{RunExit, StartedRun};

/// What became of a job.
pub(super) enum JobOutcome {
    /// It ended; the container or object that is to go now, if one is.
    Ended(End, Option<String>),
    /// It was never started, and waits again.
    NotStarted,
    /// Another agent has it.
    Lost,
}

impl JobOutcome {
    /// It ended because somebody wanted it to, before it began.
    pub(super) fn cancelled() -> Self {
        let end = End {
            cancelled: true,
            ..End::default()
        };
        Self::Ended(end, None)
    }
}

/// Waits for the end of a container that was started, and writes it down.
pub(super) fn follow(
    agent: &Agent,
    containers: &Arc<Containers>,
    claim: &Claim,
    container: &str,
    record: Option<StartedRun>,
    remove: Option<String>,
    handle: &JobHandle,
) -> JobOutcome {
    let (stops, id) = (containers.clone(), container.to_owned());
    handle.set_stop(Arc::new(move || stops.stop(&id)));
    let state = containers.end(container);
    if agent.retry(|store| store.has(&agent.registration, claim)) != Some(true) {
        // Whoever has it writes down how it ended.
        return JobOutcome::Lost;
    }
    let code = state.as_ref().map(|state| state.exit_code);
    if let Some(record) = record {
        let exit = code.map_or_else(RunExit::default, |code| RunExit::of_code(code as i32));
        if let Err(error) = record.finish(exit) {
            let text = format!("the end of the run isn't recorded: {error}");
            agent.reporter.warning(text);
        }
    }
    let end = End {
        exit_code: code,
        error: match &state {
            None => Some("its container was removed before it ended".to_owned()),
            Some(state) if !state.error.is_empty() => Some(state.error.clone()),
            Some(_) => None,
        },
        log: match state {
            Some(_) => containers.log(container),
            None => String::new(),
        },
        cancelled: handle.is_cancelled(),
    };
    JobOutcome::Ended(end, remove)
}
