//! `mlbuild runs prune`.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::list::StatusArg;
use crate::error::{CommandError, CommandResult};
use crate::support::format::Format;
use crate::support::output;
use crate::support::project_args::ProjectArgs;
use crate::support::terminal::Terminal;
use crate::support::time;
use mlbuild::runs::{self, PruneRequest};

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
    let request = PruneRequest {
        older_than: args.older_than,
        state: args.status.map(StatusArg::state),
        keep: args.keep.unwrap_or(0),
        is_dry_run: args.dry_run,
    };
    let ids = runs::prune(&args.project.folder()?, &request, &Terminal::default())?;
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
