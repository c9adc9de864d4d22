//! `mlbuild lock`: finds out which packages an image gets, and pins them by hash.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use crate::error::{CommandError, CommandResult};
use crate::support::format::Format;
use crate::support::image_args::ImageArgs;
use crate::support::output;
use crate::support::terminal::Terminal;
use mlbuild::lock::{self, LockRequest};

/// Pin every package of an image by hash, without building it.
///
/// The flags are those of `mlbuild image`. Packages are resolved inside the base image, for the
/// platform that is built, and kept on this machine. From then on `mlbuild image` installs these
/// and no others, without a network. With --locked nothing is resolved: it says whether the lock
/// still fits the project.
#[derive(Debug, Clone, Args)]
pub struct LockVerbArgs {
    /// What the image is.
    #[command(flatten)]
    pub image: ImageArgs,
    /// Keep the packages beside the image in its registry too, for when their archives have moved on.
    #[arg(long, help_heading = "What is pinned")]
    pub vendor: bool,
    /// Take the packages that were offered at the end of this day, or at this time, in UTC: 2026-03-01.
    #[arg(long, value_name = "DAY", value_parser = lock::parse_as_of, conflicts_with_all = ["locked", "frozen"], help_heading = "What is pinned")]
    pub as_of: Option<Timestamp>,
}

/// Runs the verb.
///
/// # Errors
/// One error of a documented kind.
pub async fn run(args: LockVerbArgs) -> CommandResult {
    refuse_flags_of_a_build(&args.image, "mlbuild lock only pins, it builds nothing")?;
    let request = LockRequest {
        image: args.image.request(),
        vendor: args.vendor,
        as_of: args.as_of,
    };
    let reporter = Terminal::new(args.image.progress());
    let outcome = lock::run(&request, &reporter)
        .await
        .map_err(|error| CommandError::from(error).verbose(args.image.build.verbose))?;
    match args.image.output.format {
        Format::Text => output::answer(&outcome.lock),
        Format::Json => {
            output::answer(&serde_json::to_string_pretty(&json!(outcome)).expect("plain data"))
        }
    }
}

/// Flags that only a build has a use for.
///
/// # Errors
/// The first of them, with why.
pub(super) fn refuse_flags_of_a_build(args: &ImageArgs, why: &str) -> CommandResult {
    let out = &args.output;
    let given = [
        ("--push", out.push),
        ("--load", out.load),
        ("--output", !out.outputs.is_empty()),
        ("--metadata-file", out.metadata_file.is_some()),
        ("--iidfile", out.iidfile.is_some()),
        ("--print", out.print.is_some()),
        ("--explain", out.explain),
        ("--dry-run", out.dry_run),
        ("--write", args.compose.write),
        ("--no-lock", args.lock.no_lock),
        ("--run-id", args.lock.run_id.is_some()),
        ("--no-skip", args.lock.no_skip),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(CommandError::user(format!("{flag}: {why}"))
            .hint("build with mlbuild image, and the same other flags")),
        None => Ok(()),
    }
}
