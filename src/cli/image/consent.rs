//! May a private builder be started? By flag, in CI, or by the answer on a terminal.

use std::io::IsTerminal;

use crate::builder::{self, Connection, Consent};
use crate::cli::output;
use crate::error::{CommandError, CommandResult};
use crate::settings::{BuildSettings, engine_allowed};

/// Connects to the builder, or starts one if that is wanted.
///
/// # Errors
/// Those of [`builder::connect`].
pub async fn connect(settings: &BuildSettings) -> CommandResult<Connection> {
    let may_start = || may_start(settings);
    let consent = Consent {
        may_start: &may_start,
        tell: &output::note,
    };
    builder::connect(settings, &consent).await
}

/// Connects to a builder that is there; starts none and asks nothing.
///
/// # Errors
/// Those of [`builder::connect`].
pub async fn connect_quietly(settings: &BuildSettings) -> CommandResult<Connection> {
    let consent = Consent {
        may_start: &|| Ok(false),
        tell: &|_| {},
    };
    builder::connect(settings, &consent).await
}

fn may_start(settings: &BuildSettings) -> CommandResult<bool> {
    if let Some(told) = engine_allowed(settings.engine) {
        return Ok(told);
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(false);
    }
    eprint!(
        "No builder was found. Start a private one? It is fetched once (about 100 MB), keeps to your \
         own folder, and goes with `mlbuild engine down`. [Y/n] "
    );
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| CommandError::environment(format!("stdin: {error}")))?;
    Ok(matches!(
        answer.trim().to_lowercase().as_str(),
        "" | "y" | "yes"
    ))
}
