//! `mlbuild gui-run`: `mlbuild run` for programs that open windows.
//!
//! | step | file |
//! | --- | --- |
//! | its own flags | `flags` |
//! | display, camera and sound of this session, tried out | `session` |
//! | what the image lacks | `look` |
//! | cookie, relay, xhost: set up, and undone at the end | `setup` |
//! | the flags that give all that to the container | `access` |
//! | what the program says, explained | `ear` |
//! | with `-d`: who undoes it | `keeper` |
//!
//! Everything else is `run`'s.

mod access;
mod ear;
mod flags;
mod keeper;
pub(super) mod look;
mod session;
mod setup;

use clap::Args;

use self::access::Plan;
use self::flags::{Access, GuiFlags};
use self::session::Session;
use self::setup::SetUp;
use super::output;
use super::run::child::Signals;
use super::run::own::{Format, OwnFlags};
use super::run::record::Paper;
use super::run::runtime_cli::Found;
use super::run::{self, Beside, Start, dry_run, help, image, runtime_cli};
use crate::display::Surroundings;
use crate::display::image::Inside;
use crate::error::{CommandError, CommandResult};
use crate::runtime::{Grammar, Parsed, RunSpec, RuntimeCli, Value};

const GRAMMAR: Grammar = Grammar {
    verb: "gui-run",
    more: flags::FLAGS,
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
    help::documented(raw, GRAMMAR, "IMAGE [COMMAND] [ARG]...")
}

/// Runs the verb; returns the exit code.
///
/// # Errors
/// As `mlbuild run`, and where this session has no display that can be used.
pub fn run(args: &GuiRunArgs) -> CommandResult<u8> {
    let parsed = GRAMMAR.parse_with_image(&args.words)?;
    if parsed.own.is_on("help") {
        return output::answer(&help::text(GRAMMAR)).map(|()| 0);
    }
    let flags = GuiFlags::read(&parsed.own);
    let folder = crate::settings::current_folder()?;
    let config = crate::settings::read_config(&folder)?;
    let Parsed { mut spec, own } = run::with_config(parsed, config, &folder);
    let own = OwnFlags::read(&own)?;
    refuse_contradictions(&flags, &own, &spec)?;
    if spec.options.is_on("detach") && !own.dry_run && !keeper::is_this() {
        return keeper::start(&args.words);
    }
    let host = Surroundings::this();
    let session = Session::find(&host, &flags, own.dry_run)?;
    if own.dry_run {
        let plan = Plan::before(&host, &session, &flags, &spec);
        spec.options = spec
            .options
            .clone()
            .over(plan.options(own.cli.unwrap_or(RuntimeCli::Docker)));
        return dry_run::print(spec, &own, &folder).map(|()| 0);
    }

    let run_id = own.run_id()?;
    let paper = own.record.then(|| Paper::begin(&folder));
    let (found, image) = super::wait_for(async {
        let found = runtime_cli::find(own.cli).await?;
        refuse_far_away(&found)?;
        let image = image::pin(&found, &spec).await?;
        Ok((found, image))
    })?;
    let as_given = |_: &&str| !flags.access.is_host_user();
    let user = spec.options.text("user").filter(as_given);
    let inside = look::inside(&found, &image, &spec, user);
    session::check_user(&host, &session, &flags, &spec, inside.as_ref(), &found)?;
    tell_what_it_lacks(inside.as_ref());
    warn_of_weaker(&flags, &spec);
    let start = run::ready(spec, &own, run_id, &found, image, &folder)?;
    shown(
        start,
        paper,
        &host,
        &session,
        &flags,
        &inside.unwrap_or_default(),
    )
}

/// Sets up what the window needs, runs, and takes it away again.
fn shown(
    start: Start,
    paper: Option<Paper>,
    host: &Surroundings,
    session: &Session,
    flags: &GuiFlags,
    inside: &Inside,
) -> CommandResult<u8> {
    let signals = Signals::hold()?;
    let set_up = SetUp::make(host, session, flags, &start, inside)?;
    let plan = Plan::of(session, flags, &start, set_up.files.clone());
    let mut options = plan.options(start.found.cli);
    let detached = start.spec.options.is_on("detach");
    let program = start.found.program.clone();
    let id_file = ear::id_file(&start, &set_up, &mut options);
    let (ear, follower) = ear::for_run(&start, id_file.as_deref());
    let beside = Beside {
        options,
        display: Some(flags.access.word().to_owned()),
        ear,
    };
    let code = run::go(start, paper, signals, beside);
    if let Some(follower) = follower {
        follower.tell();
    }
    if let (true, Ok(0), Some(file)) = (detached, &code, &id_file) {
        keeper::stay(&program, file);
    }
    drop(set_up);
    code
}

/// What can't be meant.
fn refuse_contradictions(flags: &GuiFlags, own: &OwnFlags, spec: &RunSpec) -> CommandResult {
    if flags.access.is_host_user() && spec.options.has("user") {
        return Err(CommandError::user(format!(
            "--user and --display-access={} both say who the program runs as",
            flags.access.word()
        ))
        .hint("leave one of them out"));
    }
    if own.format == Format::Devcontainer {
        return Err(CommandError::user(
            "--format devcontainer: the cookie of a display is of one run",
        )
        .hint("mlbuild run --dry-run --format devcontainer writes one without a display"));
    }
    Ok(())
}

/// Sockets of this machine can be mounted on this machine only.
fn refuse_far_away(found: &Found) -> CommandResult {
    let why = match (found.is_local(), found.is_in_a_vm()) {
        (false, _) => "the Docker daemon is on another machine",
        (_, true) => "Docker Desktop runs containers in a virtual machine",
        _ => return Ok(()),
    };
    Err(
        CommandError::environment(format!("{why}: its containers can't reach this display"))
            .hint("docker context use default; or log in there with ssh -X and run mlbuild there"),
    )
}

fn tell_what_it_lacks(inside: Option<&Inside>) {
    let Some(inside) = inside else { return };
    let lacks = inside.lacks();
    for line in &lacks {
        output::warning(line);
    }
    if inside.headless {
        output::warning("the image has opencv-python-headless, which can't open windows");
    }
    if !lacks.is_empty() || inside.headless {
        output::note("  hint: mlbuild image --gui, with opencv-python, makes an image that can");
    }
}

/// Says where a flag takes away what `isolated` is for.
fn warn_of_weaker(flags: &GuiFlags, spec: &RunSpec) {
    if flags.access != Access::Isolated {
        return;
    }
    let shares = |name: &str| spec.options.text(name) == Some("host");
    let network = spec
        .options
        .all("network")
        .any(|value| matches!(value, Value::Text(text) if text == "host"));
    for (given, flag, what) in [
        (
            spec.options.is_on("privileged"),
            "--privileged",
            "the program can do everything that root can",
        ),
        (
            network,
            "--network=host",
            "the program reaches the displays and services of this machine",
        ),
        (
            shares("ipc"),
            "--ipc=host",
            "the program can read shared memory of all programs here",
        ),
        (
            shares("pid"),
            "--pid=host",
            "the program sees and may end programs of this machine",
        ),
    ] {
        if given {
            output::warning(&format!("{flag} weakens the isolation: {what}"));
        }
    }
}
