//! A job that another agent left after the store said yes to its start.
//!
//! That agent may have been lost before it started the container, or while Docker did so. A
//! container that was only made is removed, which Docker refuses for one that runs. Only one that
//! never ran is made anew. The store is told before the removal, and Docker's events are asked after
//! it: Docker keeps the last 256 of all containers, so that alone they wouldn't do where this agent is
//! lost in between, too.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mlbuild_manifests::RunId;

use super::containers::Containers;
use super::follow::{JobOutcome, follow};
use super::handle::JobHandle;
use super::state::Agent;
use crate::queue::{Claim, End, Start};
use crate::records::{RunExit, StartedRun};

/// How long before a container that is being removed is looked at again.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Follows a container that runs or ran; has one that never did made anew.
pub(super) fn run(
    agent: &Agent,
    containers: &Arc<Containers>,
    claim: &Claim,
    start: &Start,
    handle: &JobHandle,
) -> JobOutcome {
    let record = record_of(agent, claim, start);
    let id = &start.container;
    let remove = containers.is_to_go(id).then(|| id.clone());
    let note =
        |container| agent.retry(|store| store.discard(&agent.registration, claim, container));
    let mut is_discarded = claim.is_discarded;
    while let Some(state) = containers.state(id) {
        match state.status.as_str() {
            "created" => {
                if note(Some(id.as_str())) != Some(true) {
                    return JobOutcome::Lost;
                }
                is_discarded = true;
                // Docker refuses where it runs by now.
                if containers.remove(id) {
                    break;
                }
            }
            // Somebody removes it already; what it was, the events tell.
            "dead" if containers.remove(id) => break,
            "dead" | "removing" => thread::sleep(RETRY_INTERVAL),
            _ => {
                if is_discarded {
                    note(None);
                }
                return follow(agent, containers, claim, id, record, remove, handle);
            }
        }
    }
    // It is gone. What does Docker remember?
    let events = containers.events(id);
    let find = |action: &str| events.iter().find(|event| event.action == action);
    let code = find("die").and_then(|event| event.actor.attributes.get("exitCode"));
    let code = code.and_then(|code| code.parse::<i64>().ok());
    // What it forgets, it forgets in order: where it knows of the making, it knows of all since.
    if find("start").is_none() && (is_discarded || find("create").is_some()) {
        if let Some(id) = run_id(start) {
            StartedRun::discard(Path::new(&start.records), &id);
        }
        return JobOutcome::NotStarted;
    }
    if let Some(record) = record {
        let _ =
            record.finish(code.map_or_else(RunExit::default, |code| RunExit::of_code(code as i32)));
    }
    let end = End {
        exit_code: code,
        error: match code {
            Some(_) => None,
            None => Some("its container is gone, and nobody saw how it ended".to_owned()),
        },
        log: String::new(),
        cancelled: handle.is_cancelled(),
    };
    JobOutcome::Ended(end, None)
}

/// The record that was begun.
pub(super) fn record_of(agent: &Agent, claim: &Claim, start: &Start) -> Option<StartedRun> {
    let record = StartedRun::resume(Path::new(&start.records), &run_id(start)?);
    record.unwrap_or_else(|error| {
        let text = format!("job {}: {error}", claim.id);
        agent.reporter.warning(text);
        None
    })
}

fn run_id(start: &Start) -> Option<RunId> {
    start.run_id.parse().ok()
}
