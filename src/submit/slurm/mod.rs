//! A run as a job of Slurm's: from a pinned image, followed to its end.
//!
//! | step | file |
//! | --- | --- |
//! | what is wanted | [`SlurmRequest`] |
//! | what the image starts | `image` |
//! | the script, and what isn't in it | [`prepare`] |
//! | the run's record | `record` |
//! | the job's folder, the script handed in | [`run`] |
//! | the job, to its end | `follow` |
//! | a job of several points, to their ends | `array` |
//! | a job by its run or its number | `find` |
//! | the lines of one task | `rank` |
//! | what failed, once more | `retry` |

mod array;
mod find;
mod follow;
mod image;
mod rank;
mod record;
mod retry;

pub use self::find::{FoundSlurm, FoundSlurmArray, FoundSlurmJob, SlurmQuery};
pub use self::follow::{SlurmEnd, SlurmFollowEnd, follow};
pub use self::rank::LinesOfRank;
pub use self::retry::{Retried, retry};

use mlbuild_manifests::RunId;

use super::error::SubmitError;
use super::{INTERRUPTED, SubmitRequest, Waiter, usual, variables};
use crate::reporter::Reporter;
use crate::runtime::Options;
use crate::runtime::array::Array;
use crate::runtime::slurm::{
    self, COMMENT, ContainerRuntime, JobContext, OUTPUT_FILE, RenderedScript, SCRIPT_FILE,
    misplaced, why_no_folder,
};
use crate::slurm::{Slurm, SlurmError, connect};
use crate::start::record::PendingRecord;
use crate::start::unsupported;

/// The folder of all jobs, in the user's home on the cluster.
const FOLDER: &str = ".mlbuild/slurm";

/// A run that Slurm is to do.
#[derive(Debug, Clone)]
pub struct SlurmRequest {
    /// The run; no cluster of Kubernetes is asked.
    pub run: SubmitRequest,
    /// The login node, where Slurm's commands aren't here.
    pub login: Option<String>,
    /// The user's home here, where the jobs' folder is looked for before Slurm is asked.
    pub home: Option<String>,
}

/// Everything that is known when the job is about to be handed in.
pub struct SlurmSubmission {
    request: SlurmRequest,
    /// The image as it was named.
    named: String,
    /// What starts the container.
    runtime: ContainerRuntime,
    /// The grid, where the job is an array.
    array: Option<Array>,
    /// The script, and what goes with it.
    pub rendered: RenderedScript,
    slurm: Option<Slurm>,
}

/// A job that was handed in.
#[derive(Debug)]
pub struct SlurmOutcome {
    /// Its number.
    pub job: u64,
    /// The cluster's name.
    pub cluster: String,
    /// Its folder, on the cluster.
    pub folder: String,
    /// The image, by digest.
    pub image: String,
    /// The run's id.
    pub run_id: RunId,
    /// How it ended; `None` where nobody waited.
    pub end: Option<SlurmFollowEnd>,
}

impl SlurmRequest {
    fn own(&self) -> &Options {
        self.run.flags.options()
    }
}

/// Pins the image and writes the script. Slurm is asked only where its login node decides something: which
/// runtime there is, or where the user's home is.
///
/// # Errors
/// Where the image can't be found, a file of variables can't be read, a job of Slurm lacks something that the
/// run can't do without, or the login node can't be asked.
pub async fn prepare(
    request: SlurmRequest,
    reporter: &dyn Reporter,
) -> Result<SlurmSubmission, SubmitError> {
    let runtime = slurm::runtime(request.own());
    let needs_home = request.own().text("job-folder").is_none()
        && (request.login.is_some() || request.home.is_none());
    let slurm = match runtime {
        Some(_) if !needs_home => None,
        _ => Some(connect(request.login.as_deref()).await?),
    };
    prepare_with(request, slurm, reporter).await
}

async fn prepare_with(
    mut request: SlurmRequest,
    slurm: Option<Slurm>,
    reporter: &dyn Reporter,
) -> Result<SlurmSubmission, SubmitError> {
    let refused = misplaced(request.own());
    if !refused.is_empty() {
        return Err(SubmitError::UnsupportedBySlurm { parts: refused });
    }
    let array = Array::read(request.own())
        .map_err(|part| SubmitError::UnsupportedBySlurm { parts: vec![part] })?;
    let runtime = match (slurm::runtime(request.own()), &slurm) {
        (Some(runtime), _) => runtime,
        (None, Some(slurm)) => first_of(slurm)?,
        (None, None) => {
            return Err(SubmitError::NoRuntime {
                place: "PATH".to_owned(),
            });
        }
    };
    if request.run.defaults && runtime == ContainerRuntime::Podman {
        let usual = usual(&request.run.spec);
        request.run.spec.options = request.run.spec.options.over(usual);
    }
    super::read_labels(&mut request.run.spec)?;
    let root = root(&request, slurm.as_ref())?;
    let named = request.run.spec.image.clone();
    // Only an image of a node's own has no digest, and --local-image is Kubernetes'.
    let pinned = super::image::pin(&request.run).await?.unwrap_or_default();
    let image = image::defaults(&pinned, &request.run, runtime).await?;
    let gathered = variables::gather(&request.run, Some(&pinned))?;
    request.run.spec.image = pinned;
    let context = JobContext {
        run: request.run.run_id.to_string(),
        image,
        runtime,
        root,
        variables: gathered.plain.into_iter().chain(gathered.secret).collect(),
        array,
    };
    let rendered = slurm::script(&request.run.spec, request.own(), &context);
    unsupported::warn(&rendered.warnings, reporter);
    if !rendered.refused.is_empty() {
        return Err(SubmitError::UnsupportedBySlurm {
            parts: rendered.refused,
        });
    }
    Ok(SlurmSubmission {
        request,
        named,
        runtime,
        array: context.array,
        rendered,
        slurm,
    })
}

