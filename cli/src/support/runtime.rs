//! The program's one tokio runtime: made when a verb first waits for something.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

use crate::error::{CommandError, CommandResult};

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// The runtime. It is never shut down: a blocked read of stdin must not keep the process.
///
/// # Errors
/// Where no threads can be started.
pub(crate) fn get() -> CommandResult<&'static Runtime> {
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CommandError::environment(format!("cannot start threads: {error}")))?;
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// Runs a verb that talks to daemons or registries.
///
/// # Errors
/// As the verb, and [`get`].
pub(crate) fn wait_for<T>(verb: impl Future<Output = CommandResult<T>>) -> CommandResult<T> {
    get()?.block_on(verb)
}
