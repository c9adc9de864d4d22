//! `mlbuild runs gc`: images that were kept for runs which have no record any more.

use clap::Args;
use serde_json::json;

use crate::error::{CommandError, CommandResult};
use crate::support::format::Format;
use crate::support::output;
use crate::support::project_args::ProjectArgs;
use crate::support::registry_args::RegistryArgs;
use crate::support::terminal::Terminal;
use mlbuild::error::ErrorKind;
use mlbuild::registry::Registry;
use mlbuild::runs::{self, GcPlan, GcRequest};

/// Flags of `mlbuild runs gc`.
#[derive(Debug, Clone, Args)]
pub struct GcArgs {
    /// Repositories to look at; otherwise those of the lock and of the records.
    #[arg(value_name = "HOST/NAME")]
    pub repositories: Vec<String>,
    /// Remove what is shown without it.
    #[arg(long)]
    pub yes: bool,
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

/// Runs the verb. The answer is the images that go.
///
/// # Errors
/// Where the project or a registry can't be read, the registry removes nothing, or an image that is needed
/// isn't whole afterwards.
pub async fn run(args: GcArgs) -> CommandResult {
    let project = args.project.folder()?;
    let registry = args.registry.client(&project)?;
    let request = GcRequest {
        repositories: args.repositories,
    };
    let images = runs::named_images(&project, &Terminal::default())?;
    let plan = runs::gc_plan(&project, &images, &request, &registry).await?;
    for kept in &plan.kept {
        output::note(&format!("{} stays: {}", kept.image, kept.why));
    }
    let before = runs::lost(&images, &registry).await?;
    for image in &before {
        output::note(&format!("{image} isn't whole in its registry any more"));
    }
    if args.yes {
        remove(&plan, &registry).await?;
        // Another client, which knows nothing from before.
        let after = runs::lost(&images, &args.registry.client(&project)?).await?;
        let broken: Vec<&String> = after.difference(&before).collect();
        if let Some(first) = broken.first() {
            let error = format!("{first}, which is needed, isn't whole any more");
            return Err(CommandError::new(ErrorKind::Work, error));
        }
    } else if !plan.garbage.is_empty() {
        output::note("nothing is removed: --yes removes it");
    }
    answer(&plan, args.yes, args.format)
}

async fn remove(plan: &GcPlan, registry: &Registry) -> CommandResult {
    for garbage in &plan.garbage {
        runs::remove_garbage(garbage, registry).await?;
    }
    Ok(())
}

fn answer(plan: &GcPlan, is_removed: bool, format: Format) -> CommandResult {
    match format {
        Format::Json => {
            let mut value = json!(plan);
            value["removed"] = json!(is_removed);
            output::answer(&format!("{value:#}"))
        }
        Format::Text if plan.garbage.is_empty() => {
            output::note("nothing can go");
            Ok(())
        }
        Format::Text => {
            let lines = plan
                .garbage
                .iter()
                .map(|one| format!("{} {}", one.image, one.tags.join(" ")));
            output::answer(&lines.collect::<Vec<_>>().join("\n"))
        }
    }
}