/// The first runtime that the login node has.
fn first_of(slurm: &Slurm) -> Result<ContainerRuntime, SubmitError> {
    let order = [
        ContainerRuntime::Pyxis,
        ContainerRuntime::Apptainer,
        ContainerRuntime::Podman,
    ];
    let is_there =
        |runtime: &ContainerRuntime| slurm.runtimes.iter().any(|name| name == runtime.as_str());
    order
        .into_iter()
        .find(is_there)
        .ok_or_else(|| SubmitError::NoRuntime {
            place: slurm.place(),
        })
}

/// The folder of all jobs.
fn root(request: &SlurmRequest, slurm: Option<&Slurm>) -> Result<String, SubmitError> {
    let home = slurm
        .map(|slurm| slurm.home.clone())
        .or_else(|| request.home.clone());
    root_folder(request.own().text("job-folder"), home.as_deref())
}

fn root_folder(said: Option<&str>, home: Option<&str>) -> Result<String, SubmitError> {
    let root = match (said, home) {
        (Some(folder), _) => folder.to_owned(),
        (None, home) => format!("{}/{FOLDER}", home.unwrap_or_default()),
    };
    match why_no_folder(&root) {
        None => Ok(root),
        Some(why) => Err(SubmitError::JobFolder { path: root, why }),
    }
}

/// Hands a job in, and waits for its end unless the run is a detached one.
///
/// # Errors
/// As [`prepare`]; where Slurm can't be asked or refuses, the record can't be written, or the cluster is lost.
pub async fn run(
    request: SlurmRequest,
    waiter: Waiter<'_>,
    reporter: &dyn Reporter,
) -> Result<SlurmOutcome, SubmitError> {
    let record = request.run.record;
    let pending = record.then(|| PendingRecord::begin(&request.run.folder, &request.run.data));
    let slurm = connect(request.login.as_deref()).await?;
    let mut submission = prepare_with(request, Some(slurm), reporter).await?;
    let slurm = submission.slurm.take().expect("it is connected");
    if let Some(array) = &submission.array {
        return array::run(array, (&submission, &slurm), pending, waiter, reporter).await;
    }
    let folder = submission.rendered.folder.clone();
    slurm.make_folder(&folder).await?;
    let written = pending
        .map(|pending| record::write(pending, &submission, &slurm, reporter))
        .transpose();
    let mut run = match written {
        Ok(run) => run,
        Err(error) => {
            slurm.remove_folder(&folder).await;
            return Err(error);
        }
    };
    let cancelled = (waiter.cancellation)().map_err(SubmitError::Cancellation)?;
    let job = match hand_in(&slurm, &submission.rendered, &submission.request.run.run_id).await {
        Ok(job) => job,
        // The record stays that of a run that began, and the folder that of a job that may run.
        Err(error @ SlurmError::Unknown { .. }) => return Err(error.into()),
        Err(error) => {
            slurm.remove_folder(&folder).await;
            if let Some(run) = run {
                record::refused(run, reporter);
            }
            return Err(error.into());
        }
    };
    if let Some(run) = &mut run {
        run.has_job(job);
    }
    let SubmitRequest { spec, run_id, .. } = &submission.request.run;
    let cluster = slurm.name.clone().unwrap_or_default();
    reporter.note(format!(
        "run {run_id}: job {job} of {cluster}: {}",
        spec.image
    ));
    let end = if spec.options.is_on("detach") {
        None
    } else {
        let end = follow(
            &slurm,
            job.into(),
            &folder,
            &cancelled,
            waiter.log,
            reporter,
        )
        .await;
        let is_cancelled = matches!(end, Ok(SlurmFollowEnd::Cancelled));
        // One that couldn't be ended runs on.
        let is_over = !is_cancelled || end_job(&slurm, job, reporter).await;
        if let Some(run) = run.filter(|_| is_over) {
            record::finish(run, &end, reporter);
        }
        Some(end?)
    };
    Ok(SlurmOutcome {
        job,
        cluster,
        folder,
        image: spec.image.clone(),
        run_id: run_id.clone(),
        end,
    })
}

/// Writes the job's files, and has Slurm take the script.
async fn hand_in(slurm: &Slurm, rendered: &RenderedScript, run: &RunId) -> Result<u64, SlurmError> {
    let folder = &rendered.folder;
    for (name, content) in &rendered.variables {
        slurm.write(&format!("{folder}/{name}"), content).await?;
    }
    let script = format!("{folder}/{SCRIPT_FILE}");
    slurm.write(&script, rendered.text.as_bytes()).await?;
    // There is something to follow before it starts.
    slurm.write(&format!("{folder}/{OUTPUT_FILE}"), &[]).await?;
    slurm
        .submit(&script, &rendered.directives, &format!("{COMMENT}{run}"), 0)
        .await
}

/// Ends a job; false where it may run on.
async fn end_job(slurm: &Slurm, job: u64, reporter: &dyn Reporter) -> bool {
    let ended = slurm.cancel(job.into()).await;
    match &ended {
        Ok(()) => reporter.note(format!("job {job} is cancelled")),
        Err(error) => reporter.warning(format!("job {job} may run on: {error}")),
    }
    ended.is_ok()
}
