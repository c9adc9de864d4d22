//! `mlbuild runs pull`: records that are attached to an image, into the project's folder.

use clap::Args;
use serde_json::json;

use crate::error::CommandResult;
use crate::support::format::Format;
use crate::support::output;
use crate::support::project_args::ProjectArgs;
use crate::support::registry_args::RegistryArgs;
use crate::support::terminal::Terminal;
use mlbuild::registry::RegistryError;
use mlbuild::runs;
use mlbuild::trust;

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
    /// Let a link of the project lead the records out of its folder.
    #[arg(long)]
    pub trust: bool,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the verb. The answer is the ids of the records that are new or say more now.
///
/// # Errors
/// Where the image isn't there, a run isn't attached to it, or a record can't be written.
pub async fn run(args: &PullArgs) -> CommandResult {
    let project = args.project.folder()?;
    let registry = args.registry.client(&project)?;
    let image = RegistryError::reference(&args.image)?;
    let links = Vec::from_iter(trust::link_of_records(&project));
    trust::check(&project, &links, args.trust, &Terminal::default())?;
    let prefix = args.run.as_deref();
    let may_lead_out = !links.is_empty();
    let reporter = Terminal::default();
    let pulled = runs::pull(&project, &image, prefix, may_lead_out, &registry, &reporter).await?;
    let kept = pulled.attached - pulled.written.len();
    if kept > 0 {
        output::note(&format!("{kept} of them were here already"));
    }
    match args.format {
        Format::Json => output::answer(&format!("{:#}", json!({ "pulled": pulled.written }))),
        Format::Text if pulled.attached == 0 => {
            output::note(&format!("no runs are attached to {image}"));
            Ok(())
        }
        Format::Text if pulled.written.is_empty() => Ok(()),
        Format::Text => output::answer(&pulled.written.join("\n")),
    }
}
