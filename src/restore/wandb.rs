//! Runs that Weights & Biases recorded: `wandb-metadata.json`, with the image in `docker`, and the changes
//! to their code in `diff.patch`. Both come from a file's folder or from the server.

use std::path::Path;

use jiff::Timestamp;
use mlbuild_manifests::run_record::commit::is_commit;
use mlbuild_manifests::run_record::{GitState, RunCommand};
use mlbuild_manifests::{RunId, RunRecord};
use serde::Deserialize;

use super::error::{RestoreError, WandbSource};
use crate::reporter::Reporter;
use crate::runs;
use crate::runs::attached::Attached;
use crate::trackers::wandb::{self, WandbName};

/// The part of `wandb-metadata.json` that says what ran. Older versions lack much of it.
#[derive(Deserialize)]
struct Metadata {
    /// The pointer: an image by digest.
    docker: Option<String>,
    #[serde(rename = "WANDB_DOCKER")]
    wandb_docker: Option<String>,
    git: Option<Git>,
    /// Path of the program from the repository's top.
    #[serde(rename = "codePath")]
    code_path: Option<String>,
    program: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    executable: Option<String>,
}

#[derive(Default, Deserialize)]
struct Git {
    remote: Option<String>,
    commit: Option<String>,
}

/// What W&B has of a run.
struct Known {
    from: WandbSource,
    id: RunId,
    metadata: Vec<u8>,
    patch: Option<Vec<u8>>,
    /// The commit, where the metadata has none.
    commit: Option<String>,
}

/// Where `wandb docker` mounts the code.
const INSIDE: &str = "/app";

/// A record made of what W&B knows; its patch is `diff.patch` beside the file.
///
/// # Errors
/// Where the file can't be read, or names no image by digest.
pub fn read(file: &Path, run: &str) -> Result<Attached, RestoreError> {
    let from = WandbSource::File(file.to_owned());
    let metadata = mlbuild_files::read(file).map_err(|error| wrong(&from, error))?;
    let known = Known {
        // Also as W&B names it: `entity/project:run`, `entity/project/run`.
        id: run.rsplit([':', '/']).next().unwrap_or(run).parse()?,
        patch: mlbuild_files::read(&file.with_file_name("diff.patch")).ok(),
        commit: None,
        metadata,
        from,
    };
    known.record()
}

/// A record made of what the server of W&B has of a run.
///
/// # Errors
/// Where it can't be asked, doesn't know the run, or knows no image of it by digest.
pub async fn ask(
    name: &WandbName,
    project: &Path,
    reporter: &dyn Reporter,
) -> Result<Attached, RestoreError> {
    let run = wandb::fetch(name, project, reporter).await?;
    let from = WandbSource::Server(run.shown);
    let metadata = run.metadata.ok_or_else(|| {
        wrong(
            &from,
            "it has no wandb-metadata.json: what it ran in isn't known",
        )
    })?;
    let known = Known {
        id: run.id.parse()?,
        patch: run.patch,
        commit: run.commit,
        metadata,
        from,
    };
    known.record()
}

fn wrong(from: &WandbSource, why: impl ToString) -> RestoreError {
    RestoreError::Wandb {
        from: from.clone(),
        why: why.to_string(),
    }
}

impl Known {
    fn record(self) -> Result<Attached, RestoreError> {
        let metadata: Metadata =
            serde_json::from_slice(&self.metadata).map_err(|error| wrong(&self.from, error))?;
        let pointer = metadata.docker.as_ref().or(metadata.wandb_docker.as_ref());
        let pointer = pointer.filter(|pointer| !pointer.is_empty());
        let pointer = pointer.ok_or_else(|| RestoreError::WandbNoImage {
            from: self.from.clone(),
        })?;
        let image = runs::pointed_image(pointer).map_err(|why| wrong(&self.from, why))?;
        let mut record = RunRecord::new(self.id, Timestamp::now(), image);
        let patch = self.patch.filter(|patch| !patch.is_empty());
        record.command = command(&metadata);
        let Git { remote, commit } = metadata.git.unwrap_or_default();
        let commit = commit.or(self.commit);
        // It goes to git's command line.
        if let Some(other) = commit.as_ref().filter(|commit| !is_commit(commit)) {
            let why = format!("{other:?} is no commit's id: 40 or 64 hexadecimal digits");
            return Err(wrong(&self.from, why));
        }
        record.git = (remote.is_some() || commit.is_some()).then(|| GitState {
            remote,
            commit,
            dirty: patch.is_some(),
            ..GitState::default()
        });
        Ok(Attached { record, patch })
    }
}

/// What ran, with the project mounted as `wandb docker` does. `None`: it was no file's program, but typed
/// in or a notebook's.
fn command(metadata: &Metadata) -> Option<RunCommand> {
    let program = metadata.code_path.as_ref().or(metadata.program.as_ref())?;
    if program.is_empty() || program.starts_with('<') {
        return None;
    }
    let words = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>();
    let python = metadata
        .executable
        .as_deref()
        .and_then(|path| path.rsplit('/').next());
    let mut argv = words(&[python.unwrap_or("python"), program]);
    argv.extend(metadata.args.iter().cloned());
    Some(RunCommand {
        options: words(&[
            "--rm",
            "-it",
            "-v",
            &format!("{HERE}:{INSIDE}"),
            "-w",
            INSIDE,
        ]),
        argv,
        project: Some(HERE.to_owned()),
        ..RunCommand::default()
    })
}

/// Stands for the project's folder, which is put in its place.
const HERE: &str = "/project";
