//! What a program in the container is told of its run.

use mlbuild_manifests::RunId;

use super::image::PinnedImage;
use crate::env_vars::{MLBUILD_IMAGE, MLBUILD_RUN_ID, WANDB_DOCKER, WANDB_RUN_ID};
use crate::runtime::Options;

/// The variables; one that was given by flag stands.
pub(super) fn variables(run_id: &RunId, image: &PinnedImage) -> Options {
    let mut options = Options::default();
    let mut set = |name: &str, value: &str| options.add("env", &format!("{name}={value}"));
    set(MLBUILD_RUN_ID, run_id.as_str());
    set(MLBUILD_IMAGE, &image.pinned);
    set(WANDB_DOCKER, &image.pinned);
    // The run that the tracker was told to log is this one.
    if std::env::var(WANDB_RUN_ID).is_ok_and(|id| id == run_id.as_str()) {
        set(WANDB_RUN_ID, run_id.as_str());
    }
    options
}
