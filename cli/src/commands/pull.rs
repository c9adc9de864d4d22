//! `mlbuild pull`: an image of a registry as a file for Apptainer.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::error::{CommandError, CommandResult};
use crate::support::interrupt;
use crate::support::output;
use crate::support::platform;
use crate::support::registry_args::RegistryArgs;
use mlbuild::pull::{self, PullError, PullRequest};
use mlbuild::settings;

/// Write an image of a registry into one file (SIF) for Apptainer and Singularity.
///
/// Needs no Docker, no Apptainer and no root. The same digest of the same repository gives the same
/// bytes, for the same platform. The file is there whole or not at all. What the image says and
/// Apptainer doesn't do is named. Prints the file's path.
#[derive(Debug, Clone, Args)]
pub struct PullArgs {
    /// Image in a registry.
    #[arg(value_name = "REFERENCE")]
    pub image: String,
    /// Write a SIF, the one form that there is.
    #[arg(long, required = true)]
    pub sif: bool,
    /// File to write (default: NAME_TAG.sif, or NAME_ and 12 digits of a digest); one that is there is replaced.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Platform of the image (default: this machine's).
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Runs the verb.
///
/// # Errors
/// An image that can't be read, a file that can't be written.
pub async fn run(args: PullArgs) -> CommandResult {
    let platform = args.platform.as_deref().map(platform::parse).transpose()?;
    let registry = args.registry.client(&settings::current_folder()?)?;
    let request = PullRequest {
        image: args.image,
        platform: platform.as_ref().map(ToString::to_string),
        output: args.output,
    };
    let pulled = pull::pull(&request, &registry, &interrupt::shared()).await?;
    output::note(&format!("{} for {}", pulled.pinned, pulled.platform));
    for line in &pulled.left_out {
        output::note(line);
    }
    output::answer(&pulled.file.display().to_string())
}

impl From<PullError> for CommandError {
    fn from(error: PullError) -> Self {
        match error {
            PullError::Registry(error) => error.into(),
            PullError::Source(error) => error.into(),
            error => Self::new(error.kind(), error.to_string()),
        }
    }
}
