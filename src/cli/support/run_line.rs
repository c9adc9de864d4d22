//! The line of a verb that starts containers, with `[run]` of `mlbuild.toml` where nothing was typed.

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::runtime::Parsed;

/// What was typed, and `[run]` of `mlbuild.toml` where nothing was; paths are meant from `folder`.
pub(in crate::cli) fn with_config(parsed: Parsed, config: Config, folder: &Path) -> Parsed {
    let (config_options, config_own) = config.run.0.by_owner();
    let mut spec = parsed.spec;
    spec.options = spec.options.over(config_options);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    spec.anchor(folder, home.as_deref());
    Parsed {
        spec,
        own: parsed.own.over(config_own),
    }
}
