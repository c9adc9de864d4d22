//! What an image starts, for the runtimes that don't look there themselves.

use super::super::SubmitRequest;
use super::super::error::SubmitError;
use super::super::image::config;
use crate::runtime::slurm::{ContainerRuntime, ImageDefaults};

/// Its entry point, command, folder and user.
///
/// # Errors
/// Where the registry can't be asked.
pub(super) async fn defaults(
    pinned: &str,
    request: &SubmitRequest,
    runtime: ContainerRuntime,
) -> Result<ImageDefaults, SubmitError> {
    if runtime == ContainerRuntime::Podman {
        return Ok(ImageDefaults::default());
    }
    let config = config(pinned, request).await?;
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let is_root = |user: &String| matches!(user.split(':').next(), Some("root" | "0"));
    Ok(ImageDefaults {
        entrypoint: config.entrypoint().clone().unwrap_or_default(),
        command: config.cmd().clone().unwrap_or_default(),
        workdir: text(config.working_dir()),
        user: text(config.user()).filter(|user| !is_root(user)),
    })
}
