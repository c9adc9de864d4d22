//! A grid of runs as one indexed Job: each point has a pod and a record of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::error::SubmitError;
use super::follow::{FollowEnd, Watched};
use super::points::{PointEnd, Points, check_names, end_of_all};
use super::record;
use super::{INTERRUPTED, Submission, SubmitEnd, SubmitOutcome, Waiter, clean_up};
use crate::error::ErrorKind;
use crate::kubernetes::{Cluster, End, FoundJob, JobRef, KubernetesError, Rank, State};
use crate::reporter::Reporter;
use crate::runtime::array::{Array, run_of_point};
use crate::start::record::PendingRecord;

/// At least this lies between two looks: each lists all pods.
const PAUSE: Duration = Duration::from_secs(1);

/// Has the cluster make the Job of an array, and waits for the end of all its points unless the run is a detached
/// one.
///
/// # Errors
/// As [`super::run`].
pub(super) async fn run(
    array: &Array,
    (submission, cluster, version): (&Submission, &Cluster, &str),
    pending: Option<PendingRecord>,
    waiter: Waiter<'_>,
    reporter: &dyn Reporter,
) -> Result<SubmitOutcome, SubmitError> {
    let request = &submission.request;
    let run = request.run_id.as_str();
    check_names(&request.run_id, array)?;
    let outcome = |job, end| SubmitOutcome {
        at: submission.at(),
        namespace: cluster.namespace.clone(),
        image: request.spec.image.clone(),
        run_id: request.run_id.clone(),
        job,
        end,
    };
    let cancelled = (waiter.cancellation)().map_err(SubmitError::Cancellation)?;
    let records = match pending {
        None => None,
        Some(pending) => {
            let files = pending.of_files(reporter)?;
            let whole = record::start(&files, submission, cluster, version);
            Points::write(&whole, array, &files.place, &cancelled).await?
        }
    };
    if cancelled.is_cancelled() {
        records.iter().for_each(Points::discard);
        reporter.note("cancelled before the Job was made: nothing of it is left");
        let end = SubmitEnd::Followed(FollowEnd::Cancelled);
        return Ok(outcome(Value::Null, end));
    }
    let beside = submission.beside();
    let job = match cluster.create(&submission.rendered.job, &beside).await {
        Ok(job) => job,
        // The records stay those of runs that began.
        Err(source @ KubernetesError::Unknown { .. }) => {
            let job = submission.job().to_owned();
            return Err(SubmitError::Lost { job, source });
        }
        Err(error) => {
            if let Some(records) = &records {
                records.end_all(None, reporter);
            }
            return Err(error.into());
        }
    };
    let (at, points) = (submission.at(), array.len());
    reporter.note(format!(
        "runs {run}-0 to {}: {at} in {}, {points} points: {}",
        run_of_point(run, points - 1),
        cluster.namespace,
        request.spec.image
    ));
    if request.spec.options.is_on("detach") {
        return Ok(outcome(job, SubmitEnd::Detached));
    }
    let mut follower = Follower {
        run,
        points,
        records,
        ends: BTreeMap::new(),
        reporter,
    };
    let end = follower.follow(submission, cluster, &cancelled).await?;
    Ok(outcome(job, SubmitEnd::Followed(end)))
}

struct Follower<'a> {
    run: &'a str,
    points: usize,
    records: Option<Points>,
    /// How those ended that have.
    ends: BTreeMap<u32, PointEnd>,
    reporter: &'a dyn Reporter,
}

