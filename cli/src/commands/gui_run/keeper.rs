//! `-d`: the container runs on, and what was set up for it has to be undone when it ends. So the whole
//! verb runs in a process of its own, which stays behind.

use std::io::{self, BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::thread;

use crate::error::{CommandError, CommandResult};
use crate::support::output;
use mlbuild::env_vars::MLBUILD_GUI_KEEPER;

/// Whether this is the process that stays.
pub(super) fn is_this() -> bool {
    std::env::var_os(MLBUILD_GUI_KEEPER).is_some()
}

/// Starts it with the same words; prints the container's id as soon as it is there. Its streams end
/// here, so that whoever waits for theirs to close doesn't wait for the container.
///
/// # Errors
/// Where it can't be started. What fails in it is told by it, and is its exit code.
pub(super) fn start(words: &[String]) -> CommandResult<u8> {
    let failed = |error: io::Error| CommandError::environment(format!("--detach: {error}"));
    let mut keeper = Command::new(std::env::current_exe().map_err(failed)?)
        .arg("gui-run")
        .args(words)
        .env(MLBUILD_GUI_KEEPER, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let story = keeper.stderr.take();
    let telling =
        thread::spawn(move || story.map(|mut story| io::copy(&mut story, &mut io::stderr())));
    let mut id = String::new();
    if let Some(printed) = keeper.stdout.take() {
        BufReader::new(printed).read_line(&mut id).map_err(failed)?;
    }
    if !id.is_empty() {
        return output::answer(&id).map(|()| 0);
    }
    let code = keeper.wait().map_err(failed)?.code();
    let _ = telling.join();
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Leaves the terminal to others while the container runs on.
pub(super) fn let_go_of_the_terminal() {
    // It leads a group already where a shell with job control started it.
    let _ = rustix::process::setsid();
}
