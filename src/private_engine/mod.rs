//! A private builder, for a machine that has none: fetched, started and
//! stopped by mlbuild, all of it in one folder of the user's.
//!
//! It is a BuildKit of its own (`buildkitd`) or the one inside Docker
//! (`dockerd` from the distribution's packages, unpacked and not installed).
//! Build steps use the machine's network, so nothing of that is changed.
//! Connecting to it and building is the work of [`crate::builder`], and starting containers of
//! [`crate::start`].

mod activity;
mod archive;
mod error;
mod folder;
mod keeper;
mod launch;
mod packages;
mod pins;
mod process;
mod rootless;
mod source;

use crate::reporter::Reporter;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;

pub use error::Error;
pub use folder::{Folder, Kind};
pub use keeper::keep;
pub use source::{Archive, Source};

use folder::{Launch, Running};

/// Time a daemon gets to answer: a first start on a slow disk is slow.
const START_TIMEOUT: Duration = Duration::from_secs(90);

/// What a private builder should be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its programs come from.
    pub source: Source,
    /// Bytes its build cache may take.
    pub cache_limit: u64,
    /// Time without work after which it stops; never where zero.
    pub idle: Duration,
    /// The `mlbuild` program that will look after it; this one where `None`.
    pub program: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            source: Source::default(),
            cache_limit: 20_000_000_000,
            idle: Duration::from_secs(30 * 60),
            program: None,
        }
    }
}

/// A private builder that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateEngine {
    /// Its address, as `--builder` takes it.
    pub endpoint: String,
    /// Which daemon it is.
    pub kind: Kind,
    /// The daemon's version.
    pub version: String,
    /// Where its programs came from.
    pub source: String,
    /// Whether a build must ask for the machine's network (`--network host`)
    /// for its steps to have one.
    pub needs_host_network: bool,
    /// Whether it runs without root.
    pub rootless: bool,
    /// Docker's client, where there is one for it.
    pub client: Option<PathBuf>,
    /// The socket.
    pub socket: PathBuf,
    /// Bytes its build cache may take.
    pub cache_limit: u64,
    /// Time without work after which it stops; never where zero.
    pub idle: Duration,
    /// Whether somebody uses it now.
    pub busy: bool,
}

impl PrivateEngine {
    fn new(launch: Launch, busy: bool) -> Self {
        let scheme = match launch.kind {
            Kind::Buildkitd => "unix",
            Kind::Dockerd => "docker",
        };
        Self {
            endpoint: format!("{scheme}://{}", launch.socket.display()),
            kind: launch.kind,
            version: launch.version,
            source: launch.source,
            needs_host_network: launch.kind == Kind::Dockerd,
            rootless: launch.rootless,
            client: launch.client,
            socket: launch.socket,
            cache_limit: launch.cache_limit,
            idle: Duration::from_secs(launch.idle_seconds),
            busy,
        }
    }
}

