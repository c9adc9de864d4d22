//! The line of a verb that starts containers, with `[run]` of `mlbuild.toml` where nothing was typed.

use std::path::{Path, PathBuf};

use crate::error::{CommandError, CommandResult};
use mlbuild::config::Config;
use mlbuild::on_path;
use mlbuild::runtime::{Disagreement, Options, Parsed, RuntimeCli};

/// What was typed, and `[run]` of `mlbuild.toml` where nothing was; paths are meant from `folder`.
///
/// # Errors
/// Where docker wouldn't take the line, or a file that its client reads isn't one.
pub(crate) fn with_config(parsed: Parsed, config: Config, folder: &Path) -> CommandResult<Parsed> {
    let (config_options, config_own) = config.run.0.by_owner();
    let mut spec = parsed.spec;
    spec.options = spec.options.over(config_options);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    spec.anchor(folder, home.as_deref());
    let own = parsed.own.over(config_own);
    let wrong = |error: Disagreement| CommandError::user(&error).hint(&error.hint);
    spec.check(asked_runtime(&own)).map_err(wrong)?;
    spec.check_files(folder).map_err(wrong)?;
    Ok(Parsed { spec, own })
}

/// The runtime that is asked for, or the only one there is.
fn asked_runtime(own: &Options) -> Option<RuntimeCli> {
    let asked = own.text("runtime-cli");
    let only_podman = || on_path::find("docker").is_none() && on_path::find("podman").is_some();
    match asked {
        Some(name) => RuntimeCli::ALL
            .into_iter()
            .find(|cli| cli.program() == name),
        None => only_podman().then_some(RuntimeCli::Podman),
    }
}
