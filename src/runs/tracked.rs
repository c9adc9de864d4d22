//! Runs as a tracker has them, in the form of records.

use std::path::Path;

use jiff::Timestamp;
use mlbuild_manifests::run_record::commit::is_commit;
use mlbuild_manifests::run_record::{GitState, RunImage, RunOutcome, RunStatus, RunSummary};
use mlbuild_manifests::{RunId, RunRecord};
use oci_spec::image::Digest;

use super::RunsError;
use super::list::{ListRequest, is_of_image, sort};
use crate::records::Store;
use crate::registry::RegistryError;
use crate::reporter::Reporter;
use crate::trackers::mlflow::{self, MlflowRun, MlflowStatus};

/// A run of MLflow's.
#[derive(Debug)]
pub struct TrackedRun {
    /// As MLflow has it.
    pub run: MlflowRun,
    /// What is listed of it; its id is `mlflow:RUN_ID`, by which it is restored.
    pub summary: RunSummary,
    /// Its record: the project's own where that is of the same image, else one made of its tags.
    pub record: RunRecord,
}

/// Runs of MLflow's that were asked for.
#[derive(Debug, Default)]
pub struct TrackedList {
    /// In the order that was asked for.
    pub runs: Vec<TrackedRun>,
    /// Why others can't be read. Each was a warning, too.
    pub unreadable: Vec<String>,
}

/// Lists the runs that MLflow has of an experiment, or of all.
///
/// # Errors
/// Where MLflow's server or database can't be asked.
pub async fn list_tracked(
    project: &Path,
    experiment: Option<&str>,
    request: &ListRequest,
    reporter: &dyn Reporter,
) -> Result<TrackedList, RunsError> {
    let store = Store::of(project);
    let found = mlflow::list(experiment, project, reporter).await?;
    let mut list = TrackedList {
        unreadable: found.unreadable,
        ..TrackedList::default()
    };
    for run in found.runs {
        match TrackedRun::of(run, &store) {
            Ok(run) => list.runs.push(run),
            Err(why) => {
                reporter.warning(&why);
                list.unreadable.push(why);
            }
        }
    }
    let is_of = |record: &RunRecord| {
        let wanted = request.image.as_ref();
        wanted.is_none_or(|wanted| is_of_image(record, wanted))
    };
    let runs = &mut list.runs;
    runs.retain(|run| is_of(&run.record) && request.wants(&run.summary));
    sort(runs, request.sort, |run| &run.summary);
    if request.is_reversed {
        runs.reverse();
    }
    runs.truncate(request.limit.unwrap_or(usize::MAX));
    Ok(list)
}

impl TrackedRun {
    fn of(run: MlflowRun, store: &Store) -> Result<Self, String> {
        let record = match recorded(&run, store) {
            Some(record) => record,
            None => record_of(&run)?,
        };
        let mut summary = RunSummary::of(&record);
        summary.id = format!("mlflow:{}", run.id);
        // Of one run in a container several of MLflow's may be.
        let outcome = outcome(&run);
        summary.status = outcome.status;
        summary.started = Some(outcome.started);
        summary.ended = outcome.ended;
        summary.exit_code = outcome.exit_code;
        summary.signal = None;
        if summary.argv.is_none() {
            summary.argv = run.program().map(|program| vec![program.to_owned()]);
        }
        Ok(Self {
            run,
            summary,
            record,
        })
    }
}

/// The project's record of a run, where it is of the image that the tracker has.
pub fn recorded(run: &MlflowRun, store: &Store) -> Option<RunRecord> {
    let id: RunId = run.run_id()?.parse().ok()?;
    let record = store.load(id.as_str()).ok()?;
    is_of(&record, run.image()?).then_some(record)
}

/// True where a record is of the image that a tracker has.
pub fn is_of(record: &RunRecord, pointer: &str) -> bool {
    pointed_image(pointer).is_ok_and(|image| match (&image.digest, &image.image_id) {
        (Some(digest), _) => record.image.has(digest),
        (None, id) => id.is_some() && record.image.image_id == *id,
    })
}

/// A record made of what MLflow has of a run: no more than image, commit, and how it went.
///
/// # Errors
/// What can't be used of it.
pub fn record_of(run: &MlflowRun) -> Result<RunRecord, String> {
    let wrong = |why: String| format!("{}: {why}", run.shown);
    let pointer = run
        .image()
        .ok_or_else(|| wrong("it names no image".into()))?;
    let image = pointed_image(pointer).map_err(wrong)?;
    let id = run.run_id().unwrap_or(&run.id);
    let id = id.parse().map_err(|error| wrong(format!("{error}")))?;
    let outcome = outcome(run);
    let mut record = RunRecord::new(id, outcome.started, image);
    record.outcome = Some(outcome);
    if let Some(lock) = run.lock() {
        let lock = lock.parse::<Digest>();
        record.lock = Some(lock.map_err(|_| wrong("its tag mlbuild.lock is no digest".into()))?);
    }
    if let Some(commit) = run.commit() {
        // It goes to git's command line.
        if !is_commit(commit) {
            let why = format!("{commit:?} is no commit's id: 40 or 64 hexadecimal digits");
            return Err(wrong(why));
        }
        record.git = Some(GitState {
            remote: run.remote().map(str::to_owned),
            commit: Some(commit.to_owned()),
            dirty: run.is_dirty(),
            ..GitState::default()
        });
    }
    Ok(record)
}

fn outcome(run: &MlflowRun) -> RunOutcome {
    let status = match run.status {
        MlflowStatus::Scheduled | MlflowStatus::Running => RunStatus::Started,
        MlflowStatus::Finished | MlflowStatus::Failed | MlflowStatus::Killed => RunStatus::Finished,
    };
    RunOutcome {
        status,
        started: run.started.unwrap_or(Timestamp::UNIX_EPOCH),
        ended: run.ended,
        // MLflow has no exit codes; this one it means by its word.
        exit_code: (run.status == MlflowStatus::Finished).then_some(0),
        signal: None,
    }
}

/// The image that a tracker's pointer means: `NAME@sha256:…`, or the ID of one that was never pushed. What
/// the digest names (an index or a manifest) the registry will tell.
///
/// # Errors
/// What is wrong with it.
pub fn pointed_image(pointer: &str) -> Result<RunImage, String> {
    if let Ok(id) = pointer.parse::<Digest>() {
        return Ok(RunImage {
            reference: pointer.to_owned(),
            image_id: Some(id),
            ..RunImage::default()
        });
    }
    let reference = RegistryError::reference(pointer).map_err(|error| error.to_string())?;
    let digest: Option<Digest> = reference.digest().and_then(|digest| digest.parse().ok());
    let digest = digest.ok_or_else(|| {
        format!("`{pointer}` is a tag, which may have moved since; an image is restored by digest")
    })?;
    Ok(RunImage {
        reference: format!("{}/{}", reference.registry(), reference.repository()),
        digest: Some(digest),
        ..RunImage::default()
    })
}
