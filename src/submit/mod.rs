//! What `docker run` does here, a Kubernetes cluster does: a run as a Job, from a pinned image.
//!
//! | step | file |
//! | --- | --- |
//! | what is wanted | [`SubmitRequest`], `runtime::kubernetes` |
//! | the image, by digest | `image` |
//! | variables, and which of them only a Secret may hold | `variables` |
//! | the code that goes with it | `code` |
//! | the Job, and what isn't in it | [`prepare`] |
//! | the run's record | `record` |
//! | ports of its pod, here | `forward` |
//! | the Job, to its end | `follow`; `ranks`, where it has several pods |
//! | an array, to the ends of its points | `array`; their records: `points` |
//!
//! Beside it stands what is done with a Job later: `find` and `logs`; and `pod_image`, the image
//! that this very pod runs.

mod array;
mod code;
mod error;
mod find;
mod follow;
mod forward;
mod image;
mod logs;
pub mod pod_image;
mod points;
mod ranks;
mod record;
mod runai;
pub mod slurm;
mod variables;

use std::io;
use std::path::PathBuf;

use mlbuild_manifests::RunId;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub use self::error::SubmitError;
pub use self::find::{JobQuery, check_rank, running_pod};
pub use self::follow::{FollowEnd, LogSink, follow};
pub use self::forward::{Forwards, PortPair};
pub use self::logs::{last_lines, printing_pod};
pub use self::runai::runai_line;

use crate::kubernetes::{Beside, Cluster, ClusterTarget, JobRef, KubernetesError, connect};
use crate::records::Snapshot;
use crate::records::data::DataWish;
use crate::registry::RegistryOptions;
use crate::reporter::Reporter;
use crate::runtime::array::Array;
use crate::runtime::kubernetes::{
    self, Grid, ImageWords, JobKind, RenderedJob, RunContext, SubmitFlags,
};
use crate::runtime::{Options, RunSpec};
use crate::start::record::PendingRecord;
use crate::start::unsupported;

/// What a shell reports for a process that Ctrl-C ended.
pub const INTERRUPTED: i32 = 130;

/// A run that a cluster is to do.
#[derive(Debug, Clone)]
pub struct SubmitRequest {
    /// The image, the command and the flags of `docker run`, with absolute paths.
    pub spec: RunSpec,
    /// What docker has no flag for.
    pub flags: SubmitFlags,
    /// Which cluster.
    pub cluster: ClusterTarget,
    /// Whether the tracker's key is handed on, and /dev/shm is made larger.
    pub defaults: bool,
    /// Whether the run is recorded in the project's `mlbuild.runs/`.
    pub record: bool,
    /// The data whose fingerprints the record gets.
    pub data: Vec<DataWish>,
    /// Ports of this machine that lead to the Job for as long as it is followed.
    pub forwards: Vec<PortPair>,
    /// The run's id.
    pub run_id: RunId,
    /// The folder it is submitted from; its project has the record.
    pub folder: PathBuf,
    /// How registries are reached.
    pub registry: RegistryOptions,
}

/// Everything that is known when the Job is about to be made.
pub struct Submission {
    request: SubmitRequest,
    /// The image as it was named.
    named: String,
    /// The names of its variables.
    names: Vec<String>,
    /// The grid, where the Job is an array.
    array: Option<Array>,
    /// The Job, and the Secret that goes with it.
    pub rendered: RenderedJob,
}

/// Somebody who waits for a Job.
pub struct Waiter<'a> {
    /// Called once, before the Job is made: from then on this cancels the run, and the Job is
    /// removed.
    pub cancellation: &'a dyn Fn() -> io::Result<CancellationToken>,
    /// Takes what the container prints.
    pub log: LogSink<'a>,
}

/// A Job that was made.
#[derive(Debug)]
pub struct SubmitOutcome {
    /// Its kind and its name.
    pub at: JobRef,
    /// Its namespace.
    pub namespace: String,
    /// The image, by digest; as it was named where only a node has it.
    pub image: String,
    /// The run's id.
    pub run_id: RunId,
    /// The Job as the cluster took it.
    pub job: Value,
    /// How it ended.
    pub end: SubmitEnd,
}

/// How a submitted run ended, for whoever waited.
#[derive(Debug)]
pub enum SubmitEnd {
    /// Nobody waited.
    Detached,
    /// The Job was followed.
    Followed(FollowEnd),
}

impl Submission {
    /// The Job's name.
    pub fn job(&self) -> &str {
        &self.rendered.name
    }

    /// Its kind and its name.
    fn at(&self) -> JobRef {
        JobRef {
            kind: self.rendered.kind,
            name: self.rendered.name.clone(),
            point: None,
        }
    }

