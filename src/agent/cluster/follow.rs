//! An object that was made, followed to its end.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::JobCluster;
use crate::agent::follow::JobOutcome;
use crate::agent::handle::JobHandle;
use crate::agent::state::Agent;
use crate::kubernetes::{KubernetesError, ObjectKind, ObjectRef, Progress, progress};
use crate::queue::{Claim, End};
use crate::records::{RunExit, StartedRun};

/// How often an object is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What is followed.
pub(super) struct Followed {
    pub(super) kind: ObjectKind,
    pub(super) place: ObjectRef,
    /// Id of the run, which its pods have as a label.
    pub(super) run: String,
    /// The container that counts.
    pub(super) container: String,
}

/// Waits for the end of an object, and writes it down.
pub(super) fn follow(
    agent: &Agent,
    cluster: &Arc<JobCluster>,
    claim: &Claim,
    followed: Followed,
    record: Option<StartedRun>,
    handle: &JobHandle,
) -> JobOutcome {
    let (stops, kind, place) = (
        cluster.clone(),
        followed.kind.clone(),
        followed.place.clone(),
    );
    handle.set_stop(Arc::new(move || {
        // What refuses is told by who follows it: the object stays.
        let _ = stops.remove(&kind, &place);
    }));
    let mut end = see_the_end(agent, cluster, claim, &followed);
    if agent.retry(|store| store.has(&agent.registration, claim)) != Some(true) {
        // Whoever has it writes down how it ended.
        return JobOutcome::Lost;
    }
    end.cancelled = handle.is_cancelled();
    if end.cancelled {
        end.error = None;
    }
    if let Some(record) = record {
        let code = end.exit_code.map(|code| code as i32);
        if let Err(error) = record.finish(code.map_or_else(RunExit::default, RunExit::of_code)) {
            agent
                .reporter
                .warning(format!("the end of the run isn't recorded: {error}"));
        }
    }
    JobOutcome::Ended(end, Some(followed.place.to_string()))
}

fn see_the_end(agent: &Agent, cluster: &JobCluster, claim: &Claim, followed: &Followed) -> End {
    let place = &followed.place;
    let mut told = String::new();
    let mut tell = |text: String| {
        if told != text {
            agent.reporter.note(format!("job {}: {text}", claim.id));
            told = text;
        }
    };
    let log = || cluster.log(place, &followed.run, &followed.container);
    loop {
        match cluster.wait(look(cluster, followed)) {
            // It may run on, whatever can't be asked now.
            Err(error) => tell(format!("{error}; it is asked again until it answers")),
            Ok(None) => {
                return End {
                    error: Some(format!(
                        "the {} was removed before its end was seen",
                        place.shown()
                    )),
                    ..End::default()
                };
            }
            Ok(Some(Progress::Waiting { why })) => tell(format!("waiting: {why}")),
            Ok(Some(Progress::Running)) => {}
            Ok(Some(Progress::Stuck { pod, why })) => {
                // One that can't start would try for ever.
                let error = match cluster.remove(&followed.kind, place) {
                    Ok(()) => format!("its pod {pod} can't start: {why}"),
                    Err(error) => {
                        format!("its pod {pod} can't start: {why}; it is still there: {error}")
                    }
                };
                return End {
                    error: Some(error),
                    ..End::default()
                };
            }
            Ok(Some(Progress::Ended {
                succeeded,
                code,
                why,
            })) => {
                let unknown = || why.clone().unwrap_or_else(|| "it failed".to_owned());
                return End {
                    exit_code: code.map(i64::from),
                    error: (!succeeded && code.is_none()).then(unknown),
                    log: log(),
                    cancelled: false,
                };
            }
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

/// How far it got; `None` where it is gone.
async fn look(
    cluster: &JobCluster,
    followed: &Followed,
) -> Result<Option<Progress>, KubernetesError> {
    let place = &followed.place;
    let found = cluster.cluster.object(&followed.kind, place).await?;
    // Another one of its name is none of this job's.
    let Some(found) = found.filter(|found| place.uid.as_ref().is_none_or(|uid| *uid == found.uid))
    else {
        return Ok(None);
    };
    let pods = cluster.pods(place, &followed.run).await?;
    Ok(Some(progress(
        place,
        &found.status,
        &pods,
        &followed.container,
    )))
}
