//! `mlbuild queue render`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde_json::json;

use super::super::launch::variable;
use crate::error::{CommandError, CommandResult};
use crate::support::format::Format;
use crate::support::output;
use mlbuild::queue::{
    JobFacts, Manifest, ObjectFacts, QueueConfig, QueueConfigError, Source, override_of,
};
use mlbuild::runtime::{RuntimeCli, shell_line};

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
    /// The job's value for a template variable.
    #[arg(long = "set-var", value_name = "NAME=VALUE", value_parser = variable)]
    pub variables: Vec<(String, String)>,
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
    let overrides: Vec<&str> = args.overrides.iter().map(String::as_str).collect();
    let config = config.of_job(&args.variables.iter().cloned().collect(), &overrides)?;
    let source = Source::Image {
        image: args.image.clone(),
    };
    let facts = JobFacts::of(&source, &args.image, "RUN_ID", &args.command)
        .of_entity(Some("ENTITY".to_owned()));
    if let Some(manifest) = &config.manifest {
        return object(manifest, &facts, args);
    }
    let overrides = overrides.iter().map(|text| override_of(text));
    let overrides = overrides.collect::<Result<_, QueueConfigError>>()?;
    let (spec, _) = config.spec_of(&facts, &args.command, overrides)?;
    let argv = spec.argv(RuntimeCli::Docker).form;
    output::answer(&match args.format {
        Format::Json => format!("{:#}", json!({ "argv": argv })),
        Format::Text => shell_line(&argv),
    })
}

/// The object that a manifest makes of an image and a command; no cluster is asked.
fn object(manifest: &Manifest, facts: &JobFacts, args: &RenderArgs) -> CommandResult {
    let made = manifest.object(&ObjectFacts {
        facts,
        command: &args.command,
        name: "job-id-1".to_owned(),
        namespace: "agents-namespace",
        labels: &[],
        env: &[],
    });
    let made = made.map_err(QueueConfigError::from)?;
    for note in &made.notes {
        output::note(note);
    }
    match args.format {
        Format::Json => output::answer(&format!("{:#}", json!({ "object": made.object }))),
        Format::Text => {
            let text = serde_saphyr::to_string(&made.object);
            output::document(&text.map_err(CommandError::work)?)
        }
    }
}