impl Follower<'_> {
    async fn follow(
        &mut self,
        submission: &Submission,
        cluster: &Cluster,
        cancelled: &CancellationToken,
    ) -> Result<FollowEnd, SubmitError> {
        let at = submission.at();
        let watched = Watched::new(cluster, &at, self.reporter);
        let seen = tokio::select! {
            () = cancelled.cancelled() => None,
            seen = self.see_the_end(watched) => Some(seen),
        };
        let end = match seen {
            None => {
                self.look(cluster, &at).await;
                Ok(FollowEnd::Cancelled)
            }
            Some(Ok(())) => Ok(FollowEnd::Ended(self.end())),
            Some(Err(error)) => Err(error),
        };
        // The connection is lost, and the Job may run on.
        let is_lost = matches!(&end, Err(error) if error.kind() == ErrorKind::Environment);
        if is_lost {
            return end;
        }
        let is_gone = clean_up(submission, cluster, &end, self.reporter).await;
        let code = match &end {
            Ok(FollowEnd::Cancelled) => Some(INTERRUPTED),
            _ => None,
        };
        // One that couldn't be removed runs on.
        if let Some(records) = self.records.as_ref().filter(|_| is_gone || code.is_none()) {
            records.end_all(code, self.reporter);
        }
        end
    }

    /// What can be known of the points before all of them are removed.
    async fn look(&mut self, cluster: &Cluster, at: &JobRef) {
        if let Ok(found) = cluster.find(at).await {
            self.take(found.points().as_deref().unwrap_or_default());
        }
    }

    async fn see_the_end(&mut self, mut watched: Watched<'_>) -> Result<(), SubmitError> {
        loop {
            let found = watched.find().await?;
            let Some(points) = found.points() else {
                // Another Job has its name by now.
                return Err(SubmitError::Removed {
                    job: watched.job.name.clone(),
                });
            };
            self.take(&points);
            match found.state() {
                State::Stuck { pod, why } => return Err(SubmitError::Stuck { pod, why }),
                State::Ended(_) => return Ok(()),
                _ => watched.tell(told(&watched, &found, &points).await),
            }
            tokio::time::sleep(PAUSE).await;
            watched.cluster.changed(&found).await;
        }
    }

    /// Writes down the ends that weren't seen before: a pod may be gone by the next look.
    fn take(&mut self, points: &[Rank]) {
        for point in points {
            let State::Ended(End { code, why, .. }) = &point.state else {
                continue;
            };
            if self.ends.contains_key(&point.number) {
                continue;
            }
            if let Some(records) = &self.records {
                records.end(point.number as usize, *code, self.reporter);
            }
            let end = PointEnd {
                code: *code,
                why: why.clone(),
            };
            self.ends.insert(point.number, end);
        }
    }

    fn end(&self) -> End {
        let numbers = 0..u32::try_from(self.points).unwrap_or(u32::MAX);
        let ends: Vec<PointEnd> = numbers
            .map(|number| self.ends.get(&number).cloned().unwrap_or_default())
            .collect();
        let PointEnd { code, why } = end_of_all(self.run, &ends, self.reporter);
        End {
            pod: None,
            code,
            why,
        }
    }
}

/// How far they got.
async fn told(watched: &Watched<'_>, found: &FoundJob, points: &[Rank]) -> String {
    let count = |is: fn(&State) -> bool| points.iter().filter(|point| is(&point.state)).count();
    let over = count(|state| matches!(state, State::Ended(_)));
    let running = count(|state| matches!(state, State::Running { .. }));
    let why = match found.state() {
        State::Waiting { why } => Some(why),
        _ => points.iter().find_map(|point| match &point.state {
            State::Waiting { why } if point.pod.is_some() => Some(why.clone()),
            State::Stuck { why, .. } => Some(why.clone()),
            _ => None,
        }),
    };
    let no_pod = match found.pods.is_empty() {
        true => watched.cluster.why_no_pod(watched.job).await,
        false => None,
    };
    let why = no_pod
        .map(|said| format!("no pod can be made: {said}"))
        .or(why);
    let waiting = points.len() - over - running;
    let why = why.filter(|_| waiting > 0).map(|why| format!(": {why}"));
    format!(
        "{over} of {} points are over, {running} run, {waiting} wait{}",
        points.len(),
        why.unwrap_or_default()
    )
}
