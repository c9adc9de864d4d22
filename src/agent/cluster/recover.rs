//! A job that another agent left after the store said yes to its start.

use std::sync::Arc;

use super::follow::{Followed, follow};
use super::{CONTAINER_ANNOTATION, JobCluster, is_of};
use crate::agent::follow::JobOutcome;
use crate::agent::handle::JobHandle;
use crate::agent::recover::record_of;
use crate::agent::state::Agent;
use crate::kubernetes::{KubernetesError, ObjectRef};
use crate::queue::{Claim, End, Start};
use crate::records::{RunExit, StartedRun};

/// Follows an object that is there. One that never was leaves the job to be started.
pub(super) fn run(
    agent: &Agent,
    cluster: &Arc<JobCluster>,
    claim: &Claim,
    start: &Start,
    handle: &JobHandle,
) -> JobOutcome {
    let record = record_of(agent, claim, start);
    let Some(mut place) = ObjectRef::read(&start.container) else {
        let why = format!("`{}` is no place of a cluster", start.container);
        return unseen(record, why, handle);
    };
    let at = &cluster.cluster;
    let found = cluster.retry(agent, || async {
        let kind = at.kind(&place.api_version, &place.kind).await?;
        let found = at.object(&kind, &place).await?;
        Ok((kind, found))
    });
    let (kind, found) = match found {
        Ok(Some(found)) => found,
        // The next agent takes it over.
        Ok(None) => return JobOutcome::Lost,
        Err(error) => return unseen(record, error.to_string(), handle),
    };
    let is_ours = |uid: &str| place.uid.as_ref().is_none_or(|known| known == uid);
    match found {
        Some(found) if is_of(&found, agent, claim, &start.run_id) && is_ours(&found.uid) => {
            let container = found.annotations.get(CONTAINER_ANNOTATION).cloned();
            place.uid = Some(found.uid);
            let text = place.to_string();
            if agent.retry(|store| store.note_made(&agent.registration, claim, &text)) != Some(true)
            {
                return JobOutcome::Lost;
            }
            let followed = Followed {
                kind,
                place,
                run: start.run_id.clone(),
                container: container.unwrap_or_default(),
            };
            follow(agent, cluster, claim, followed, record, handle)
        }
        _ if place.uid.is_some() => {
            let why = format!("the {} is gone, and nobody saw how it ended", place.shown());
            unseen(record, why, handle)
        }
        _ => match was_there(agent, cluster, &place, &start.run_id) {
            Ok(Some(false)) => {
                if let Ok(id) = start.run_id.parse() {
                    StartedRun::discard(std::path::Path::new(&start.records), &id);
                }
                JobOutcome::NotStarted
            }
            Ok(Some(true)) => {
                let why = format!("the {} is gone, and nobody saw how it ended", place.shown());
                unseen(record, why, handle)
            }
            Ok(None) => JobOutcome::Lost,
            Err(error) => {
                let why = format!(
                    "whether the {} ever was there can't be asked: {error}",
                    place.shown()
                );
                unseen(record, why, handle)
            }
        },
    }
}

/// Whether an object that is missing was ever there; `None` where the agent is to stop meanwhile.
fn was_there(
    agent: &Agent,
    cluster: &JobCluster,
    place: &ObjectRef,
    run: &str,
) -> Result<Option<bool>, KubernetesError> {
    let at = cluster.cluster.in_namespace(&place.namespace);
    cluster.retry(agent, || async {
        let pods = cluster.pods(place, run).await?;
        Ok(!pods.is_empty() || at.remembers(&place.kind, &place.name).await?)
    })
}

/// A try that nobody can tell the end of: it isn't started again.
fn unseen(record: Option<StartedRun>, why: String, handle: &JobHandle) -> JobOutcome {
    if let Some(record) = record {
        let _ = record.finish(RunExit::default());
    }
    let end = End {
        error: Some(why),
        cancelled: handle.is_cancelled(),
        ..End::default()
    };
    JobOutcome::Ended(end, None)
}
