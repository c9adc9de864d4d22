//! A failed step as a person reads it.

use mlbuild_buildkit::BuildFailure;
use mlbuild_buildkit::progress::{BuildTrace, explain::explain};

use crate::error::CommandError;
use crate::plan::BuildPlan;

/// The failure with the step's last lines, its place in the Dockerfile, and a
/// hint where the cause is a usual one.
pub(super) fn failure(
    failure: &BuildFailure,
    trace: &BuildTrace,
    plan: &BuildPlan,
) -> CommandError {
    let mut told = explain(failure, trace);
    if let Some(source) = &mut told.source {
        // The builder knows the file by the name it travelled under.
        source.file.clone_from(&plan.dockerfile.name);
    }
    let hint = told.hint.take();
    // What the builder could not push, the registry refused or didn't take.
    let error = match told.message.contains("failed to push ") {
        true => CommandError::environment(&told),
        false => CommandError::work(&told),
    };
    let Some(hint) = hint else { return error };
    let next = hint.next.iter().map(|next| format!("\n    {next}"));
    error.hint(format!("{}{}", hint.cause, next.collect::<String>()))
}
