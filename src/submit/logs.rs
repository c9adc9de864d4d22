//! What a Job printed.

use kube::ResourceExt as _;

use super::error::SubmitError;
use super::find::rank;
use super::follow::{LogSink, read};
use super::ranks;
use crate::kubernetes::{Cluster, FoundJob, LogLines, State};

/// Hands on what a Job has printed so far: all of it, or so many of the last lines. Of a Job of several pods it
/// is what the one with the number `only` printed; without one, what each of them did, with its number before
/// each line.
///
/// # Errors
/// Where it has printed nothing that could be read, or has no such pod.
pub async fn last_lines(
    cluster: &Cluster,
    found: &FoundJob,
    only: Option<u32>,
    tail: Option<u32>,
    sink: LogSink<'_>,
) -> Result<(), SubmitError> {
    if let (Some(all), None) = (found.ranks(), only)
        && ranks::last_lines(cluster, (&all, found.container()), tail, sink).await? > 0
    {
        return Ok(());
    }
    let pod = printing_pod(found, only)?;
    let mut log = LogLines::of(found.container());
    log.tail = tail.map(i64::from);
    read(&mut log, cluster, &pod, sink)
        .await
        .map_err(Into::into)
}

/// The pod whose output is the Job's, or that of the pod with a number.
///
/// # Errors
/// Where none has printed anything, or it is gone.
pub fn printing_pod(found: &FoundJob, only: Option<u32>) -> Result<String, SubmitError> {
    let job = found.job.name_any();
    match rank(found, only)? {
        State::Running { pod } | State::Again { pod } => Ok(pod),
        State::Ended(end) => end.pod.ok_or(SubmitError::LogGone { job }),
        State::Waiting { why } | State::Stuck { why, .. } => {
            Err(SubmitError::NotRunning { job, why })
        }
    }
}
