//! What starts containers: the program that `run`, `dev` and `gui-run` call.

use super::Finding;
use crate::on_path;
use crate::runtime::RuntimeCli;
use crate::start::runtime_cli;

const AREA: &str = "containers";

/// Looks for it in the order in which those verbs do, and starts nothing.
pub(super) async fn check() -> Finding {
    match runtime_cli::find(None).await {
        Ok(found) if found.is_private => Finding::ok(
            AREA,
            format!(
                "run, dev and gui-run use the private {}; its containers have this machine's network",
                found.name_and_version()
            ),
        ),
        Ok(found) => Finding::ok(
            AREA,
            format!(
                "run, dev and gui-run use {} ({}){}",
                found.name_and_version(),
                found.program.display(),
                beside(&found),
            ),
        ),
        Err(error) => Finding::warn(
            AREA,
            error.to_string(),
            "sudo systemctl start docker    # or install Docker or Podman\n\
             mlbuild engine up --source packages    # or: a private Docker",
        ),
    }
}

/// Apptainer, where it isn't what is used anyhow.
fn beside(found: &runtime_cli::ContainerRuntime) -> String {
    let program = on_path::find("apptainer").or_else(|| on_path::find("singularity"));
    match program.filter(|_| found.cli != RuntimeCli::Apptainer) {
        Some(program) => format!("; --runtime-cli apptainer uses {}", program.display()),
        None => String::new(),
    }
}
