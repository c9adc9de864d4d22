//! `mlbuild base`: base images from a distribution's own packages, for closed networks, and for who
//! wants to know where the first layer comes from.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use mlbuild_templates::reference;
use serde_json::json;

use crate::error::{CommandError, CommandResult};
use crate::support::format::Format;
use crate::support::output;
use crate::support::terminal::Terminal;
use mlbuild::base::{self, DebianRequest};
use mlbuild::registry::{Registry, RegistryOptions};

/// Make a base image from a distribution's packages.
#[derive(Debug, Clone, Args)]
pub struct BaseArgs {
    /// Which distribution.
    #[command(subcommand)]
    command: BaseCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum BaseCommand {
    Debian(DebianArgs),
}

/// Make a base image from Debian packages, with mmdebstrap.
///
/// One archive in one state gives the same digest on every machine. The state is the archive's
/// current one, or that of --snapshot. The packages' signatures are checked with this machine's
/// Debian keys.
#[derive(Debug, Clone, Args)]
pub struct DebianArgs {
    /// Suite, by its code name.
    #[arg(long, value_name = "SUITE", default_value = "bookworm")]
    suite: String,
    /// Package besides the essential ones and apt (repeatable, or separated by commas).
    #[arg(
        long,
        value_name = "PACKAGE",
        value_delimiter = ',',
        default_value = "ca-certificates"
    )]
    include: Vec<String>,
    /// State of Debian's archive at this time, such as 20260301T000000Z: --mirror names an archive of snapshots.
    #[arg(long, value_name = "TIME")]
    snapshot: Option<String>,
    /// Archive (default: the one that this machine takes the suite from).
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Archive that the image's own apt names (default: the one that it is made from). With it, two mirrors
    /// of one archive give one digest.
    #[arg(long, value_name = "URL")]
    sources: Option<String>,
    /// Push it under this name, and print REFERENCE@DIGEST.
    #[arg(short, long = "tag", value_name = "REFERENCE")]
    tag: Option<String>,
    /// Write it as an OCI layout into this folder.
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    output: Option<PathBuf>,
    /// Registry host that is reached by plain http (repeatable).
    #[arg(long = "insecure-registry", value_name = "HOST[:PORT]")]
    insecure_registries: Vec<String>,
    /// Form of the answer on stdout.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Runs the verb.
///
/// # Errors
/// One error of a documented kind.
pub async fn run(args: BaseArgs) -> CommandResult {
    let BaseCommand::Debian(args) = args.command;
    if args.tag.is_none() && args.output.is_none() {
        return Err(CommandError::user("nothing says where the base image goes")
            .hint("give -t REGISTRY/NAME:TAG to push it, or -o DIR to write it"));
    }
    let tag = args.tag.as_deref().map(reference::parse).transpose();
    let tag = tag.map_err(|error| CommandError::user(format!("--tag: {error}")))?;
    if let Some(folder) = args.output.as_ref().filter(|folder| folder.exists()) {
        return Err(CommandError::user(format!(
            "--output {}: it is there already",
            folder.display()
        ))
        .hint("name a folder that isn't there yet"));
    }
    let registry = Registry::new(RegistryOptions {
        insecure: args.insecure_registries.into_iter().collect(),
        ..RegistryOptions::default()
    });
    let request = DebianRequest {
        suite: args.suite,
        include: args.include,
        snapshot: args.snapshot,
        mirror: args.mirror,
        sources: args.sources,
        tag,
        output: args.output,
    };
    let made = base::make(&request, &registry, &Terminal::default()).await?;
    match args.format {
        Format::Text => output::answer(&made.name),
        Format::Json => output::answer(
            &serde_json::to_string_pretty(&json!({
                "base": made.name,
                "digest": made.digest.to_string(),
                "suite": request.suite,
                "epoch": made.epoch,
            }))
            .expect("plain JSON"),
        ),
    }
}
