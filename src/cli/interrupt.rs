//! Ctrl-C: the first cancels the work, also on the daemon; the second exits at once.

use mlbuild_buildkit::progress::restore_terminal;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::output;

/// What a shell reports for a process that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// A token that the first SIGINT or SIGTERM cancels.
///
/// # Errors
/// Where the process can't listen for signals.
pub fn token() -> std::io::Result<CancellationToken> {
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
