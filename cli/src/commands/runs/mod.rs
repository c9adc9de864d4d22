//! `mlbuild runs`: the records of a project, listed, shown, compared and tidied up.

mod diff;
mod gc;
mod keep;
mod list;
mod prune;
mod pull;
mod push;
mod show;

use clap::{Args, Subcommand};
use mlbuild_manifests::RunRecord;
use mlbuild_manifests::run_record::RunSummary;
use serde_json::{Value, json};

use crate::error::CommandResult;

/// List, show, compare and tidy up the runs of a project.
///
/// Every run has a record in `mlbuild.runs/`: its image by digest, its code,
/// its command, where it ran and how it ended. A run is named by its id, or by
/// as much of it as no other run begins with.
#[derive(Debug, Clone, Args)]
pub struct RunsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RunsCommand,
}

/// What `mlbuild runs` does.
#[derive(Debug, Clone, Subcommand)]
pub enum RunsCommand {
    /// List the runs, newest first.
    List(list::ListArgs),
    /// Show all that is known of a run.
    Show(show::ShowArgs),
    /// Show what changed between two runs: base, packages, lock, code, command, GPU.
    Diff(diff::DiffArgs),
    /// Remove the records of runs, with their patches.
    Prune(prune::PruneArgs),
    /// Attach the records of runs to their images in the registry.
    Push(push::PushArgs),
    /// Give the images of runs a tag of their own, so that no clean-up of the registry takes them.
    Keep(push::PushArgs),
    /// Show kept images that nothing needs any more, and with --yes remove them from the registry.
    Gc(gc::GcArgs),
    /// Take over the records that are attached to an image.
    Pull(pull::PullArgs),
}

/// Runs the verb.
///
/// # Errors
/// Where a run isn't known, or a record can't be read or written.
pub async fn run(args: RunsArgs) -> CommandResult {
    match args.command {
        RunsCommand::List(args) => list::run(args).await,
        RunsCommand::Show(args) => show::run(&args).await,
        RunsCommand::Diff(args) => diff::run(&args).await,
        RunsCommand::Prune(args) => prune::run(&args),
        RunsCommand::Push(args) => push::run(args).await,
        RunsCommand::Keep(args) => keep::run(args).await,
        RunsCommand::Gc(args) => gc::run(args).await,
        RunsCommand::Pull(args) => pull::run(&args).await,
    }
}

/// A record as scripts get it: what the file holds, and how far the run got.
pub fn as_json(record: &RunRecord) -> Value {
    let mut value = serde_json::to_value(record).expect("a record has string keys only");
    value["status"] = json!(record.status().as_str());
    value
}

/// `sha256:0123456789ab`: enough to tell digests apart on one screen.
fn short(digest: &str) -> String {
    match digest.split_once(':') {
        Some(("sha256", hex)) if hex.len() == 64 => format!("sha256:{}", &hex[..12]),
        _ => digest.to_owned(),
    }
}

/// The first digits of a commit.
fn short_commit(commit: &str) -> &str {
    commit.get(..8).unwrap_or(commit)
}

/// `1h 5m`, `12s`.
fn lasted(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match (
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    ) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m {s}s"),
        (0, h, m, _) => format!("{h}h {m}m"),
        (d, h, ..) => format!("{d}d {h}h"),
    }
}

/// How a run went, in a word or two.
fn ending(run: &RunSummary) -> String {
    match (&run.signal, run.exit_code, run.ended) {
        (_, _, None) => run.status.as_str().to_owned(),
        (Some(signal), ..) => signal.clone(),
        (None, Some(0), _) => "ok".to_owned(),
        (None, Some(code), _) => format!("exit {code}"),
        (None, None, _) => run.status.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::lasted;

    #[test]
    fn durations() {
        let all = [0, 59, 61, 3700, 90_000, -5].map(lasted);
        assert_eq!(all, ["0s", "59s", "1m 1s", "1h 1m", "1d 1h", "0s"]);
    }
}
