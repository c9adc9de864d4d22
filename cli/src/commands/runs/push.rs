//! `mlbuild runs push`: records go where the images of their runs are.

use clap::Args;
use serde_json::json;

use crate::error::CommandResult;
use crate::support::format::Format;
use crate::support::output;
use crate::support::project_args::ProjectArgs;
use crate::support::registry_args::RegistryArgs;
use crate::support::terminal::Terminal;
use mlbuild::runs::{self, PushRequest, PushedRun};

/// Flags of `mlbuild runs push` and `mlbuild runs keep`.
#[derive(Debug, Clone, Args)]
pub struct PushArgs {
    /// Ids of runs, or their beginnings.
    #[arg(value_name = "RUN", required_unless_present = "all")]
    pub runs: Vec<String>,
    /// All runs whose image was pushed.
    #[arg(long, conflicts_with = "runs")]
    pub all: bool,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Where the records are.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the verb. The answer is the images that have the records now.
///
/// # Errors
/// Where a run isn't known, its image was never pushed, or the registry doesn't take its record.
pub async fn run(args: PushArgs) -> CommandResult {
    let project = args.project.folder()?;
    let registry = args.registry.client(&project)?;
    let request = PushRequest {
        runs: args.runs,
        all_published: args.all,
    };
    let pushed = runs::push(&project, &request, &registry, &Terminal::default()).await?;
    answer(&pushed, args.format)
}

/// Runs with their images: a line each.
///
/// # Errors
/// Where it can't be printed.
pub(super) fn answer(runs: &[PushedRun], format: Format) -> CommandResult {
    match format {
        Format::Json => output::answer(&format!("{:#}", json!(runs))),
        Format::Text if runs.is_empty() => {
            output::note("no runs");
            Ok(())
        }
        Format::Text => {
            let lines = runs.iter().map(|run| format!("{} {}", run.run, run.image));
            output::answer(&lines.collect::<Vec<_>>().join("\n"))
        }
    }
}
