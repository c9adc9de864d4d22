//! What of a run may be shown: no values of secret variables, no secrets in the command.

use mlbuild_secrets::redact_command;

use crate::reporter::Reporter;
use crate::runtime::RunSpec;

/// Without the values of secret variables, which a runtime takes by name from the environment, and
/// without secrets in the command. What is left out is told by name.
pub fn without_secrets(mut spec: RunSpec, reporter: &dyn Reporter) -> RunSpec {
    let hidden = spec.hide_secret_values();
    if !hidden.is_empty() {
        reporter.note(format!(
            "not shown, and taken by name from the environment: {}",
            hidden.join(", ")
        ));
    }
    let command = redact_command(&spec.command);
    if command != spec.command {
        reporter.note("the command holds what looks like a secret, which is not shown");
        spec.command = command;
    }
    spec
}
