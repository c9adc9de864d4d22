//! Another shell in the container of this project that runs already.

use std::path::Path;
use std::process::{Command, Stdio};

use super::LABEL;
use crate::runtime::{RunSpec, RuntimeCli};
use crate::start::StartError;
use crate::start::runtime_cli::ContainerRuntime;

/// The newest container of the project, if one runs.
///
/// # Errors
/// Where the runtime can't be asked.
pub(super) fn running(
    runtime: &ContainerRuntime,
    project: &Path,
) -> Result<Option<String>, StartError> {
    // Its containers have neither names nor labels.
    if runtime.cli == RuntimeCli::Apptainer {
        return Ok(None);
    }
    let filter = format!("label={LABEL}={}", project.display());
    let output = Command::new(&runtime.program)
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
    let failed = |why: String| StartError::ProgramFailed {
        program: runtime.program.clone(),
        why,
    };
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(said.trim().to_owned()));
    }
    let ids = String::from_utf8_lossy(&output.stdout);
    Ok(ids.lines().next().map(str::to_owned))
}

/// Refuses what can't be changed in a container that runs.
///
/// # Errors
/// Where anything of the kind was asked for.
pub(super) fn refuse_what_is_for_a_new_one(
    id: &str,
    only_new: &[String],
) -> Result<(), StartError> {
    if only_new.is_empty() {
        return Ok(());
    }
    Err(StartError::RunsAlready {
        id: id[..id.len().min(12)].to_owned(),
        only_new: only_new.to_vec(),
    })
}

/// The command that starts the spec's own in that container.
pub(super) fn command(
    runtime: &ContainerRuntime,
    id: &str,
    spec: &RunSpec,
    folder: Option<&str>,
) -> Vec<String> {
    let mut argv = vec![
        runtime.program.to_string_lossy().into_owned(),
        "exec".to_owned(),
    ];
    for flag in ["interactive", "tty"] {
        if spec.options.is_on(flag) {
            argv.push(format!("--{flag}"));
        }
    }
    argv.extend(folder.map(|folder| format!("--workdir={folder}")));
    argv.push(id.to_owned());
    argv.extend(spec.command.iter().cloned());
    argv
}
