//! `mlbuild runs keep`: images of runs get a tag of their own.

use super::push::{PushArgs, answer};
use crate::error::CommandResult;
use crate::support::terminal::Terminal;
use mlbuild::runs::{self, PushRequest};

/// Runs the verb. The answer is the images by their new tags and digests.
///
/// # Errors
/// Where a run isn't known, its image was never pushed, or a tag names another image.
pub async fn run(args: PushArgs) -> CommandResult {
    let project = args.project.folder()?;
    let registry = args.registry.client(&project)?;
    let request = PushRequest {
        runs: args.runs,
        all_published: args.all,
    };
    let kept = runs::keep(&project, &request, &registry, &Terminal::default()).await?;
    answer(&kept, args.format)
}
