//! What a Job printed.

use kube::ResourceExt as _;

use super::error::SubmitError;
use super::follow::{LogSink, read};
use crate::kubernetes::{Cluster, FoundJob, LogLines, State};
use crate::runtime::kubernetes::CONTAINER;

/// Hands on what a Job has printed so far: all of it, or so many of the last lines.
///
/// # Errors
/// Where it has printed nothing that could be read.
pub async fn last_lines(
    cluster: &Cluster,
    found: &FoundJob,
    tail: Option<u32>,
    sink: LogSink<'_>,
) -> Result<(), SubmitError> {
    let pod = printing_pod(found)?;
    let mut log = LogLines::of(CONTAINER);
    log.tail = tail.map(i64::from);
    read(&mut log, cluster, &pod, sink)
        .await
        .map_err(Into::into)
}

/// The pod whose output is the Job's.
///
/// # Errors
/// Where none has printed anything, or it is gone.
pub fn printing_pod(found: &FoundJob) -> Result<String, SubmitError> {
    let job = found.job.name_any();
    match found.state(CONTAINER) {
        State::Running { pod } | State::Again { pod } => Ok(pod),
        State::Ended(end) => end.pod.ok_or(SubmitError::LogGone { job }),
        State::Waiting { why } | State::Stuck { why, .. } => {
            Err(SubmitError::NotRunning { job, why })
        }
    }
}
