//! `mlbuild diff`: what differs between two images, and why.

use clap::Args;

use crate::error::{CommandError, CommandResult};
use crate::support::format::Format;
use crate::support::output;
use crate::support::registry_args::RegistryArgs;
use crate::support::{difference, platform};
use mlbuild::diff::{self, DiffRequest};
use mlbuild::error::ErrorKind;
use mlbuild::settings;

/// Compare two images: configuration, sizes, layers, packages and files.
///
/// An image is a reference in a registry; or a path: a folder with an OCI layout, or a tar of
/// one, or what `docker save` wrote. A path begins with `/` or `.`, or ends in `.tar`. Layers
/// that both have are not read; nothing is unpacked to disk. Exits with 4 where they differ.
#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// The first image.
    #[arg(value_name = "FIRST")]
    pub first: String,
    /// The second image.
    #[arg(value_name = "SECOND")]
    pub second: String,
    /// Compare this platform only (default: all that both have).
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Form of the answer on stdout.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// Runs the verb.
///
/// # Errors
/// [`ErrorKind::Difference`] where they differ; an image that can't be read.
pub async fn run(args: DiffArgs) -> CommandResult {
    let request = DiffRequest {
        first: args.first,
        second: args.second,
        platform: args.platform.as_deref().map(platform::parse).transpose()?,
    };
    let registry = args.registry.client(&settings::current_folder()?)?;
    let found = diff::diff(&request, &registry).await?;
    let (first, second) = (&request.first, &request.second);
    match args.format {
        Format::Text => output::answer(&difference::text(first, second, &found))?,
        Format::Json => output::json_answer(&found.document(first, second))?,
    }
    if found.is_same() {
        Ok(())
    } else {
        Err(CommandError::new(ErrorKind::Difference, found.summary()))
    }
}
