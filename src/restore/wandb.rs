//! Runs that Weights & Biases recorded: `wandb-metadata.json`, with the image in `docker`.

use std::path::Path;

use jiff::Timestamp;
use mlbuild_manifests::run_record::{GitState, RunCommand, RunImage};
use mlbuild_manifests::{RunId, RunRecord};
use oci_spec::image::Digest;
use serde::Deserialize;

use super::error::RestoreError;
use crate::registry::RegistryError;
use crate::runs::attached::Attached;

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

#[derive(Deserialize)]
struct Git {
    remote: Option<String>,
    commit: Option<String>,
}

/// Where `wandb docker` mounts the code.
const INSIDE: &str = "/app";

/// A record made of what W&B knows; its patch is `diff.patch` beside the file.
///
/// # Errors
/// Where the file can't be read, or names no image by digest.
pub fn read(file: &Path, run: &str) -> Result<Attached, RestoreError> {
    let wrong = |why: &dyn std::fmt::Display| RestoreError::Wandb {
        file: file.to_owned(),
        why: why.to_string(),
    };
    let text = mlbuild_files::read_to_string(file).map_err(|error| wrong(&error))?;
    let metadata: Metadata = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    let pointer = metadata.docker.as_ref().or(metadata.wandb_docker.as_ref());
    let pointer = pointer.ok_or_else(|| RestoreError::WandbNoImage {
        file: file.to_owned(),
    })?;
    // Also as W&B names it: `entity/project:run`, `entity/project/run`.
    let id = run.rsplit([':', '/']).next().unwrap_or(run);
    let id: RunId = id.parse()?;
    let image = image(pointer).map_err(|why| wrong(&why))?;
    let mut record = RunRecord::new(id, Timestamp::now(), image);
    let patch = mlbuild_files::read(&file.with_file_name("diff.patch")).ok();
    let patch = patch.filter(|patch| !patch.is_empty());
    record.git = metadata.git.map(|git| GitState {
        remote: git.remote,
        commit: git.commit,
        dirty: patch.is_some(),
        ..GitState::default()
    });
    let words = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>();
    let program = metadata.code_path.or(metadata.program);
    record.command = program.map(|program| {
        let python = metadata
            .executable
            .as_deref()
            .and_then(|path| path.rsplit('/').next());
        let mut argv = words(&[python.unwrap_or("python"), &program]);
        argv.extend(metadata.args);
        RunCommand {
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
        }
    });
    Ok(Attached { record, patch })
}

/// Stands for the project's folder, which is put in its place.
const HERE: &str = "/project";

/// `NAME@sha256:…`. What the digest names (an index or a manifest) the registry will tell.
fn image(pointer: &str) -> Result<RunImage, String> {
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
