//! The points of an array, whoever runs them: their records, and how they ended. No record is held open: there
//! may be thousands.

use std::path::PathBuf;

use mlbuild_manifests::RunId;
use mlbuild_manifests::run_record::RecordsPlace;
use tokio_util::sync::CancellationToken;

use super::error::SubmitError;
use crate::records::{RunExit, RunStart, StartedRun};
use crate::reporter::Reporter;
use crate::runtime::array::{AT_ONCE_FLAG, Array, FLAG, run_of_point};
use crate::start::record::{begin, record_end};

/// So many points that failed are named.
const MOST_NAMED: usize = 5;
/// After so many records it is seen to whether the run is cancelled.
const RECORDS_AT_ONCE: usize = 16;

/// How a point ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PointEnd {
    /// The container's exit code, where it is known.
    pub(super) code: Option<i32>,
    /// What else there is to say.
    pub(super) why: Option<String>,
}

/// The records of an array's points.
pub(super) struct Points {
    project: PathBuf,
    runs: Vec<RunId>,
}

/// Whether all points of a run can have ids.
///
/// # Errors
/// Where the run's id is too long for that.
pub(super) fn check_names(run: &RunId, array: &Array) -> Result<(), SubmitError> {
    // The longest is one that can be a record's name.
    id_of_point(run, array.len().saturating_sub(1)).map(drop)
}

fn id_of_point(run: &RunId, at: usize) -> Result<RunId, SubmitError> {
    let id = run_of_point(run.as_str(), at).parse();
    id.map_err(SubmitError::PointName)
}

/// What is known of a point's run: its values are those of an array that has this point alone.
fn of_point(whole: &RunStart, array: &Array, at: usize) -> Result<RunStart, SubmitError> {
    let mut run = whole.clone();
    run.id = id_of_point(&whole.id, at)?;
    let of_slurm = run.slurm.as_mut().map(|place| &mut place.options);
    let of_cluster = run.cluster.as_mut().map(|place| &mut place.options);
    if let Some(options) = of_slurm.or(of_cluster) {
        let prefix = format!("--{FLAG}=");
        let at_once = format!("--{AT_ONCE_FLAG}=");
        options.retain(|option| !option.starts_with(&prefix) && !option.starts_with(&at_once));
        let values = array.point(at).into_iter();
        options.extend(values.map(|(name, value)| format!("{prefix}{name}={value}")));
    }
    Ok(run)
}

impl Points {
    /// Writes down that each point starts; `None` where the run was cancelled meanwhile, which leaves no record.
    ///
    /// # Errors
    /// Where an id is taken, or a record can't be written; none is left then.
    pub(super) async fn write(
        whole: &RunStart,
        array: &Array,
        place: &RecordsPlace,
        cancelled: &CancellationToken,
    ) -> Result<Option<Self>, SubmitError> {
        let mut points = Self {
            project: place.project().to_owned(),
            runs: Vec::new(),
        };
        for at in 0..array.len() {
            if at % RECORDS_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
            if cancelled.is_cancelled() {
                points.discard();
                return Ok(None);
            }
            let begun = of_point(whole, array, at).and_then(|run| {
                let id = run.id.clone();
                let _started = begin(run, place)?;
                Ok(id)
            });
            match begun {
                Ok(id) => points.runs.push(id),
                Err(error) => {
                    points.discard();
                    return Err(error);
                }
            }
        }
        Ok(Some(points))
    }

    /// Takes them all back: no point began.
    pub(super) fn discard(&self) {
        for run in &self.runs {
            StartedRun::discard(&self.project, run);
        }
    }

    /// Changes the records of all that haven't ended.
    pub(super) fn each(&self, mut change: impl FnMut(&mut StartedRun)) {
        for run in &self.runs {
            if let Ok(Some(mut run)) = StartedRun::resume(&self.project, run) {
                change(&mut run);
            }
        }
    }

    /// Writes down how a point ended.
    pub(super) fn end(&self, at: usize, code: Option<i32>, reporter: &dyn Reporter) {
        let run = self
            .runs
            .get(at)
            .map(|run| StartedRun::resume(&self.project, run));
        if let Some(Ok(Some(run))) = run {
            record_end(run, RunExit { code, signal: None }, reporter);
        }
    }

    /// Writes down that all that haven't ended did so, with this exit code.
    pub(super) fn end_all(&self, code: Option<i32>, reporter: &dyn Reporter) {
        (0..self.runs.len()).for_each(|at| self.end(at, code, reporter));
    }
}

/// The end of all of them: that of the first point which failed, in the order of the points. Those that failed are
/// named.
pub(super) fn end_of_all(run: &str, ends: &[PointEnd], reporter: &dyn Reporter) -> PointEnd {
    let failed = ends.iter().enumerate();
    let failed: Vec<_> = failed.filter(|(_, end)| end.code != Some(0)).collect();
    for (at, end) in failed.iter().take(MOST_NAMED) {
        let run = run_of_point(run, *at);
        let how = match (end.code, &end.why) {
            (Some(code), Some(why)) => format!("ended with {code}: {why}"),
            (Some(code), None) => format!("ended with {code}"),
            (None, Some(why)) => format!("ended without an exit code: {why}"),
            (None, None) => "ended without an exit code".to_owned(),
        };
        reporter.warning(format!("{run} {how}; what it printed: mlbuild logs {run}"));
    }
    if let Some(more) = failed
        .len()
        .checked_sub(MOST_NAMED)
        .filter(|more| *more > 0)
    {
        reporter.warning(format!(
            "{more} more failed; which, and why: mlbuild jobs show {run}"
        ));
    }
    PointEnd {
        code: failed.first().map_or(Some(0), |(_, end)| end.code),
        why: (!failed.is_empty())
            .then(|| format!("{} of {} points failed", failed.len(), ends.len())),
    }
}