    /// The Job as the cluster would take it; nothing is made.
    ///
    /// # Errors
    /// Where the cluster can't be asked, or wouldn't take it.
    pub async fn check(&mut self, reporter: &dyn Reporter) -> Result<Value, SubmitError> {
        let cluster = connect(&self.request.cluster).await?;
        self.settle_in(&cluster, reporter).await
    }

    /// Has the cluster look at the Job, and makes it one that the cluster knows all of.
    async fn settle_in(
        &mut self,
        cluster: &Cluster,
        reporter: &dyn Reporter,
    ) -> Result<Value, SubmitError> {
        let taken = self.check_in(cluster).await?;
        let knows_points = !taken["spec"]["backoffLimitPerIndex"].is_null();
        if self.array.is_none() || knows_points {
            return Ok(taken);
        }
        self.rendered.retry_all_together();
        reporter.warning(
            "this cluster can't tell the points of an array apart (Kubernetes before 1.29): \
             a point that fails ends the others",
        );
        self.check_in(cluster).await
    }

    async fn check_in(&self, cluster: &Cluster) -> Result<Value, SubmitError> {
        let kind = self.rendered.kind;
        if kind != JobKind::Job {
            let has = cluster.job_kinds().await?;
            if !has.contains(&kind) {
                return Err(SubmitError::NoSuchKind {
                    versions: cluster.versions_of(kind).await?,
                    cluster: cluster.url.clone(),
                    kind,
                    has,
                });
            }
        }
        Ok(cluster.check(&self.rendered.job, &self.beside()).await?)
    }

    fn beside(&self) -> Beside<'_> {
        Beside {
            secret: self.rendered.secret.as_ref(),
            code: &self.rendered.code,
            service: self.rendered.service.as_ref(),
        }
    }
}

/// Pins the image and writes the Job: nothing of the cluster is asked.
///
/// # Errors
/// Where the image can't be found, a file of variables can't be read, or Kubernetes lacks something
/// that the run can't do without.
pub async fn prepare(
    request: SubmitRequest,
    reporter: &dyn Reporter,
) -> Result<Submission, SubmitError> {
    prepare_with(request, None, reporter).await
}

/// The same, with the state of the code where the record has it.
async fn prepare_with(
    mut request: SubmitRequest,
    known: Option<Snapshot>,
    reporter: &dyn Reporter,
) -> Result<Submission, SubmitError> {
    if request.defaults {
        let usual = usual(&request.spec);
        request.spec.options = request.spec.options.over(usual);
    }
    let named = request.spec.image.clone();
    read_labels(&mut request.spec)?;
    let array = Array::read(request.flags.options())
        .map_err(|part| SubmitError::Unsupported { parts: vec![part] })?;
    let pinned = image::pin(&request).await?;
    let mut variables = variables::gather(&request, pinned.as_deref())?;
    let grid = match &array {
        None => None,
        Some(array) => {
            variables::of_each_point(&mut variables, &request.run_id);
            Some(Grid {
                array: array.clone(),
                image: image_words(&request, pinned.as_deref()).await?,
            })
        }
    };
    let code = code::archive(&request, known, reporter)?;
    if let Some(pinned) = pinned {
        request.spec.image = pinned;
    }
    let all = variables.plain.iter().chain(&variables.secret);
    let names = all.map(|variable| variable.name.clone()).collect();
    let run = request.run_id.to_string();
    let context = RunContext {
        name: match request.spec.options.text("name") {
            Some(name) => name.to_owned(),
            None => {
                let points = array.as_ref().map(|array| array.len());
                let points = points.and_then(|number| u32::try_from(number).ok());
                let pods = points.unwrap_or(request.flags.nodes());
                kubernetes::name_for(&run, request.flags.kind(), pods)
            }
        },
        run,
        asked: named.clone(),
        env: variables.plain,
        secret: variables.secret,
        code,
        grid,
    };
    let rendered = kubernetes::job(&request.spec, &request.flags, &context);
    unsupported::warn(&rendered.warnings, reporter);
    if !rendered.refused.is_empty() {
        return Err(SubmitError::Unsupported {
            parts: rendered.refused,
        });
    }
    Ok(Submission {
        request,
        named,
        names,
        array,
        rendered,
    })
}

/// What the image starts, for a shell that takes its place; `None` where only a node has the image, and nothing is
/// asked where it doesn't matter.
async fn image_words(
    request: &SubmitRequest,
    pinned: Option<&str>,
) -> Result<Option<ImageWords>, SubmitError> {
    let Some(pinned) = pinned.filter(|_| !request.spec.options.has("entrypoint")) else {
        return Ok(None);
    };
    let config = image::config(pinned, request).await?;
    Ok(Some(ImageWords {
        entrypoint: config.entrypoint().clone().unwrap_or_default(),
        command: config.cmd().clone().unwrap_or_default(),
    }))
}

