//! `mlbuild jobs prune`: jobs of queues that are over, and their code.

use clap::Args;
use jiff::Timestamp;
use mlbuild_progress::human_bytes;
use serde_json::json;

use crate::commands::queue::store_args::StoreArgs;
use crate::error::{CommandError, CommandResult};
use crate::support::format::Format;
use crate::support::output;
use crate::support::time;
use mlbuild::queue::{Prune, State};

/// Flags of `mlbuild jobs prune`.
#[derive(Debug, Clone, Args)]
pub struct PruneArgs {
    /// Jobs that ended before this time: 30d, 12h, 2026-03-01.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub older_than: Option<Timestamp>,
    /// Jobs that ended so: succeeded, failed or cancelled.
    #[arg(long, value_name = "STATE", value_parser = ["succeeded", "failed", "cancelled"])]
    pub state: Option<String>,
    /// Keep the newest of them.
    #[arg(long, value_name = "NUMBER")]
    pub keep: Option<usize>,
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Where queues and jobs are kept.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the verb. The answer is the ids of what was removed.
///
/// # Errors
/// Where nothing says what to remove, or the store can't be used.
pub fn run(args: &PruneArgs) -> CommandResult {
    if args.older_than.is_none() && args.state.is_none() && args.keep.is_none() {
        return Err(CommandError::user("nothing says which jobs to remove")
            .hint("mlbuild jobs prune --older-than 30d --dry-run")
            .hint("mlbuild jobs prune --keep 1000 --dry-run"));
    }
    let named = |word: &str| State::ALL.into_iter().find(|state| state.as_str() == word);
    let state = args.state.as_deref().and_then(named);
    let pruned = args.store.open()?.prune(&Prune {
        older_than: args.older_than,
        state,
        keep: args.keep.unwrap_or(0),
        dry_run: args.dry_run,
    })?;
    if args.dry_run {
        output::note("nothing is removed: --dry-run");
    }
    if args.format == Format::Json {
        return output::answer(&format!(
            "{:#}",
            json!({
                "removed": pruned.jobs,
                "archives": pruned.archives,
                "archive_bytes": pruned.archive_bytes,
                "dry_run": args.dry_run,
            })
        ));
    }
    if pruned.archives > 0 {
        let size = i64::try_from(pruned.archive_bytes).unwrap_or(i64::MAX);
        output::note(&format!(
            "code that no job needs any more: {} archives, {}",
            pruned.archives,
            human_bytes(size)
        ));
    }
    if pruned.jobs.is_empty() {
        output::note("no such jobs")
    } else {
        output::answer(&pruned.jobs.join("\n"))?
    }
    Ok(())
}
