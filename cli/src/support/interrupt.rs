//! Ctrl-C: the first cancels the work, also on the daemon, and ends the process within a second, whoever
//! is waited for; the second exits at once. Whatever the work fails with then, the exit code is that of
//! an interrupted process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use mlbuild_progress::restore_terminal;
use signal_hook::consts::{SIGINT, SIGTERM};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{output, scratch};
use crate::error::{CommandError, CommandResult};

/// What a shell reports for a process that SIGINT ended.
pub const INTERRUPTED: u8 = 130;

/// Set in the signal handler itself: the task that cancels the work may be later than a peer's error.
static IS_INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// True from the first SIGINT or SIGTERM that reached a process which [`listen`]s.
pub fn is_interrupted() -> bool {
    IS_INTERRUPTED.load(Ordering::SeqCst)
}

/// A token that the first SIGINT or SIGTERM cancels.
///
/// # Errors
/// Where the process can't listen for signals.
pub fn token() -> CommandResult<CancellationToken> {
    listen()
        .map_err(|error| CommandError::environment(format!("cannot listen for Ctrl-C: {error}")))
}

/// As [`token`], with the system's own error.
///
/// # Errors
/// Where the process can't listen for signals.
pub fn listen() -> std::io::Result<CancellationToken> {
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, IS_INTERRUPTED.clone())?;
    }
    let token = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let cancelled = token.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if cancelled.is_cancelled() {
                restore_terminal();
                std::process::exit(i32::from(INTERRUPTED));
            }
            output::note("stopping (press Ctrl-C again to exit at once)");
            cancelled.cancel();
        }
    });
    Ok(token)
}

/// How long the work may take to end in an orderly way after the first Ctrl-C.
const ORDERLY: Duration = Duration::from_millis(900);

/// Ends the process where the work doesn't end by itself: a thread may be in the middle of a file, or
/// wait for a program. A thread of its own, since the runtime's may be what hangs.
fn end_soon() {
    let spawned = std::thread::Builder::new().spawn(|| {
        std::thread::sleep(ORDERLY);
        mlbuild_waits::release_all();
        scratch::end();
        restore_terminal();
        output::note("stopped before it was done");
        std::process::exit(i32::from(INTERRUPTED));
    });
    if spawned.is_err() {
        restore_terminal();
        std::process::exit(i32::from(INTERRUPTED));
    }
}

/// The token of this process's builds, cancelled by the first SIGINT or SIGTERM from now on. The process
/// ends within a second of it.
///
/// Where the process can't listen for signals it warns, and a signal ends it at once.
pub fn shared() -> CancellationToken {
    static SHARED: OnceLock<CancellationToken> = OnceLock::new();
    let listen = || {
        let token = token();
        if let Ok(token) = &token {
            let token = token.clone();
            tokio::spawn(async move {
                token.cancelled().await;
                end_soon();
            });
        }
        token.unwrap_or_else(|error| {
            output::warning(error.message());
            CancellationToken::new()
        })
    };
    SHARED.get_or_init(listen).clone()
}
