//! `mlbuild runs keep`: images of runs get a tag of their own.

use clap::Args;
use serde_json::json;

use crate::cli::error::CommandResult;
use crate::cli::support::format::Format;
use crate::cli::support::output::{self, Terminal};
use crate::cli::support::project_args::ProjectArgs;
use crate::cli::support::registry_args::RegistryArgs;
use crate::runs::{self, PushRequest};

/// Flags of `mlbuild runs keep`.
#[derive(Debug, Clone, Args)]
pub struct KeepArgs {
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

/// Runs the verb. The answer is the images by their new tags and digests.
///
/// # Errors
/// Where a run isn't known, its image was never pushed, or a tag names another image.
pub async fn run(args: KeepArgs) -> CommandResult {
    let project = args.project.folder()?;
    let registry = args.registry.client(&project)?;
    let request = PushRequest {
        runs: args.runs,
        all_published: args.all,
    };
    let kept = runs::keep(&project, &request, &registry, &Terminal::default()).await?;
    match args.format {
        Format::Json => output::answer(&format!("{:#}", json!(kept))),
        Format::Text if kept.is_empty() => {
            output::note("no runs");
            Ok(())
        }
        Format::Text => {
            let lines = kept.iter().map(|run| format!("{} {}", run.run, run.image));
            output::answer(&lines.collect::<Vec<_>>().join("\n"))
        }
    }
}
