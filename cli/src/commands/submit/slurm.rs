//! `mlbuild submit --slurm`: the run as a job of Slurm's.

use mlbuild_secrets::redact_command;
use serde_json::json;

use crate::error::{CommandError, CommandResult};
use crate::support::interrupt;
use crate::support::output;
use crate::support::runtime::wait_for;
use crate::support::terminal::Terminal;
use mlbuild::runtime::Options;
use mlbuild::submit::slurm::{self, SlurmEnd, SlurmFollowEnd, SlurmOutcome, SlurmRequest};
use mlbuild::submit::{INTERRUPTED, SubmitRequest, Waiter};

/// Submits the run, or shows its script; returns the exit code.
///
/// # Errors
/// Where the line is wrong, the image can't be found, or Slurm refuses.
pub(super) fn run(request: SubmitRequest, own: &Options) -> CommandResult<u8> {
    refuse_others_forms(own, request.spec.options.is_on("detach"))?;
    let mut request = SlurmRequest {
        login: own.text("ssh").map(str::to_owned),
        home: std::env::var("HOME")
            .ok()
            .filter(|home| home.starts_with('/')),
        run: request,
    };
    wait_for(async {
        if own.has("dry-run") {
            let command = redact_command(&request.run.spec.command);
            if command != request.run.spec.command {
                output::note("the command holds what looks like a secret, which is not shown");
                request.run.spec.command = command;
            }
            let submission = slurm::prepare(request, &Terminal::default()).await?;
            return print(&submission.rendered.text, &submission.rendered.variables).map(|()| 0);
        }
        let waiter = Waiter {
            cancellation: &interrupt::listen,
            log: &output::write_bytes,
        };
        let outcome = slurm::run(request, waiter, &Terminal::default()).await?;
        match &outcome.end {
            None => print_started(&outcome, own).map(|()| 0),
            Some(SlurmFollowEnd::Ended(end)) => exit_code(&outcome.job.to_string(), end),
            Some(SlurmFollowEnd::Cancelled) => Ok(u8::try_from(INTERRUPTED).unwrap_or(1)),
        }
    })
}

/// What is printed, and how, is said for one kind of cluster.
fn refuse_others_forms(own: &Options, detach: bool) -> CommandResult {
    if own.text("dry-run") == Some("server") {
        return Err(CommandError::user(
            "--dry-run=server is for Kubernetes: Slurm shows nothing that it would take",
        )
        .hint("--dry-run prints the script"));
    }
    if let Some(form @ ("yaml" | "json")) = own.text("output") {
        return Err(CommandError::user(format!(
            "--output {form} is for Kubernetes: a job of Slurm is a script"
        ))
        .hint("--dry-run -o script; or, of a detached one, --format json"));
    }
    if own.has("output") && !own.has("dry-run") {
        return Err(CommandError::user(
            "--output script is for --dry-run; the job's folder has its script too",
        ));
    }
    if own.text("format") == Some("json") && !detach {
        return Err(CommandError::user(
            "--format json is for --detach: stdout is the container's",
        ));
    }
    Ok(())
}

/// Prints the script. Of its variables, only names are shown.
fn print(script: &str, files: &[(String, Vec<u8>)]) -> CommandResult {
    let names = |content: &Vec<u8>| {
        let text = String::from_utf8_lossy(content).into_owned();
        let end = if text.contains('\0') { '\0' } else { '\n' };
        let names = text
            .split(end)
            .filter_map(|pair| Some(pair.split_once('=')?.0.to_owned()));
        names.collect::<Vec<_>>()
    };
    let names: Vec<String> = files
        .iter()
        .flat_map(|(_, content)| names(content))
        .collect();
    output::note(&format!(
        "with the variables of a file that only you may read, which isn't printed: {}",
        names.join(", ")
    ));
    output::answer(script.trim_end())
}

/// The answer of `--detach`.
fn print_started(outcome: &SlurmOutcome, own: &Options) -> CommandResult {
    match own.text("format") {
        Some("json") => output::answer(&format!(
            "{:#}",
            json!({
                "image": outcome.image,
                "job": outcome.job,
                "cluster": outcome.cluster,
                "folder": outcome.folder,
                "run": outcome.run_id.as_str(),
            })
        )),
        _ => output::answer(&outcome.job.to_string()),
    }
}

/// The container's own exit code. Where there is none, why.
pub(crate) fn exit_code(job: &str, end: &SlurmEnd) -> CommandResult<u8> {
    match (end.code, &end.why) {
        (Some(code), why) => {
            if let Some(why) = why {
                output::note(&format!("job {job}: {why}"));
            }
            Ok(u8::try_from(code).unwrap_or(1))
        }
        (None, why) => Err(CommandError::work(format!(
            "job {job} ended without an exit code: {}",
            why.as_deref().unwrap_or("Slurm says nothing of it")
        ))),
    }
}
