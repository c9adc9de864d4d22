//! A container whose windows appear on this session's display.
//!
//! | step | file |
//! | --- | --- |
//! | what is wanted of the session | `request` |
//! | display, camera and sound of this session, tried out | `session` |
//! | what the image lacks | `crate::start::look` |
//! | cookie, relay, xhost: set up, and undone at the end | `setup` |
//! | the flags that give all that to the container | `access` |
//! | what the program prints, explained | `stderr_watch` |
//! | with `--detach`: kept until the container has ended | `kept` |
//!
//! Everything else is [`crate::start`]'s.

mod access;
mod kept;
mod request;
mod session;
mod setup;
mod stderr_watch;

pub use self::kept::KeptDisplay;
pub use self::request::{DisplayAccess, DisplayRequest, GuiRequest};

use self::access::Plan;
use self::session::Session;
use self::setup::SetUp;
use self::stderr_watch::StderrWatch;
use super::child::{RunEnd, Signals};
use super::record::PendingRecord;
use super::runtime_cli::{self, ContainerRuntime};
use super::{Extras, Start, StartOutcome, image, look, shared_network};
use crate::display::Surroundings;
use crate::display::image::Inside;
use crate::reporter::{Event, Reporter};
use crate::runtime::{Options, RunSpec, RuntimeCli, Value};
use crate::start::StartError;

/// A run that has ended, or goes on in the background with the display given to it.
pub struct GuiOutcome<'r> {
    /// The run.
    pub run: StartOutcome,
    /// What the container needs as long as it runs in the background: undone when it is dropped.
    pub kept: Option<KeptDisplay<'r>>,
}

/// What would be started, as far as nothing has to be asked or set up: files stand where they would
/// be.
///
/// # Errors
/// Where the session has nothing of the kind that is wanted.
pub fn planned(
    mut spec: RunSpec,
    display: &DisplayRequest,
    runtime: RuntimeCli,
    reporter: &dyn Reporter,
) -> Result<RunSpec, StartError> {
    let host = Surroundings::this();
    let session = Session::find(&host, display, true, reporter)?;
    let plan = Plan::before(&host, &session, display, &spec);
    spec.options = spec.options.clone().over(plan.options(runtime));
    Ok(spec)
}

/// Starts the container and waits for its end.
///
/// # Errors
/// As [`crate::start::run`], and where this session has no display that can be used.
pub async fn run<'r>(
    request: GuiRequest,
    reporter: &'r dyn Reporter,
) -> Result<GuiOutcome<'r>, StartError> {
    let GuiRequest { start, display } = request;
    let host = Surroundings::this();
    let session = Session::find(&host, &display, false, reporter)?;
    let pending = PendingRecord::of_request(&start);
    let runtime = runtime_cli::find_or_wake(start.runtime, reporter).await?;
    refuse_far_away(&runtime)?;
    let image = image::pin(&runtime, &start.spec, start.registry.as_ref(), reporter).await?;
    let as_given = |_: &&str| !display.access.is_host_user();
    let user = start.spec.options.text("user").filter(as_given);
    let inside = look::inside(&runtime, &image, &start.spec, user);
    let known = inside.as_ref();
    session::check_user(
        &host,
        &session,
        &display,
        &start.spec,
        known,
        &runtime,
        reporter,
    )?;
    warn_of_what_it_lacks(known, reporter);
    warn_of_weaker(display.access, &start.spec, &runtime, reporter);
    let start = Start::prepare(start, &runtime, image, reporter)?;
    let pending = pending
        .map(|pending| pending.settled(reporter))
        .transpose()?;
    let signals = Signals::hold()?;
    let inside = inside.unwrap_or_default();
    let set_up = SetUp::make(&host, &session, &display, &start, &inside, reporter)?;
    let plan = Plan::of(&session, &display, &start, set_up.files.clone());
    let options = plan.options(runtime.cli);
    let access = display.access;
    shown(start, options, access, set_up, pending, signals, reporter).await
}

/// Runs with what was set up, and takes it away again.
async fn shown<'r>(
    start: Start<'_>,
    mut options: Options,
    access: DisplayAccess,
    set_up: SetUp<'r>,
    pending: Option<PendingRecord>,
    signals: Signals,
    reporter: &'r dyn Reporter,
) -> Result<GuiOutcome<'r>, StartError> {
    let program = start.runtime.program.clone();
    let id_file = stderr_watch::id_file(&start, &set_up, &mut options);
    let (stderr, watch) = StderrWatch::of(&start, id_file.as_deref());
    let extras = Extras {
        options,
        display: Some(access.name().to_owned()),
        stderr_watch: stderr,
    };
    let run = start.go(pending, signals, extras, reporter);
    let run = watch.beside(run, reporter).await?;
    let kept = match (&run.end, id_file) {
        (RunEnd::Detached { .. }, Some(id_file)) => Some(KeptDisplay {
            program,
            id_file,
            _set_up: set_up,
        }),
        _ => None,
    };
    Ok(GuiOutcome { run, kept })
}

/// Sockets of this machine can be mounted on this machine only.
fn refuse_far_away(runtime: &ContainerRuntime) -> Result<(), StartError> {
    let why = match (runtime.is_local(), runtime.is_in_a_vm()) {
        (false, _) => "the Docker daemon is on another machine",
        (_, true) => "Docker Desktop runs containers in a virtual machine",
        _ => return Ok(()),
    };
    Err(StartError::FarAway { why })
}

fn warn_of_what_it_lacks(inside: Option<&Inside>, reporter: &dyn Reporter) {
    let Some(inside) = inside else { return };
    let lacks = inside.lacks();
    for line in &lacks {
        reporter.warning(line);
    }
    if inside.headless {
        reporter.warning("the image has opencv-python-headless, which can't open windows");
    }
    if !lacks.is_empty() || inside.headless {
        reporter.event(Event::CanOpenNoWindow);
    }
}

/// Says where a flag takes away what isolation is for.
fn warn_of_weaker(
    access: DisplayAccess,
    spec: &RunSpec,
    runtime: &ContainerRuntime,
    reporter: &dyn Reporter,
) {
    if access != DisplayAccess::Isolated {
        return;
    }
    let shares = |name: &str| spec.options.text(name) == Some("host");
    let network = spec
        .options
        .all("network")
        .any(|value| matches!(value, Value::Text(text) if text == "host"));
    let shared = shared_network::is_used(runtime, &spec.options);
    let by_runtime = format!(
        "{}'s network, which is this machine's,",
        runtime.name_and_version()
    );
    for (given, flag, what) in [
        (
            shared,
            by_runtime.as_str(),
            "the program reaches the displays and services of this machine",
        ),
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
            reporter.warning(format!("{flag} weakens the isolation: {what}"));
        }
    }
}
