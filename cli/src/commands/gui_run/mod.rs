//! `mlbuild gui-run`: `mlbuild run` for programs that open windows.

mod flags;
mod keeper;

use clap::Args;

use super::run::finish;
use crate::error::{CommandError, CommandResult};
use crate::support::mlbuild_flags::{Format, MlbuildFlags};
use crate::support::output;
use crate::support::run_line::with_config;
use crate::support::runtime::wait_for;
use crate::support::terminal::Terminal;
use crate::support::trust;
use crate::support::{docker_help, dry_run};
use mlbuild::runtime::{Grammar, Parsed, RunSpec, RuntimeCli};
use mlbuild::settings;
use mlbuild::start::gui::{self, DisplayRequest, GuiRequest};

const GRAMMAR: Grammar = Grammar {
    verb: "gui-run",
    more: flags::FLAGS,
    also: &[],
};

/// Run a container whose windows appear on this display.
///
/// Takes every flag of `mlbuild run`, and with them every flag of `docker run`. By default the
/// container gets one socket and one cookie of its own, both read-only, and no capabilities.
#[derive(Debug, Clone, Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub struct GuiRunArgs {
    /// Flags, the image, the command.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// The verb with every flag.
pub fn documented(raw: clap::Command) -> clap::Command {
    docker_help::documented(raw, GRAMMAR, "IMAGE [COMMAND] [ARG]...")
}

/// Runs the verb; returns the exit code.
///
/// # Errors
/// As `mlbuild run`, and where this session has no display that can be used.
pub fn run(args: &GuiRunArgs) -> CommandResult<u8> {
    let parsed = GRAMMAR.parse_with_image(&args.words)?;
    if parsed.own.is_on("help") {
        return output::answer(&docker_help::text(GRAMMAR)).map(|()| 0);
    }
    let display = flags::read(&parsed.own);
    let folder = settings::current_folder()?;
    let config = settings::read_config(&folder)?;
    let wishes = config.wishes.clone();
    let Parsed { spec, own } = with_config(parsed, config, &folder)?;
    let flags = MlbuildFlags::read(&own)?;
    refuse_contradictions(&display, &flags, &spec)?;
    if flags.dry_run {
        let runtime = flags.runtime.unwrap_or(RuntimeCli::Docker);
        let spec = gui::planned(spec, &display, runtime, &Terminal::default())?;
        return dry_run::print(spec, &flags, &folder).map(|()| 0);
    }
    trust::check(&folder, &wishes, flags.trust)?;
    if spec.options.is_on("detach") && !keeper::is_this() {
        return keeper::start(&args.words);
    }
    let start = flags.request(spec, folder)?;
    let reporter = Terminal::default();
    wait_for(async {
        let outcome = gui::run(GuiRequest { start, display }, &reporter).await?;
        let code = finish(&outcome.run)?;
        if let Some(display) = outcome.kept {
            keeper::let_go_of_the_terminal();
            display.wait().await;
        }
        Ok(code)
    })
}

/// What can't be meant.
fn refuse_contradictions(
    display: &DisplayRequest,
    flags: &MlbuildFlags,
    spec: &RunSpec,
) -> CommandResult {
    if display.access.is_host_user() && spec.options.has("user") {
        return Err(CommandError::user(format!(
            "--user and --display-access={} both say who the program runs as",
            display.access.name()
        ))
        .hint("leave one of them out"));
    }
    if flags.format == Format::Devcontainer {
        return Err(CommandError::user(
            "--format devcontainer: the cookie of a display is of one run",
        )
        .hint("mlbuild run --dry-run --format devcontainer writes one without a display"));
    }
    Ok(())
}
