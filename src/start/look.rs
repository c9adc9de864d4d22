//! A look inside the image, once: an image by digest never changes, so what was seen is kept.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use mlbuild_manifests::atomic;
use sha2::{Digest as _, Sha256};

use super::apptainer;
use super::image::PinnedImage;
use super::runtime_cli::ContainerRuntime;
use crate::display::image::{Inside, SCRIPT};
use crate::env_vars;
use crate::runtime::{RunSpec, RuntimeCli};

/// Looks as `user` with the image's own shell, with no network and no rights. `None` where it has none.
pub(crate) fn inside(
    runtime: &ContainerRuntime,
    image: &PinnedImage,
    spec: &RunSpec,
    user: Option<&str>,
) -> Option<Inside> {
    let kept = kept(image, user);
    let seen = kept.as_ref().and_then(|file| std::fs::read(file).ok());
    if let Some(inside) = seen.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        return Some(inside);
    }
    let mut command = match runtime.cli {
        RuntimeCli::Apptainer => of_apptainer(runtime, image)?,
        _ => of_docker(runtime, image, spec, user),
    };
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    let inside = Inside::read(&String::from_utf8_lossy(&output.stdout));
    if let Some(file) = kept {
        // Without it the next run looks again.
        let bytes = serde_json::to_vec(&inside).unwrap_or_default();
        let _ = file.parent().map(std::fs::create_dir_all);
        let _ = atomic::replace(&file, &bytes);
    }
    Some(inside)
}

fn of_apptainer(runtime: &ContainerRuntime, image: &PinnedImage) -> Option<Command> {
    let mut command = Command::new(&runtime.program);
    command.args(apptainer::look(image, &["/bin/sh", "-c", SCRIPT])?);
    apptainer::habits().iter().for_each(|name| {
        command.env_remove(name);
    });
    Some(command)
}

fn of_docker(
    runtime: &ContainerRuntime,
    image: &PinnedImage,
    spec: &RunSpec,
    user: Option<&str>,
) -> Command {
    let mut command = Command::new(&runtime.program);
    command.args([
        "run",
        "--rm",
        "--network=none",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
    ]);
    command.args(["--read-only", "--entrypoint=/bin/sh"]);
    command.args(user.map(|user| format!("--user={user}")));
    command.args(
        spec.options
            .text("platform")
            .map(|platform| format!("--platform={platform}")),
    );
    command.arg(&image.start).args(["-c", SCRIPT]);
    command
}

/// Where it is kept.
fn kept(image: &PinnedImage, user: Option<&str>) -> Option<PathBuf> {
    // Another script sees other things.
    let mut key = Sha256::new();
    for part in [SCRIPT, &image.start, user.unwrap_or_default()] {
        key.update(part);
        key.update([0]);
    }
    let name = format!("{}.json", hex::encode(&key.finalize()[..16]));
    Some(env_vars::cache_dir()?.join("looks").join(name))
}
