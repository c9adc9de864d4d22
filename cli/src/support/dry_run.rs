//! `--dry-run`: what would be started, as far as no daemon has to be asked. The digest, the GPU
//! and the run id belong to a run, and aren't in it.

use std::path::Path;

use serde_json::json;

use super::mlbuild_flags::{Format, MlbuildFlags};
use crate::error::CommandResult;
use crate::support::output;
use crate::support::terminal::Terminal;
use mlbuild::runtime::{self, RunSpec, RuntimeCli};
use mlbuild::start::{defaults, refuse_left_out, unsupported, without_secrets};

/// Prints it.
///
/// # Errors
/// Where the runtime can't do what was asked for.
pub(crate) fn print(mut spec: RunSpec, flags: &MlbuildFlags, folder: &Path) -> CommandResult {
    let cli = flags.runtime.unwrap_or(RuntimeCli::Docker);
    if flags.defaults {
        let usual = defaults::limits(&spec, cli, true);
        spec.options = spec.options.over(usual);
    }
    let spec = without_secrets(spec, &Terminal::default());
    if flags.format == Format::Devcontainer {
        let rendered = runtime::devcontainer(&spec, folder);
        unsupported::warn(&rendered.left_out, &Terminal::default());
        return output::answer(&format!("{:#}", rendered.form));
    }
    if cli == RuntimeCli::Apptainer {
        unsupported::warn(&runtime::apptainer::warnings(&spec), &Terminal::default());
    }
    let rendered = spec.argv(cli);
    refuse_left_out(&rendered.left_out)?;
    output::answer(&match flags.format {
        Format::Json => format!(
            "{:#}",
            json!({"image": spec.image, "command": spec.command, "argv": rendered.form})
        ),
        _ => runtime::shell_line(&rendered.form),
    })
}
