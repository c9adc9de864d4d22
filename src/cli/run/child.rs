//! The container's start and end: the runtime runs as a child with this process's terminal, and
//! signals reach it as if it had been started by hand.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

use super::Start;
use crate::error::{CommandError, CommandResult};

/// Signals that are passed on.
const PASSED_ON: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// How it ended.
pub(super) enum Outcome {
    /// The container ended, or the runtime refused: 125, 126 and 127 as docker's.
    Exited(i32),
    /// A signal ended the runtime's client.
    Killed(i32),
    /// It runs on in the background; the runtime printed this, the container's id.
    Detached {
        /// What is printed.
        answer: String,
    },
}

impl Outcome {
    /// What a shell would report.
    pub(super) fn exit_code(&self) -> u8 {
        let code = match self {
            Self::Exited(code) => *code,
            Self::Killed(signal) => 128 + signal,
            Self::Detached { .. } => 0,
        };
        u8::try_from(code).unwrap_or(1)
    }
}

/// Signals that are held back from here on, so that none ends this process and leaves behind what it
/// has set up. Those that come before the container starts keep it from starting.
pub(in crate::cli) struct Signals(SignalsInfo<WithOrigin>);

impl Signals {
    /// Holds them.
    ///
    /// # Errors
    /// Where the system refuses.
    pub(in crate::cli) fn hold() -> CommandResult<Self> {
        let held = SignalsInfo::<WithOrigin>::new(PASSED_ON);
        held.map(Self)
            .map_err(|error| CommandError::environment(format!("signals: {error}")))
    }
}

/// Starts it and waits for its end. What the program prints to stderr goes to `ear`, too.
///
/// # Errors
/// Where the runtime's program can't be started.
pub(super) fn run(
    start: &Start,
    argv: &[String],
    signals: Signals,
    ear: Option<Box<dyn Write + Send>>,
) -> CommandResult<Outcome> {
    let failed = |error: std::io::Error| {
        let program = start.found.program.display();
        CommandError::environment(format!("{program} can't be started: {error}"))
    };
    let mut command = Command::new(&start.found.program);
    let secrets = start.secrets.iter().map(|(name, value)| (name, value));
    command.args(&argv[1..]).envs(secrets);
    let detached = start.spec.options.is_on("detach");
    if detached {
        command.stdout(Stdio::piped());
    }
    if ear.is_some() {
        command.stderr(Stdio::piped());
    }
    let Signals(mut signals) = signals;
    if let Some(origin) = signals.pending().next() {
        return Ok(Outcome::Killed(origin.signal));
    }
    let handle = signals.handle();
    let mut child = command.spawn().map_err(failed)?;
    let hearing = child
        .stderr
        .take()
        .zip(ear)
        .map(|(said, ear)| thread::spawn(move || overhear(said, ear)));
    let pid = Pid::from_child(&child);
    let passing = thread::spawn(move || {
        for origin in &mut signals {
            pass_on(pid, &origin);
        }
    });
    let ended = wait(child, detached);
    handle.close();
    let _ = passing.join();
    if let Some(hearing) = hearing {
        let _ = hearing.join();
    }
    let (status, printed) = ended.map_err(failed)?;
    Ok(match (status.code(), status.signal()) {
        (Some(0), _) if detached => Outcome::Detached { answer: printed },
        (Some(code), _) => Outcome::Exited(code),
        (None, signal) => Outcome::Killed(signal.unwrap_or(0)),
    })
}

/// Hands on what was said, and lets the ear hear it after that.
pub(in crate::cli) fn overhear(mut said: impl Read, mut ear: impl Write) {
    let mut piece = [0; 8192];
    while let Ok(length @ 1..) = said.read(&mut piece) {
        // A closed stderr is no reason to stop the program.
        let _ = std::io::stderr().write_all(&piece[..length]);
        let _ = ear.write_all(&piece[..length]);
    }
    let _ = ear.flush();
}

fn wait(child: Child, detached: bool) -> std::io::Result<(ExitStatus, String)> {
    if !detached {
        let mut child = child;
        return Ok((child.wait()?, String::new()));
    }
    let output = child.wait_with_output()?;
    Ok((
        output.status,
        String::from_utf8_lossy(&output.stdout).into_owned(),
    ))
}

/// What the terminal sends, such as Ctrl-C, reaches the child by itself: they are one process
/// group. What another process sends to this one is passed on.
fn pass_on(child: Pid, origin: &Origin) {
    if matches!(origin.cause, Cause::Kernel) {
        return;
    }
    if let Some(signal) = Signal::from_named_raw(origin.signal) {
        // It may have ended meanwhile.
        let _ = kill_process(child, signal);
    }
}
