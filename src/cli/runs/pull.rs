//! `mlbuild runs pull`: records that are attached to an image, into the project's folder.

use std::path::Path;

use clap::Args;
use mlbuild_manifests::RunRecord;
use mlbuild_manifests::run_record::RunRecordError;
use serde_json::json;

use super::ProjectArgs;
use crate::cli::output;
use crate::cli::registry_args::RegistryArgs;
use crate::error::{CommandError, CommandResult};
use crate::flags::Format;
use crate::registry::RegistryError;
use crate::runs::attached::{self, Attached};

/// Flags of `mlbuild runs pull`.
#[derive(Debug, Clone, Args)]
pub struct PullArgs {
    /// Image whose runs are pulled.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Only the runs whose id begins so.
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
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

/// Runs the verb. The answer is the ids of the records that are new or say more now.
///
/// # Errors
/// Where the image isn't there, a run isn't attached to it, or a record can't be written.
pub async fn run(args: &PullArgs) -> CommandResult {
    let store = args.project.store()?;
    let registry = args.registry.client(&args.project.folder()?)?;
    let image = RegistryError::reference(&args.image)?;
    let prefix = args.run.as_deref().unwrap_or_default();
    let found = attached::find(
        &registry,
        &image,
        prefix,
        &crate::cli::output::Terminal::default(),
    )
    .await?;
    if found.is_empty() && args.run.is_some() {
        return Err(
            CommandError::user(format!("no run `{prefix}` is attached to {image}"))
                .hint(format!("mlbuild runs pull {image}")),
        );
    }
    let mut written = Vec::new();
    for run in &found {
        if write(store.folder(), run).map_err(CommandError::user)? {
            written.push(run.record.id.to_string());
        }
    }
    let kept = found.len() - written.len();
    if kept > 0 {
        output::note(&format!("{kept} of them were here already"));
    }
    match args.format {
        Format::Json => output::answer(&format!("{:#}", json!({ "pulled": written }))),
        Format::Text if found.is_empty() => {
            output::note(&format!("no runs are attached to {image}"));
            Ok(())
        }
        Format::Text if written.is_empty() => Ok(()),
        Format::Text => output::answer(&written.join("\n")),
    }
}

/// Writes a record unless the one here says as much; true if it was written.
fn write(folder: &Path, run: &Attached) -> Result<bool, RunRecordError> {
    let Attached { record, patch } = run;
    // Format 1 holds it in the record.
    let has_file = record.git.as_ref().is_some_and(|git| git.changes.is_some());
    let patch = patch.as_deref().filter(|_| has_file);
    match RunRecord::find(folder, &record.id)? {
        Some(old) if old == *record || old.status() >= record.status() => Ok(false),
        Some(old) if old.command.is_some() => {
            record.check(folder)?;
            record.replace(folder).map(|()| true)
        }
        _ => record.clone().start(folder, patch).map(|_| true),
    }
}
