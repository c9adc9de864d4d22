//! A run's code, image and command, here.
//!
//! Find the record, see that its image can be had, see that its code can be had, and only
//! then change anything.
//!
//! | step | file |
//! | --- | --- |
//! | the record, or what a tracker has of it | `find`, `wandb`, `mlflow` |
//! | the image | `image` |
//! | the code | `code` |
//! | the command | `command` |

mod code;
mod command;
mod error;
mod find;
mod image;
mod mlflow;
mod wandb;

use std::path::{Path, PathBuf};

use mlbuild_manifests::RunRecord;
use serde::Serialize;

pub use self::command::{OWN, PROGRAMS};
pub use self::error::{RestoreError, WandbSource};

use self::command::{Again, TOLD};
use crate::on_path;
use crate::records::data::{self, DataState, Look};
use crate::registry::{Registry, RegistryOptions};
use crate::reporter::Reporter;
use crate::runs::attached::Attached;
use crate::trackers::mlflow::MlflowName;
use crate::trackers::wandb::WandbName;

/// A run to be brought back.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// Id of the run, or its beginning.
    pub run: String,
    /// Where its record is.
    pub source: RecordSource,
    /// The project's folder.
    pub project: PathBuf,
    /// Whether its code is brought back.
    pub code: bool,
    /// A folder for the code's worktree, instead of the project's own.
    pub worktree: Option<PathBuf>,
    /// The program that starts containers: one of [`PROGRAMS`]; `None`: the run's, else the first one
    /// that is on PATH. A run of a cluster is submitted there without a program.
    pub program: Option<String>,
    /// How registries are reached.
    pub registry: RegistryOptions,
}

/// Where a run's record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordSource {
    /// In the project's folder, else beside the images of its lock.
    Anywhere,
    /// Beside the images of the project's lock.
    LockedImages,
    /// Beside this image.
    Image(String),
    /// Beside the image that this file for Apptainer is of, or in the project's folder.
    Sif(PathBuf),
    /// In this `wandb-metadata.json`.
    WandbFile(PathBuf),
    /// At the server of Weights & Biases.
    Wandb(WandbName),
    /// Here or beside its image, as MLflow says of the run.
    Mlflow(MlflowName),
}

/// A run that was brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreOutcome {
    /// Its id.
    pub run: String,
    /// Its image, by digest; by its ID where it was never pushed.
    pub image: String,
    /// The branch that was made.
    pub branch: Option<String>,
    /// The project's folder.
    pub folder: PathBuf,
    /// The command that starts it again, from that folder.
    pub command: Vec<String>,
    /// Its options of `docker run`, with the project's files where they are now.
    #[serde(skip)]
    pub options: Vec<String>,
    /// Where and how it is submitted to a cluster, as words of `mlbuild submit`; none where it starts here.
    #[serde(skip)]
    pub submission: Vec<String>,
    /// How its windows get at the display, where it had any.
    #[serde(skip)]
    pub display: Option<String>,
}

/// Brings a run back.
///
/// # Errors
/// Where the run isn't known, its image or its code can't be had, or the tree isn't clean.
/// Nothing is changed then.
pub async fn run(
    request: &RestoreRequest,
    reporter: &dyn Reporter,
) -> Result<RestoreOutcome, RestoreError> {
    let project = &request.project;
    let registry = Registry::new(request.registry.clone());
    let found = find::find(&request.run, &request.source, project, &registry, reporter);
    let Attached { record, patch } = found.await?;
    let recorded = record.command.as_ref().and_then(|c| c.program.as_deref());
    let program = program(request.program.as_deref(), recorded);
    let cluster = record.cluster.as_ref();
    let cluster = cluster.filter(|_| request.program.is_none());
    let slurm = record.slurm.as_ref();
    let slurm = slurm.filter(|_| request.program.is_none());
    let here = (cluster.is_none() && slurm.is_none()).then_some(program.as_str());
    let image = image::check(&record, here, &registry, reporter).await?;
    let worktree = request.worktree.as_deref();
    let code = if request.code {
        code::look(&record, patch.as_deref(), project, worktree, reporter)?
    } else {
        None
    };
    let restored = match code {
        Some(code) => code.bring_back(reporter)?,
        None => code::left_alone(project),
    };
    let again = Again {
        record: &record,
        program: &program,
        cluster,
        slurm,
        image: &image,
        project: &restored.project,
    };
    let command = again.command();
    for mount in again.missing_mounts() {
        reporter.warning(format!(
            "the run had {mount} mounted, which isn't on this machine"
        ));
    }
    if here.is_some() {
        tell_of_nodes(&record, reporter);
    }
    if let Some(login) = slurm.and_then(|slurm| slurm.login.as_ref()) {
        reporter.note(format!(
            "the run was submitted through the login node {login}, which isn't in the command: name it there, if it is yours"
        ));
    }
    tell_what_is_missing(&record, reporter);
    tell_of_data(&record, &restored.project, reporter);
    let (options, submission) = (again.recorded_options(), again.submission());
    Ok(RestoreOutcome {
        run: record.id.to_string(),
        image,
        branch: restored.branch,
        folder: restored.project,
        options,
        submission,
        display: record.command.as_ref().and_then(|c| c.display.clone()),
        command,
    })
}