/// Starts the private builder of a folder, fetching it first where needed; one
/// that runs already is left as it is. The reporter is told of each longer step.
///
/// The builder stays for `options.idle` after this call at least.
///
/// # Errors
/// Where there is no source for it, it can't run here, or it does not start.
pub async fn up(
    folder: &Folder,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<PrivateEngine, Error> {
    if !cfg!(target_os = "linux") {
        return Err(Error::NotLinux);
    }
    let _lock = lock(folder).await?;
    folder.touch_used()?;
    if let Some((launch, _)) = running(folder)? {
        wait_until_it_answers(folder, &launch, None).await?;
        return Ok(PrivateEngine::new(launch, false));
    }
    let without_root = !rustix::process::geteuid().is_root();
    let programs = source::programs(folder, &options.source, without_root, reporter).await?;
    let launch = launch::prepare(folder, &programs, options, without_root, reporter).await?;
    folder::write_toml(&folder.launch_file(), &launch)?;
    start(folder, &launch, options.program.as_deref(), reporter).await?;
    Ok(PrivateEngine::new(launch, false))
}

/// Waits for whoever starts or stops it now.
async fn lock(folder: &Folder) -> Result<std::fs::File, Error> {
    let folder = folder.clone();
    let locked = tokio::task::spawn_blocking(move || folder.lock());
    locked.await.expect("locking does not panic")
}

/// Starts what `launch.toml` describes.
async fn start(
    folder: &Folder,
    launch: &Launch,
    program: Option<&Path>,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    reporter.note(format!(
        "starting a private {} {} ({})",
        launch.kind.program(),
        launch.version,
        launch.source
    ));
    let keeper = start_keeper(folder, program)?;
    wait_until_it_answers(folder, launch, Some(keeper)).await?;
    folder.touch_used()
}

/// The private builder of a folder, if it runs.
///
/// # Errors
/// Where the folder's files are not what mlbuild wrote.
pub async fn status(folder: &Folder) -> Result<Option<PrivateEngine>, Error> {
    let Some((launch, _)) = running(folder)? else {
        return Ok(None);
    };
    let busy = activity::is_busy(&launch).await;
    Ok(Some(PrivateEngine::new(launch, busy)))
}

/// The private builder of a folder, started again where it went to sleep without work; `None` where
/// none was ever made.
///
/// # Errors
/// As [`up`].
pub async fn wake(
    folder: &Folder,
    reporter: &dyn Reporter,
) -> Result<Option<PrivateEngine>, Error> {
    // Taking the lock makes the folder.
    if !folder.launch_file().exists() {
        return Ok(None);
    }
    let _lock = lock(folder).await?;
    let Some(launch) = folder.launch()? else {
        return Ok(None);
    };
    folder.touch_used()?;
    if folder.running()?.is_some() {
        wait_until_it_answers(folder, &launch, None).await?;
    } else {
        start(folder, &launch, None, reporter).await?;
    }
    Ok(Some(PrivateEngine::new(launch, false)))
}

/// Whether a folder's private builder was started before, and doesn't run.
pub fn sleeps(folder: &Folder) -> bool {
    folder.launch().is_ok_and(|launch| launch.is_some())
        && folder.running().is_ok_and(|running| running.is_none())
}

/// Docker's client for a private builder that is Docker's daemon: a small program in its folder that
/// names the socket.
///
/// # Errors
/// Where the folder can't be written to.
pub fn docker_client(folder: &Folder, engine: &PrivateEngine) -> Result<Option<PathBuf>, Error> {
    let Some(client) = &engine.client else {
        return Ok(None);
    };
    let host = format!("unix://{}", engine.socket.display());
    let line = [&client.display().to_string(), "-H", &host].map(crate::shell::word);
    let text = format!("#!/bin/sh\nexec {} \"$@\"\n", line.join(" "));
    let program = folder.docker();
    if std::fs::read_to_string(&program).ok().as_ref() != Some(&text) {
        folder::write_program(&program, &text)?;
    }
    Ok(Some(program))
}

/// Stops the private builder of a folder and removes the folder, cache and
/// programs included. Returns whether there was anything.
///
/// # Errors
/// Where something of the folder can't be removed.
pub async fn down(folder: &Folder) -> Result<bool, Error> {
    if !folder.root().exists() {
        return Ok(false);
    }
    let _lock = folder.lock()?;
    // A file that can't be read must not keep the rest from being removed.
    if let Ok(Some(Running { keeper, daemon })) = folder.running() {
        keeper
            .stop(keeper::STOP_TIMEOUT + Duration::from_secs(5))
            .await;
        daemon.stop(keeper::STOP_TIMEOUT).await;
    }
    let sockets = folder.sockets();
    for place in [sockets.as_path(), folder.root()] {
        unmount_below(place).await;
    }
    remove_foreign(folder).await;
    for place in [sockets.as_path(), folder.root()] {
        match std::fs::remove_dir_all(place) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::file(place)(error));
            }
            _ => {}
        }
    }
    if rustix::process::geteuid().is_root() {
        // Where containerd's shims meet it: remove_dir takes only empty ones.
        for left in ["/run/containerd/s", "/run/containerd"] {
            let _ = std::fs::remove_dir(left);
        }
    }
    Ok(true)
}

fn running(folder: &Folder) -> Result<Option<(Launch, Running)>, Error> {
    Ok(folder.launch()?.zip(folder.running()?))
}

fn start_keeper(folder: &Folder, program: Option<&Path>) -> Result<std::process::Child, Error> {
    use std::os::unix::process::CommandExt;
    let program = match program {
        Some(program) => program.to_owned(),
        None => std::env::current_exe().map_err(Error::file(Path::new("/proc/self/exe")))?,
    };
    std::process::Command::new(&program)
        .args(["engine", "keep"])
        .arg(folder.root())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(Error::file(&program))
}

async fn wait_until_it_answers(
    folder: &Folder,
    launch: &Launch,
    mut keeper: Option<std::process::Child>,
) -> Result<(), Error> {
    let deadline = Instant::now() + START_TIMEOUT;
    while !activity::answers(launch).await {
        let ended = match &mut keeper {
            Some(keeper) => keeper.try_wait().is_ok_and(|status| status.is_some()),
            None => folder.running()?.is_none(),
        };
        let reason = if ended {
            "it ended".to_owned()
        } else if Instant::now() > deadline {
            format!("it does not answer on {}", launch.socket.display())
        } else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        return Err(Error::DidNotStart {
            reason,
            log: folder.log_tail(),
        });
    }
    Ok(())
}

/// What a daemon that was killed left mounted.
async fn unmount_below(place: &Path) {
    let table = tokio::fs::read_to_string("/proc/mounts")
        .await
        .unwrap_or_default();
    let prefix = format!("{}/", place.display());
    let mut mounts: Vec<&str> = table
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .filter(|mount| mount.starts_with(&prefix))
        .collect();
    mounts.sort_unstable();
    for mount in mounts.into_iter().rev() {
        let _ = process_output(Path::new("umount"), &["-l", mount]).await;
    }
}

/// Without root, parts of the cache belong to other ids of the user's: they go
/// from inside a user namespace like the one that made them.
async fn remove_foreign(folder: &Folder) {
    if let Some(launch) = folder
        .launch()
        .ok()
        .flatten()
        .filter(|launch| launch.rootless)
    {
        let places = [folder.data(), folder.sockets()].map(|place| place.display().to_string());
        let arguments = ["rm", "-rf", &places[0], &places[1]];
        let _ = process_output(Path::new(&launch.command[0]), &arguments).await;
    }
}

/// What a program prints, where it ends well.
async fn process_output(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
