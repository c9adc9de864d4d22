//! `mlbuild inspect`: what an image is, where it is, and what is known of it.

mod text;

use clap::Args;

use crate::error::CommandResult;
use crate::support::format::Format;
use crate::support::output;
use crate::support::platform;
use crate::support::project_args::ProjectArgs;
use crate::support::registry_args::RegistryArgs;
use crate::support::terminal::Terminal;
use mlbuild::inspect::{self, InspectRequest};

/// Say what an image is: digests, lock, labels, packages, users, runs, and whether it can be pulled.
///
/// The image is asked for in its registry and in this machine's Docker, Podman or nerdctl; or it is
/// a path, as for `mlbuild diff`. Its documents alone are fetched, unless `--layers` is given.
#[derive(Debug, Clone, Args)]
pub struct InspectArgs {
    /// The image: a reference, an image ID, or a path.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// This platform only (default: all that it has).
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Read its layers: packages and accounts as they are in it. Without it: packages as the lock has them.
    #[arg(long)]
    pub layers: bool,
    /// List the packages; otherwise they are counted.
    #[arg(long)]
    pub packages: bool,
    /// Ask no registry: this machine's images only.
    #[arg(long)]
    pub local: bool,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Where lock and records are.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the verb.
///
/// # Errors
/// Where the name is none, the image is nowhere, or can't be read.
pub async fn run(args: InspectArgs) -> CommandResult {
    let request = InspectRequest {
        platform: args.platform.as_deref().map(platform::parse).transpose()?,
        project: args.project.folder()?,
        image: args.image,
        reads_layers: args.layers,
        is_local: args.local,
    };
    let registry = args.registry.client(&request.project)?;
    let report = inspect::inspect(&request, &registry, &Terminal::default()).await?;
    match args.format {
        Format::Json => output::answer(&format!("{:#}", report.json())),
        Format::Text => output::answer(&text::of(&report, args.packages)),
    }
}
