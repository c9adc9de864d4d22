//! A grid of runs as one array of Slurm's: each point has a record, a folder and an output of its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::super::error::SubmitError;
use super::super::points::{PointEnd, Points, check_names, end_of_all};
use super::follow::end_by;
use super::record;
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
    let run = request.run_id.as_str();
    check_names(&request.run_id, array)?;
    let cancelled = (waiter.cancellation)().map_err(SubmitError::Cancellation)?;
    slurm.make_folder(folder).await?;
    if let Err(error) = slurm.make_point_folders(folder, points, OUTPUT_FILE).await {
        slurm.remove_folder(folder).await;
        return Err(error.into());
    }
    let written = match pending {
        None => Ok(None),
        Some(pending) => write((submission, slurm, array), pending, &cancelled, reporter).await,
    };
    let records = match written {
        Ok(records) => records,
        Err(error) => {
            slurm.remove_point_folders(folder, points).await;
            return Err(error);
        }
    };
    let cluster = slurm.name.clone().unwrap_or_default();
    let outcome = |job, end| SlurmOutcome {
        job,
        cluster: cluster.clone(),
        folder: folder.clone(),
        image: request.spec.image.clone(),
        run_id: request.run_id.clone(),
        end,
    };
    if cancelled.is_cancelled() {
        records.iter().for_each(Points::discard);
        slurm.remove_point_folders(folder, points).await;
        reporter.note("cancelled before the array was handed in: nothing of it is left");
        return Ok(outcome(0, Some(SlurmFollowEnd::Cancelled)));
    }
    let job = match hand_in(slurm, &submission.rendered, &request.run_id).await {
        Ok(job) => job,
        Err(error @ SlurmError::Unknown { .. }) => return Err(error.into()),
        Err(error) => {
            slurm.remove_point_folders(folder, points).await;
            records
                .iter()
                .for_each(|records| records.end_all(None, reporter));
            return Err(error.into());
        }
    };
    if let Some(records) = &records {
        records.each(|run| run.has_job(job));
    }
    reporter.note(format!(
        "runs {run}-0 to {}: array {job} of {cluster}, {points} points: {}",
        run_of_point(run, points - 1),
        request.spec.image
    ));
    let end = match request.spec.options.is_on("detach") {
        true => None,
        false => {
            let mut follower = Follower {
                slurm,
                job,
                folder,
                run,
                points,
                states: BTreeMap::new(),
                reporter,
            };
            Some(follower.wait(&cancelled, records.as_ref()).await?)
        }
    };
    Ok(outcome(job, end))
}

/// Writes down that each point starts.
async fn write(
    (submission, slurm, array): (&SlurmSubmission, &Slurm, &Array),
    pending: PendingRecord,
    cancelled: &CancellationToken,
    reporter: &dyn Reporter,
) -> Result<Option<Points>, SubmitError> {
    let files = pending.of_files(reporter)?;
    let whole = record::start(&files, submission, slurm);
    Points::write(&whole, array, &files.place, cancelled).await
}

struct Follower<'a> {
    slurm: &'a Slurm,
    job: u64,
    folder: &'a str,
    run: &'a str,
    points: usize,
    /// The states of those that have ended, which Slurm forgets.
    states: BTreeMap<u32, String>,
    reporter: &'a dyn Reporter,
}

impl Follower<'_> {
    async fn wait(
        &mut self,
        cancelled: &CancellationToken,
        records: Option<&Points>,
    ) -> Result<SlurmFollowEnd, SubmitError> {
        let is_over = tokio::select! {
            () = cancelled.cancelled() => false,
            seen = self.see_the_end() => { seen?; true }
        };
        // Those that couldn't be ended run on.
        let is_cancelled = !is_over && end_job(self.slurm, self.job, self.reporter).await;
        let ends = ends_of(
            self.slurm,
            (self.job, self.folder),
            self.points,
            &self.states,
        )
        .await?;
        for (at, end) in ends.iter().enumerate() {
            let code = end.code.or(is_cancelled.then_some(super::INTERRUPTED));
            if let Some(records) = records.filter(|_| is_over || code.is_some()) {
                records.end(at, code, self.reporter);
            }
        }
        if !is_over {
            return Ok(SlurmFollowEnd::Cancelled);
        }
        let PointEnd { code, why } = end_of_all(self.run, &ends, self.reporter);
        Ok(SlurmFollowEnd::Ended(SlurmEnd { code, why }))
    }

    /// Waits until Slurm says that no point waits or runs, or has forgotten them all.
    async fn see_the_end(&mut self) -> Result<(), SubmitError> {
        let (mut told, mut lost) = (String::new(), None::<Instant>);
        loop {
            let text = match self.slurm.tasks(JobNumber::from(self.job)).await {
                Ok(tasks) => {
                    lost = None;
                    let ended = tasks.iter().filter(|task| task.phase() == JobPhase::Ended);
                    let ended =
                        ended.filter_map(|task| Some((task.number.task?, task.state.clone())));
                    self.states.extend(ended);
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
}

/// How the points of an array ended: by what their folders have, else by Slurm's word, which for those that it
/// has forgotten is the one in `states`.
pub(super) async fn ends_of(
    slurm: &Slurm,
    (job, folder): (u64, &str),
    points: usize,
    states: &BTreeMap<u32, String>,
) -> Result<Vec<PointEnd>, SubmitError> {
    let codes = slurm.point_codes(folder, points, EXIT_CODE_FILE).await?;
    let said = match codes.iter().all(Option::is_some) {
        true => BTreeMap::new(),
        false => slurm.task_ends(job).await,
    };
    let end = |(own, task): (Option<i32>, u32)| {
        let said = said.get(&task);
        let state = states.get(&task).or(said.map(|end| &end.state));
        let code = said.and_then(|end| end.code);
        let end = end_by(own, state.map(String::as_str), code);
        end.map_or_else(PointEnd::default, |SlurmEnd { code, why }| PointEnd {
            code,
            why,
        })
    };
    Ok(codes.into_iter().zip(0..).map(end).collect())
}

fn waits_for(task: &SlurmJob) -> Option<String> {
    let is_waiting = task.phase() == JobPhase::Waiting;
    let reason = task.reason.as_ref().filter(|_| is_waiting)?;
    Some(format!(": {reason}"))
}
