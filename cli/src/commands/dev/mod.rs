//! `mlbuild dev`: a shell, a line or Jupyter in the project's container.

mod flags;

use std::io::IsTerminal as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use clap::Args;

use self::flags::DevFlags;
pub(super) use self::flags::{DIR, DIR_FLAG, FLAGS, VARIANT_FLAG, refuse_variant_of_image};
use super::run::finish;
use crate::error::{CommandError, CommandResult};
use crate::support::mlbuild_flags::MlbuildFlags;
use crate::support::output;
use crate::support::run_line::with_config;
use crate::support::runtime::wait_for;
use crate::support::terminal::Terminal;
use crate::support::{docker_help, dry_run, errors, trust};
use mlbuild::runtime::{Grammar, Options, Parsed, RunSpec};
use mlbuild::settings;
use mlbuild::start::StartError;
use mlbuild::start::dev::{self, DevOutcome, DevRequest};

const GRAMMAR: Grammar = Grammar {
    verb: "dev",
    more: flags::FLAGS,
    also: &[],
};

/// Open a shell in the project's container, with the project mounted.
///
/// Takes every flag of `mlbuild run`, and with them every flag of `docker run`. Without IMAGE it is
/// the one that `mlbuild.toml` or `mlbuild.lock` names. Where a container of the project runs already,
/// the shell is one more in it. What is made inside belongs to you.
#[derive(Debug, Clone, Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub struct DevArgs {
    /// Flags, the image, the command.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// The verb with every flag.
pub fn documented(raw: clap::Command) -> clap::Command {
    docker_help::documented(raw, GRAMMAR, "[IMAGE [COMMAND] [ARG]...]")
}

/// Runs the verb; returns the exit code.
///
/// # Errors
/// As `mlbuild run`, and where no image is named anywhere.
pub fn run(args: &DevArgs) -> CommandResult<u8> {
    let parsed = GRAMMAR.parse(&args.words)?;
    if parsed.own.is_on("help") {
        return output::answer(&docker_help::text(GRAMMAR)).map(|()| 0);
    }
    let flags = DevFlags::read(&parsed.own, &parsed.spec)?;
    let mut only_new = only_new(&parsed.spec, flags.jupyter);
    let variant = parsed.own.text("variant").map(str::to_owned);
    only_new.extend(variant.iter().map(|name| format!("--variant={name}")));
    let folder = settings::current_folder()?;
    let config = settings::read_config_of(&folder, variant.as_deref())?;
    let image_tags = config.image.tags.clone();
    let wishes = config.wishes.clone();
    let Parsed { spec, own } = with_config(parsed, config, &folder)?;
    let own = MlbuildFlags::read(&own)?;
    let request = DevRequest {
        start: own.request(spec, folder.clone())?,
        image_tags,
        dir: flags.dir,
        shell: flags.shell,
        line: flags.line,
        jupyter: flags
            .jupyter
            .then_some(dev::JupyterRequest { port: flags.port }),
        new: flags.new,
        terminal: std::io::stdin().is_terminal() && std::io::stdout().is_terminal(),
        only_new,
    };
    if own.dry_run {
        return dry_run::print(dev::planned(&request).map_err(of_dev)?, &own, &folder).map(|()| 0);
    }
    trust::check(&folder, &wishes, own.trust)?;
    let reporter = Terminal::default();
    let outcome = async { dev::run(request, &reporter).await.map_err(of_dev) };
    match wait_for(outcome)? {
        DevOutcome::Started(outcome) => finish(&outcome),
        DevOutcome::Attach { container, argv } => {
            output::note(&format!(
                "attached to container {}; --new starts another",
                &container[..container.len().min(12)]
            ));
            Err(become_program(&argv))
        }
    }
}

/// Refuses flags that contradict each other, and values that are none.
pub(super) fn check_flags(own: &Options, spec: &RunSpec) -> CommandResult {
    DevFlags::read(own, spec).map(drop)
}

fn of_dev(error: StartError) -> CommandError {
    errors::start::of_verb(error, GRAMMAR.verb)
}

/// What was typed that a container which runs already can't be given any more.
fn only_new(typed: &RunSpec, jupyter: bool) -> Vec<String> {
    const OF_EXEC: [&str; 4] = ["interactive", "tty", "detach-keys", "rm"];
    let of_new = |options: &Options| -> Vec<String> {
        options
            .iter()
            .filter(|setting| !OF_EXEC.contains(&setting.flag.name))
            .map(|setting| setting.flag.to_string())
            .collect()
    };
    let mut words = of_new(&typed.options);
    words.extend((!typed.image.is_empty()).then(|| typed.image.clone()));
    words.extend(jupyter.then(|| "--jupyter".to_owned()));
    words
}

/// Becomes the runtime's client, so that the terminal and the exit code are its own; returns only
/// where that fails.
pub(super) fn become_program(argv: &[String]) -> CommandError {
    let error = Command::new(&argv[0]).args(&argv[1..]).exec();
    not_started(&argv[0], &error)
}

pub(super) fn not_started(program: &str, error: &std::io::Error) -> CommandError {
    CommandError::environment(format!("{program}: can't be started: {error}"))
}
