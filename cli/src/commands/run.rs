//! `mlbuild run`: a container from a pinned image, as docker run starts it.

use clap::Args;

use crate::error::CommandResult;
use crate::support::mlbuild_flags::MlbuildFlags;
use crate::support::output;
use crate::support::run_line::with_config;
use crate::support::runtime::wait_for;
use crate::support::terminal::Terminal;
use crate::support::trust;
use crate::support::{docker_help, dry_run};
use mlbuild::runtime::{self, Parsed};
use mlbuild::settings;
use mlbuild::start::{self, RunEnd, StartOutcome};

/// Run a container as docker run does, from a pinned image, with the GPU and a run id.
///
/// Takes every flag of `docker run`; the first word that is no flag is the image. The image is
/// resolved to its digest first and started from that. The exit code is the container's.
#[derive(Debug, Clone, Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub struct RunArgs {
    /// Flags, the image, the command.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// The verb with every flag.
pub fn documented(raw: clap::Command) -> clap::Command {
    docker_help::documented(raw, runtime::RUN, "IMAGE [COMMAND] [ARG]...")
}

/// Runs the verb; returns the exit code.
///
/// # Errors
/// Where the line or `mlbuild.toml` is wrong, no runtime answers, the image can't be had, or a GPU
/// is required and there is none.
pub fn run(args: &RunArgs) -> CommandResult<u8> {
    let parsed = runtime::parse(&args.words)?;
    if parsed.own.is_on("help") {
        return output::answer(&docker_help::text(runtime::RUN)).map(|()| 0);
    }
    let folder = settings::current_folder()?;
    let config = settings::read_config(&folder)?;
    let wishes = config.wishes.clone();
    let Parsed { spec, own } = with_config(parsed, config, &folder)?;
    let flags = MlbuildFlags::read(&own)?;
    if flags.dry_run {
        return dry_run::print(spec, &flags, &folder).map(|()| 0);
    }
    trust::check(&folder, &wishes, flags.trust)?;
    let request = flags.request(spec, folder)?;
    let reporter = Terminal::default();
    finish(&wait_for(async {
        Ok(start::run(request, &reporter).await?)
    })?)
}

/// Prints the id of a container that runs on; returns the exit code.
///
/// # Errors
/// Where it can't be printed.
pub(crate) fn finish(outcome: &StartOutcome) -> CommandResult<u8> {
    if let RunEnd::Detached { answer } = &outcome.end {
        output::answer(answer)?;
    }
    Ok(outcome.end.exit_code())
}
