//! The container's start and end: the runtime runs as a child with this process's terminal, and
//! signals reach it as if it had been started by hand.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};
use tempfile::TempDir;

use super::error::StartError;
use crate::tee::tee_stderr;

/// Signals that are passed on.
const PASSED_ON: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunEnd {
    /// The container ended, or the runtime refused: 125, 126 and 127 as docker's.
    Exited(i32),
    /// A signal of this number ended the runtime's client.
    Killed(i32),
    /// It runs on in the background; the runtime printed this, the container's id.
    Detached {
        /// What it printed, with its line end.
        answer: String,
    },
}

impl RunEnd {
    /// The exit code that a shell would report: that of the container, 128 and the signal, or 0 for
    /// one that runs on.
    pub fn exit_code(&self) -> u8 {
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
pub(crate) struct Signals(SignalsInfo<WithOrigin>);

impl Signals {
    /// Holds them.
    ///
    /// # Errors
    /// Where the system refuses.
    pub(crate) fn hold() -> Result<Self, StartError> {
        let held = SignalsInfo::<WithOrigin>::new(PASSED_ON);
        held.map(Self).map_err(StartError::Signals)
    }
}

/// The runtime's program, and what it is started with.
#[derive(Default)]
pub(super) struct Launch {
    pub(super) program: PathBuf,
    /// Its arguments, without its name.
    pub(super) args: Vec<String>,
    /// Variables that stand in its environment alone.
    pub(super) environment: Vec<(String, String)>,
    /// Variables of this process's that it doesn't get.
    pub(super) without: Vec<OsString>,
    /// Whether it has nothing to read.
    pub(super) closes_stdin: bool,
    /// What it keeps its files in; gone when it has ended.
    pub(super) folder: Option<TempDir>,
    /// Whether the container runs on in the background.
    pub(super) detached: bool,
    /// Who gets a signal that is passed on, where it isn't always the runtime's own process.
    pub(super) heard_by: Option<fn(Pid) -> Pid>,
}

/// Starts it and waits for its end on a thread of its own. What the program prints to stderr goes to
/// `watch`, too.
///
/// # Errors
/// Where the runtime's program can't be started.
pub(super) async fn run(
    launch: Launch,
    signals: Signals,
    watch: Option<Box<dyn Write + Send>>,
) -> Result<RunEnd, StartError> {
    let program = launch.program.clone();
    let end = tokio::task::spawn_blocking(move || {
        let end = run_here(&launch, signals, watch);
        if let Some(folder) = launch.folder {
            clear(folder);
        }
        end
    })
    .await;
    let end = end.map_err(std::io::Error::other).flatten();
    end.map_err(|source| StartError::Program { program, source })
}

/// Removes what a container left, also in folders that it closed to everybody.
fn clear(folder: TempDir) {
    let path = folder.keep();
    if std::fs::remove_dir_all(&path).is_err() {
        open_folders(&path);
        let _ = std::fs::remove_dir_all(&path);
    }
}

/// Lets this user write to all folders of a tree.
fn open_folders(folder: &Path) {
    let _ = std::fs::set_permissions(folder, Permissions::from_mode(0o700));
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_folders(&entry.path());
        }
    }
}

fn run_here(
    launch: &Launch,
    signals: Signals,
    watch: Option<Box<dyn Write + Send>>,
) -> std::io::Result<RunEnd> {
    let mut command = Command::new(&launch.program);
    for name in &launch.without {
        command.env_remove(name);
    }
    let environment = launch.environment.iter().map(|(name, value)| (name, value));
    command.args(&launch.args).envs(environment);
    if launch.closes_stdin {
        command.stdin(Stdio::null());
    }
    if launch.detached {
        command.stdout(Stdio::piped());
    }
    if watch.is_some() {
        command.stderr(Stdio::piped());
    }
    let Signals(mut signals) = signals;
    if let Some(origin) = signals.pending().next() {
        return Ok(RunEnd::Killed(origin.signal));
    }
    let handle = signals.handle();
    let mut child = command.spawn()?;
    let watching = child
        .stderr
        .take()
        .zip(watch)
        .map(|(stderr, watch)| thread::spawn(move || tee_stderr(stderr, watch)));
    let (pid, heard_by) = (Pid::from_child(&child), launch.heard_by);
    let passing = thread::spawn(move || {
        for origin in &mut signals {
            pass_on(pid, heard_by, &origin);
        }
    });
    let ended = wait(child, launch.detached);
    handle.close();
    let _ = passing.join();
    if let Some(watching) = watching {
        let _ = watching.join();
    }
    let (status, printed) = ended?;
    Ok(match (status.code(), status.signal()) {
        (Some(0), _) if launch.detached => RunEnd::Detached { answer: printed },
        (Some(code), _) => RunEnd::Exited(code),
        (None, signal) => RunEnd::Killed(signal.unwrap_or(0)),
    })
}

fn wait(mut child: Child, detached: bool) -> std::io::Result<(ExitStatus, String)> {
    if !detached {
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
fn pass_on(child: Pid, heard_by: Option<fn(Pid) -> Pid>, origin: &Origin) {
    if matches!(origin.cause, Cause::Kernel) {
        return;
    }
    if let Some(signal) = Signal::from_named_raw(origin.signal) {
        let heard_by = heard_by.map_or(child, |heard_by| heard_by(child));
        // It may have ended meanwhile.
        let _ = kill_process(heard_by, signal);
    }
}
