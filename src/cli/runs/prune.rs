//! `mlbuild runs prune`.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use mlbuild_manifests::run_record::RunSummary;
use mlbuild_manifests::{RunId, RunRecord};
use serde_json::json;

use super::list::StatusArg;
use super::{ProjectArgs, time};
use crate::cli::output;
use crate::error::{CommandError, CommandResult};
use crate::flags::Format;

/// Flags of `mlbuild runs prune`.
#[derive(Debug, Clone, Args)]
pub struct PruneArgs {
    /// Runs from before this time: 30d, 12h, 2026-03-01.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub older_than: Option<Timestamp>,
    /// Runs that got this far. Runs that may still run are removed only when they are asked for by `started`.
    #[arg(long, value_enum)]
    pub status: Option<StatusArg>,
    /// Keep the newest of them.
    #[arg(long, value_name = "NUMBER")]
    pub keep: Option<usize>,
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Where the records are.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the verb. The answer is the ids of what was removed.
///
/// # Errors
/// Where nothing says what to remove, or a file can't be removed.
pub fn run(args: &PruneArgs) -> CommandResult {
    if args.older_than.is_none() && args.status.is_none() && args.keep.is_none() {
        return Err(CommandError::user("nothing says which runs to remove")
            .hint("mlbuild runs prune --older-than 90d --dry-run")
            .hint("mlbuild runs prune --keep 100 --dry-run"));
    }
    let store = args.project.store()?;
    let listing = store.summaries()?;
    for error in &listing.unreadable {
        output::warning(&format!("kept: {error}"));
    }
    let mut records = listing.records;
    records.retain(|record| args.wants(record));
    records.sort_by(|a, b| b.when().cmp(&a.when()).then_with(|| b.id.cmp(&a.id)));
    let removed = records.split_off(args.keep.unwrap_or(0).min(records.len()));
    for record in removed.iter().filter(|_| !args.dry_run) {
        remove(store.folder(), record)?;
    }
    let ids: Vec<String> = removed.iter().map(|record| record.id.to_string()).collect();
    if args.dry_run {
        output::note("nothing is removed: --dry-run");
    }
    match args.format {
        Format::Json => output::answer(&format!(
            "{:#}",
            json!({ "removed": ids, "dry_run": args.dry_run })
        )),
        Format::Text if ids.is_empty() => {
            output::note("no such runs");
            Ok(())
        }
        Format::Text => output::answer(&ids.join("\n")),
    }
}

impl PruneArgs {
    fn wants(&self, run: &RunSummary) -> bool {
        let by_status = match self.status {
            Some(status) => status.is_of(run),
            None => !StatusArg::Started.is_of(run),
        };
        by_status && self.older_than.is_none_or(|time| run.when() < time)
    }
}

/// The record first: a patch that nobody speaks of is no harm, a record without its patch is.
fn remove(folder: &Path, run: &RunSummary) -> CommandResult {
    let fail = |path: PathBuf| {
        move |error: std::io::Error| {
            CommandError::environment(format!("{}: can't be removed: {error}", path.display()))
        }
    };
    let id: RunId = run.id.parse().map_err(CommandError::user)?;
    let path = RunRecord::path(folder, &id);
    std::fs::remove_file(&path).map_err(fail(path))?;
    let patch = RunRecord::patch_path(folder, &id);
    match std::fs::remove_file(&patch) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(fail(patch)(error)),
        _ => Ok(()),
    }
}
