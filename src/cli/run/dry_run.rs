//! `--dry-run`: what would be started, as far as no daemon has to be asked. The digest, the GPU
//! and the run id belong to a run, and aren't in it.

use std::path::Path;

use mlbuild_secrets::redact_command;
use serde_json::json;

use super::defaults;
use super::own::{Format, OwnFlags};
use crate::cli::output;
use crate::error::CommandResult;
use crate::runtime::{self, RunSpec, RuntimeCli};

/// Without the values of secret variables, which a runtime takes by name from the environment, and
/// without secrets in the command.
pub(in crate::cli) fn without_secrets(mut spec: RunSpec) -> RunSpec {
    let hidden = spec.hide_secret_values();
    if !hidden.is_empty() {
        output::note(&format!(
            "not shown, and taken by name from the environment: {}",
            hidden.join(", ")
        ));
    }
    let command = redact_command(&spec.command);
    if command != spec.command {
        output::note("the command holds what looks like a secret, which is not shown");
        spec.command = command;
    }
    spec
}

pub(in crate::cli) fn print(mut spec: RunSpec, own: &OwnFlags, folder: &Path) -> CommandResult {
    let cli = own.cli.unwrap_or(RuntimeCli::Docker);
    if own.defaults {
        let usual = defaults::limits(&spec, cli, true);
        spec.options = spec.options.over(usual);
    }
    let spec = without_secrets(spec);
    if own.format == Format::Devcontainer {
        let rendered = runtime::devcontainer(&spec, folder);
        super::left_out::warn(&rendered.left_out);
        return output::answer(&format!("{:#}", rendered.form));
    }
    let rendered = spec.argv(cli);
    super::refuse_left_out(&rendered.left_out)?;
    output::answer(&match own.format {
        Format::Json => format!(
            "{:#}",
            json!({"image": spec.image, "command": spec.command, "argv": rendered.form})
        ),
        _ => runtime::shell_line(&rendered.form),
    })
}
