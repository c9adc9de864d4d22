//! Another shell in the container of this project that runs already.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::LABEL;
use crate::cli::run::runtime_cli::Found;
use crate::error::{CommandError, CommandResult};
use crate::runtime::{Options, RunSpec};

/// The newest container of the project, if one runs.
///
/// # Errors
/// Where the runtime can't be asked.
pub(super) fn running(found: &Found, project: &Path) -> CommandResult<Option<String>> {
    let filter = format!("label={LABEL}={}", project.display());
    let output = Command::new(&found.program)
        .args([
            "ps",
            "--no-trunc",
            "--filter",
            &filter,
            "--format",
            "{{.ID}}",
        ])
        .stdin(Stdio::null())
        .output();
    let failed =
        |why: String| CommandError::environment(format!("{}: {why}", found.program.display()));
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(said.trim().to_owned()));
    }
    let ids = String::from_utf8_lossy(&output.stdout);
    Ok(ids.lines().next().map(str::to_owned))
}

/// What can't be changed in a container that runs.
///
/// # Errors
/// Where the line says something of the kind.
pub(super) fn refuse_what_is_for_a_new_one(
    id: &str,
    typed: &Options,
    image: &str,
    jupyter: bool,
) -> CommandResult {
    const OF_EXEC: [&str; 4] = ["interactive", "tty", "detach-keys", "rm"];
    let mut told: Vec<String> = typed
        .iter()
        .filter(|setting| !OF_EXEC.contains(&setting.flag.name))
        .map(|setting| setting.flag.to_string())
        .collect();
    told.extend((!image.is_empty()).then(|| image.to_owned()));
    told.extend(jupyter.then(|| "--jupyter".to_owned()));
    if told.is_empty() {
        return Ok(());
    }
    Err(CommandError::user(format!(
        "this project's container runs already ({}), and can't be given {} any more",
        &id[..id.len().min(12)],
        told.join(", ")
    ))
    .hint("a second one beside it: --new")
    .hint("or without that, to attach to the one that runs"))
}

/// Becomes the runtime's client in that container; returns only where that fails.
pub(super) fn exec(
    found: &Found,
    id: &str,
    spec: &RunSpec,
    folder: Option<&str>,
    words: &[String],
) -> CommandError {
    let mut command = Command::new(&found.program);
    command.arg("exec");
    for flag in ["interactive", "tty"] {
        if spec.options.is_on(flag) {
            command.arg(format!("--{flag}"));
        }
    }
    command.args(folder.map(|folder| format!("--workdir={folder}")));
    let error = command.arg(id).args(words).exec();
    CommandError::environment(format!(
        "{}: can't be started: {error}",
        found.program.display()
    ))
}