/// Has the cluster make the Job, and waits for its end unless the run is a detached one.
///
/// # Errors
/// As [`prepare`]; where the cluster can't be asked or refuses, the record can't be written, the
/// container can't start, or the cluster is lost.
pub async fn run(
    request: SubmitRequest,
    waiter: Waiter<'_>,
    reporter: &dyn Reporter,
) -> Result<SubmitOutcome, SubmitError> {
    let mut pending = request
        .record
        .then(|| PendingRecord::begin(&request.folder, &request.data));
    let mut known = None;
    if request.flags.code_folder().is_some()
        && let Some(looking) = pending
    {
        let settled = looking.settled(reporter)?;
        known = settled.code().cloned();
        pending = Some(settled);
    }
    let mut submission = prepare_with(request, known, reporter).await?;
    let cluster = connect(&submission.request.cluster).await?;
    // What the cluster would refuse is known before the run is written down.
    submission.settle_in(&cluster, reporter).await?;
    let version = cluster.version().await?;
    if let Some(array) = &submission.array {
        let to = (&submission, &cluster, version.as_str());
        return array::run(array, to, pending, waiter, reporter).await;
    }
    let forwards = Forwards::listen(&submission.request.forwards).await?;
    let run = pending
        .map(|pending| record::write(pending, &submission, &cluster, &version, reporter))
        .transpose()?;
    let cancelled = (waiter.cancellation)().map_err(SubmitError::Cancellation)?;
    let job = &submission.rendered.job;
    let job = match cluster.create(job, &submission.beside()).await {
        Ok(job) => job,
        // The record stays that of a run that began.
        Err(source @ KubernetesError::Unknown { .. }) => {
            let job = submission.job().to_owned();
            return Err(SubmitError::Lost { job, source });
        }
        Err(error) => {
            if let Some(run) = run {
                record::refused(run, reporter);
            }
            return Err(error.into());
        }
    };
    let at = submission.at();
    let SubmitRequest { spec, run_id, .. } = &submission.request;
    let namespace = &cluster.namespace;
    reporter.note(format!("run {run_id}: {at} in {namespace}: {}", spec.image));
    let end = if spec.options.is_on("detach") {
        SubmitEnd::Detached
    } else {
        let following = follow(&cluster, &at, None, &cancelled, waiter.log, reporter);
        let end = forwards
            .beside(following, (&cluster, &at), None, reporter)
            .await;
        let is_cancelled = matches!(end, Ok(FollowEnd::Cancelled));
        // One that couldn't be removed runs on.
        let is_over = !is_cancelled || clean_up(&submission, &cluster, &end, reporter).await;
        if let Some(run) = run.filter(|_| is_over) {
            record::finish(run, &end, reporter);
        }
        if !is_cancelled {
            clean_up(&submission, &cluster, &end, reporter).await;
        }
        SubmitEnd::Followed(end?)
    };
    Ok(SubmitOutcome {
        at,
        namespace: namespace.clone(),
        image: spec.image.clone(),
        run_id: run_id.clone(),
        job,
        end,
    })
}

/// Adds the labels that are in files.
fn read_labels(spec: &mut RunSpec) -> Result<(), SubmitError> {
    let files = spec.options.all("label-file");
    let files: Vec<String> = files.map(ToString::to_string).collect();
    for file in files {
        for label in variables::from_file("label-file", &file)? {
            spec.options.add("label", &label.to_string());
        }
    }
    Ok(())
}

/// Leaves nothing in the cluster that nobody waits for; false where that is still there.
async fn clean_up(
    submission: &Submission,
    cluster: &Cluster,
    end: &Result<FollowEnd, SubmitError>,
    reporter: &dyn Reporter,
) -> bool {
    let at = submission.at();
    let removes = match end {
        Ok(FollowEnd::Ended(_)) => submission.request.spec.options.is_on("rm"),
        Ok(FollowEnd::Cancelled) => true,
        // One that can't start would try for ever.
        Err(error) => matches!(error, SubmitError::Stuck { .. }),
    };
    if !removes {
        return true;
    }
    if let Err(error) = cluster.remove(&at).await {
        reporter.warning(format!("the {at} is still there: {error}"));
        return false;
    }
    if !matches!(end, Ok(FollowEnd::Ended(_))) {
        reporter.note(format!("the {at} is removed"));
    }
    true
}

/// What machine learning usually needs: docker's 64 MiB of shared memory are too little for the
/// workers of PyTorch's DataLoader, and so are containerd's.
fn usual(spec: &RunSpec) -> Options {
    let mut options = Options::default();
    let at_shm = |mount: &String| mount.split(':').nth(1) == Some("/dev/shm");
    let is_shared = matches!(spec.options.text("ipc"), Some("host"));
    if !is_shared && !spec.mounts().iter().any(at_shm) {
        options.add("shm-size", "1g");
    }
    options
}
