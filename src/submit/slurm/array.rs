//! A grid of runs as one array of Slurm's: each point has a record, a folder and an output of its own.

use std::time::{Duration, Instant};

use mlbuild_manifests::RunId;
use tokio_util::sync::CancellationToken;

use super::super::error::SubmitError;
use super::record::{self, Points};
use super::{SlurmEnd, SlurmFollowEnd, SlurmOutcome, SlurmSubmission, Waiter, end_job, hand_in};
use crate::reporter::Reporter;
use crate::runtime::array::{Array, run_of_point};
use crate::runtime::slurm::{EXIT_CODE_FILE, OUTPUT_FILE};
use crate::slurm::{JobNumber, JobPhase, Slurm, SlurmError, SlurmJob};
use crate::start::record::PendingRecord;

/// How often Slurm is asked for the points' states.
const ASK: Duration = Duration::from_secs(2);
/// How long a cluster that doesn't answer is asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
/// So many points that failed are named.
const MOST_NAMED: usize = 5;

/// Hands an array in, and waits for the end of all its points unless the run is a detached one.
///
/// # Errors
/// As [`super::run`].
pub(super) async fn run(
    array: &Array,
    (submission, slurm): (&SlurmSubmission, &Slurm),
    pending: Option<PendingRecord>,
    waiter: Waiter<'_>,
    reporter: &dyn Reporter,
) -> Result<SlurmOutcome, SubmitError> {
    let request = &submission.request.run;
    let (folder, points) = (&submission.rendered.folder, array.len());
    // The longest is one that can be a record's name.
    let last = run_of_point(request.run_id.as_str(), points - 1);
    last.parse::<RunId>().map_err(SubmitError::PointName)?;
    slurm.make_folder(folder).await?;
    if let Err(error) = slurm.make_point_folders(folder, points, OUTPUT_FILE).await {
        slurm.remove_folder(folder).await;
        return Err(error.into());
    }
    let written = pending
        .map(|pending| record::write_points(pending, array, submission, slurm, reporter))
        .transpose();
    let records = match written {
        Ok(records) => records,
        Err(error) => {
            slurm.remove_point_folders(folder, points).await;
            return Err(error);
        }
    };
    let cancelled = (waiter.cancellation)().map_err(SubmitError::Cancellation)?;
    let job = match hand_in(slurm, &submission.rendered, &request.run_id).await {
        Ok(job) => job,
        Err(error @ SlurmError::Unknown { .. }) => return Err(error.into()),
        Err(error) => {
            slurm.remove_point_folders(folder, points).await;
            records
                .iter()
                .for_each(|records| records.end(&[], reporter));
            return Err(error.into());
        }
    };
    records.iter().for_each(|records| records.have_job(job));
    let cluster = slurm.name.clone().unwrap_or_default();
    reporter.note(format!(
        "runs {}-0 to {last}: array {job} of {cluster}, {points} points: {}",
        request.run_id, request.spec.image
    ));
    let end = match request.spec.options.is_on("detach") {
        true => None,
        false => {
            let follower = Follower {
                slurm,
                job,
                folder,
                run: request.run_id.as_str(),
                points,
                reporter,
            };
            Some(follower.wait(&cancelled, records.as_ref()).await?)
        }
    };
    Ok(SlurmOutcome {
        job,
        cluster,
        folder: folder.clone(),
        image: request.spec.image.clone(),
        run_id: request.run_id.clone(),
        end,
    })
}

struct Follower<'a> {
    slurm: &'a Slurm,
    job: u64,
    folder: &'a str,
    run: &'a str,
    points: usize,
    reporter: &'a dyn Reporter,
}

impl Follower<'_> {
    async fn wait(
        &self,
        cancelled: &CancellationToken,
        records: Option<&Points>,
    ) -> Result<SlurmFollowEnd, SubmitError> {
        let is_over = tokio::select! {
            () = cancelled.cancelled() => false,
            seen = self.see_the_end() => { seen?; true }
        };
        if !is_over {
            end_job(self.slurm, self.job, self.reporter).await;
        }
        let codes = self
            .slurm
            .point_codes(self.folder, self.points, EXIT_CODE_FILE)
            .await?;
        if !is_over {
            let codes: Vec<Option<i32>> = codes
                .into_iter()
                .map(|code| code.or(Some(super::INTERRUPTED)))
                .collect();
            if let Some(records) = records {
                records.end(&codes, self.reporter);
            }
            return Ok(SlurmFollowEnd::Cancelled);
        }
        if let Some(records) = records {
            records.end(&codes, self.reporter);
        }
        Ok(SlurmFollowEnd::Ended(self.told(&codes)))
    }

    /// Waits until Slurm says that no point waits or runs, or has forgotten them all.
    async fn see_the_end(&self) -> Result<(), SubmitError> {
        let (mut told, mut lost) = (String::new(), None::<Instant>);
        loop {
            let text = match self.slurm.tasks(JobNumber::from(self.job)).await {
                Ok(tasks) => {
                    lost = None;
                    let count = |phase| tasks.iter().filter(|task| task.phase() == phase).count();
                    let (waiting, running) = (count(JobPhase::Waiting), count(JobPhase::Running));
                    if waiting + running == 0 {
                        return Ok(());
                    }
                    let over = self.points.saturating_sub(waiting + running);
                    let why = tasks.iter().find_map(waits_for).unwrap_or_default();
                    format!(
                        "{over} of {} points are over, {running} run, {waiting} wait{why}",
                        self.points
                    )
                }
                Err(SlurmError::NotFound { .. }) => return Ok(()),
                Err(error) => {
                    let since = *lost.get_or_insert_with(Instant::now);
                    if since.elapsed() > ANSWER_TIMEOUT {
                        return Err(SubmitError::SlurmLost {
                            job: self.job.into(),
                            source: error,
                        });
                    }
                    format!("{error}; asking again")
                }
            };
            if told != text {
                self.reporter.note(text.as_str());
                told = text;
            }
            tokio::time::sleep(ASK).await;
        }
    }

    /// The array's end: that of the first point which failed. Those that failed are named.
    fn told(&self, codes: &[Option<i32>]) -> SlurmEnd {
        let failed: Vec<(usize, Option<i32>)> = codes
            .iter()
            .enumerate()
            .filter(|(_, code)| **code != Some(0))
            .map(|(at, code)| (at, *code))
            .collect();
        for (at, code) in failed.iter().take(MOST_NAMED) {
            let run = run_of_point(self.run, *at);
            let how = code.map_or_else(
                || "ended without an exit code".to_owned(),
                |code| format!("ended with {code}"),
            );
            self.reporter
                .warning(format!("{run} {how}; what it printed: mlbuild logs {run}"));
        }
        let why = match failed.len() {
            0 => None,
            failed => Some(format!("{failed} of {} points failed", self.points)),
        };
        SlurmEnd {
            code: failed.first().map_or(Some(0), |(_, code)| *code),
            why,
        }
    }
}

fn waits_for(task: &SlurmJob) -> Option<String> {
    let is_waiting = task.phase() == JobPhase::Waiting;
    let reason = task.reason.as_ref().filter(|_| is_waiting)?;
    Some(format!(": {reason}"))
}
