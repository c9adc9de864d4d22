//! Ctrl-C: the first cancels the work, also on the daemon; the second exits at once.

use std::sync::OnceLock;

use mlbuild_progress::restore_terminal;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::output;
use crate::cli::error::{CommandError, CommandResult};

/// What a shell reports for a process that SIGINT ended.
const INTERRUPTED: i32 = 130;

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
                std::process::exit(INTERRUPTED);
            }
            output::note("stopping (press Ctrl-C again to exit at once)");
            cancelled.cancel();
        }
    });
    Ok(token)
}

/// The token of this process's builds, cancelled by the first SIGINT or SIGTERM from now on.
///
/// Where the process can't listen for signals it warns, and a signal ends it at once.
pub fn shared() -> CancellationToken {
    static SHARED: OnceLock<CancellationToken> = OnceLock::new();
    let listen = || {
        token().unwrap_or_else(|error| {
            output::warning(error.message());
            CancellationToken::new()
        })
    };
    SHARED.get_or_init(listen).clone()
}
