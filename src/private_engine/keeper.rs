//! The process that looks after a private builder: it starts the daemon, and
//! stops it when it is told to or when nobody has used it for a while.

use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::activity;
use super::error::Error;
use super::folder::{self, Folder, Launch, Running};
use super::launch::path_variable;
use super::process::ProcessId;

/// Time a daemon gets to end by itself.
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Starts the daemon that `launch.toml` describes, and returns when it ended.
///
/// This is all that the hidden `mlbuild engine keep` does.
///
/// # Errors
/// Where the daemon can't be started or the folder's files can't be used.
pub async fn keep(folder: &Folder) -> Result<(), Error> {
    let launch = folder.launch()?.ok_or_else(|| Error::State {
        path: folder.launch_file(),
        reason: "it is not there".to_owned(),
    })?;
    // Out of the terminal's session: its end is not the daemon's.
    let _ = rustix::process::setsid();
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::file(folder.root()))?;
    let mut daemon = start(folder, &launch)?;
    let id = |id: Option<u32>| id.and_then(ProcessId::of);
    let (Some(keeper), Some(process)) = (id(Some(std::process::id())), id(daemon.id())) else {
        return Err(Error::DidNotStart {
            reason: "it ended at once".to_owned(),
            log: folder.log_tail(),
        });
    };
    folder::write_toml(
        &folder.running_file(),
        &Running {
            keeper,
            daemon: process,
        },
    )?;

    tokio::select! {
        _ = daemon.wait() => {}
        _ = terminate.recv() => end(&mut daemon, process).await,
        _lock = idle(folder, &launch) => end(&mut daemon, process).await,
    }
    std::fs::remove_file(folder.running_file()).map_err(Error::file(&folder.running_file()))
}

fn start(folder: &Folder, launch: &Launch) -> Result<tokio::process::Child, Error> {
    let log = File::create(folder.log()).map_err(Error::file(&folder.log()))?;
    let errors = log.try_clone().map_err(Error::file(&folder.log()))?;
    let mut command = Command::new(&launch.command[0]);
    command
        .args(&launch.command[1..])
        .env("PATH", path_variable(&launch.path))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors);
    if launch.rootless && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        command.env("XDG_RUNTIME_DIR", folder.sockets());
    }
    command.spawn().map_err(|error| Error::DidNotStart {
        reason: format!("{}: {error}", launch.command[0]),
        log: String::new(),
    })
}

async fn end(daemon: &mut tokio::process::Child, id: ProcessId) {
    tokio::join!(id.stop(STOP_TIMEOUT), daemon.wait()).1.ok();
}

/// Returns, holding the lock, when the builder was not used for its idle time:
/// whoever asks for it from then on waits for the lock and starts another.
async fn idle(folder: &Folder, launch: &Launch) -> Option<File> {
    if launch.idle_seconds == 0 {
        std::future::pending::<()>().await;
    }
    let limit = Duration::from_secs(launch.idle_seconds);
    let tick = (limit / 4).clamp(Duration::from_millis(500), Duration::from_secs(30));
    let mut used = SystemTime::now();
    loop {
        tokio::time::sleep(tick).await;
        if activity::is_busy(launch).await {
            used = SystemTime::now();
            continue;
        }
        if unused_for(folder, used) < limit {
            continue;
        }
        // Somebody may have come since the look above.
        if let Ok(Some(lock)) = folder.try_lock()
            && unused_for(folder, used) >= limit
            && !activity::is_busy(launch).await
        {
            return Some(lock);
        }
    }
}

/// Time since the builder was asked for or seen at work.
fn unused_for(folder: &Folder, seen: SystemTime) -> Duration {
    let asked = folder
        .used()
        .metadata()
        .and_then(|m| m.modified())
        .unwrap_or(seen);
    seen.max(asked).elapsed().unwrap_or_default()
}
