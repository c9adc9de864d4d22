//! `mlbuild queue render`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde_json::json;

use crate::cli::error::CommandResult;
use crate::cli::support::format::Format;
use crate::cli::support::output;
use crate::queue::{JobFacts, QueueConfig, QueueConfigError, Source, override_of};
use crate::runtime::{RuntimeCli, shell_line};

/// Flags of `mlbuild queue render`.
#[derive(Debug, Clone, Args)]
pub struct RenderArgs {
    /// The queue's configuration, JSON or YAML.
    #[arg(value_name = "CONFIG", value_hint = ValueHint::FilePath)]
    pub config: PathBuf,
    /// The job's image.
    #[arg(long, value_name = "REF")]
    pub image: String,
    /// The job's override of an option of the queue.
    #[arg(long = "set", value_name = "OPTION=VALUE")]
    pub overrides: Vec<String>,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The job's command; otherwise the image's own.
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// Runs the verb.
///
/// # Errors
/// Where the configuration or an override is wrong.
pub(super) fn run(args: &RenderArgs) -> CommandResult {
    let (config, _) = QueueConfig::read(&args.config)?;
    let overrides = args.overrides.iter().map(|text| override_of(text));
    let overrides = overrides.collect::<Result<_, QueueConfigError>>()?;
    let source = Source::Image {
        image: args.image.clone(),
    };
    let facts = JobFacts::of(&source, &args.image, "RUN_ID");
    let (spec, _) = config.spec_of(&facts, &args.command, overrides)?;
    let argv = spec.argv(RuntimeCli::Docker).form;
    output::answer(&match args.format {
        Format::Json => format!("{:#}", json!({ "argv": argv })),
        Format::Text => shell_line(&argv),
    })
}