/// What a run had of its cluster, and this machine hasn't.
fn tell_of_nodes(record: &RunRecord, reporter: &dyn Reporter) {
    let of_kubernetes = record.cluster.iter().flat_map(|cluster| &cluster.options);
    let of_slurm = record.slurm.iter().flat_map(|slurm| &slurm.options);
    let options = of_kubernetes.chain(of_slurm);
    let last = |flag: &str| {
        let mut values = options
            .clone()
            .filter_map(|option| option.strip_prefix(flag));
        values.next_back()
    };
    if let Some(nodes) = last("--nodes=").filter(|nodes| *nodes != "1") {
        reporter.warning(format!(
            "the run had {nodes} nodes, and their variables; this line starts one container without them"
        ));
    }
    if let Some(folder) = last("--code=") {
        reporter.warning(format!(
            "the run had its code at {folder}; this line has it only with --volume \"$PWD:{folder}\" --workdir {folder}"
        ));
    }
}

/// What of the command can't be as it was.
fn tell_what_is_missing(record: &RunRecord, reporter: &dyn Reporter) {
    let Some(command) = &record.command else {
        reporter.note(
            "the command isn't known: mlbuild didn't start the run, or its record isn't at hand",
        );
        return;
    };
    let is_unset = |name: &&String| {
        std::env::var_os(name.as_str()).is_none() && !TOLD.contains(&name.as_str())
    };
    let unset: Vec<&str> = command
        .environment
        .iter()
        .filter(is_unset)
        .map(String::as_str)
        .collect();
    if !unset.is_empty() {
        reporter.note(format!(
            "the run had values for {}, which aren't recorded: set them before you start it",
            unset.join(", ")
        ));
    }
}

/// Whether the data is what it was.
fn tell_of_data(record: &RunRecord, project: &Path, reporter: &dyn Reporter) {
    for one in &record.data {
        let name = &one.name;
        match data::state(one, project, Look::Known) {
            DataState::Same => reporter.note(format!("data {name}: as it was")),
            DataState::Touched if one.full.is_some() => reporter.note(format!(
                "data {name}: as it was; files were written since with the same content"
            )),
            DataState::Touched => reporter.warning(format!(
                "data {name}: files were written since; names, sizes and samples are as they were"
            )),
            DataState::Changed { files, bytes } => reporter.warning(format!(
                "data {name} changed: the run had {} files of {} bytes, and there are {files} of {bytes}",
                one.files.unwrap_or_default(),
                one.bytes.unwrap_or_default()
            )),
            DataState::Gone => reporter.warning(format!("data {name}: it isn't on this machine")),
            DataState::NotLookedAt => {
                reporter.note(format!("data {name}: recorded by its name, and not looked at"));
            }
            DataState::Elsewhere => reporter.note(format!(
                "data {name}: it lies outside the project where only the record says so, and wasn't looked at"
            )),
            DataState::Unknown(why) => reporter.warning(format!("data {name}: it can't be read: {why}")),
        }
    }
}

/// The program that was chosen, else the run's, else the first that is on PATH.
fn program(chosen: Option<&str>, recorded: Option<&str>) -> String {
    let is_on_path = |name: &str| on_path::find(name).is_some();
    let known = recorded.filter(|name| PROGRAMS.contains(name) && is_on_path(name));
    let found = || PROGRAMS.into_iter().find(|name| is_on_path(name));
    let chosen = chosen.or(known).or_else(found);
    chosen.unwrap_or(PROGRAMS[0]).to_owned()
}
