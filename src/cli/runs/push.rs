//! `mlbuild runs push`: records go where the images of their runs are.

use std::path::Path;

use clap::Args;
use mlbuild_manifests::RunRecord;
use serde_json::json;

use super::ProjectArgs;
use crate::cli::output;
use crate::cli::registry_args::RegistryArgs;
use crate::error::{CommandError, CommandResult};
use crate::flags::Format;
use crate::records::Git;
use crate::runs::attached;

/// Flags of `mlbuild runs push`.
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
pub async fn run(args: &PushArgs) -> CommandResult {
    let store = args.project.store()?;
    let project = args.project.folder()?;
    let mut records = Vec::new();
    for run in &args.runs {
        records.push(store.find(run)?);
    }
    if args.all {
        let listing = store.all()?;
        for error in &listing.unreadable {
            output::warning(&error.to_string());
        }
        let pushed = listing.records.into_iter();
        records.extend(pushed.filter(|record| record.image.is_published()));
    }
    let registry = args.registry.client(&project)?;
    let mut pushed = Vec::new();
    for record in &records {
        let patch = record
            .load_patch(store.folder())
            .map_err(CommandError::user)?;
        let image = attached::push(&registry, record, patch.as_deref()).await?;
        warn_of_unpushed_commit(&project, record);
        pushed.push((record.id.to_string(), image.to_string()));
    }
    match args.format {
        Format::Json => {
            let each = pushed
                .iter()
                .map(|(run, image)| json!({ "run": run, "image": image }));
            output::answer(&format!("{:#}", json!(each.collect::<Vec<_>>())))
        }
        Format::Text if pushed.is_empty() => {
            output::note("no runs");
            Ok(())
        }
        Format::Text => {
            let lines = pushed.iter().map(|(run, image)| format!("{run} {image}"));
            output::answer(&lines.collect::<Vec<_>>().join("\n"))
        }
    }
}

/// The record is of no use elsewhere without its commit.
fn warn_of_unpushed_commit(project: &Path, record: &RunRecord) {
    let Some(commit) = record.git.as_ref().and_then(|git| git.commit.as_ref()) else {
        return;
    };
    let holding = Git::at(project).text(&["branch", "--remotes", "--contains", commit]);
    if holding.is_ok_and(|branches| branches.is_empty()) {
        output::warning(&format!(
            "commit {commit} of run {} is on no branch of a remote: push it too (git push), or \
             the run can't be restored elsewhere",
            record.id
        ));
    }
}
