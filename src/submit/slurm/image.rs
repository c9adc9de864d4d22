//! What an image starts, for the runtimes that don't look there themselves.

use oci_spec::image::ImageConfiguration;

use super::super::SubmitRequest;
use super::super::error::SubmitError;
use crate::registry::{Registry, RegistryError, parse_platform};
use crate::runtime::slurm::{ContainerRuntime, ImageDefaults};

/// Its entry point, command, folder and user, of the platform that was named, else of this machine's.
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
    let reference = RegistryError::reference(pinned)?;
    let registry = Registry::new(request.registry.clone());
    let platform = request
        .spec
        .options
        .text("platform")
        .and_then(parse_platform);
    let images = registry.images(&reference, platform.as_ref()).await?;
    let is_here = |image: &&_| is_of_this_machine(image);
    let Some(image) = images.iter().find(is_here).or(images.first()) else {
        return Ok(ImageDefaults::default());
    };
    let bytes = registry.pull_blob(&reference, &image.config).await?;
    // The registry's own reader has read it before.
    let read: Option<ImageConfiguration> = serde_json::from_slice(&bytes).ok();
    let config = read
        .and_then(|config| config.config().clone())
        .unwrap_or_default();
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let is_root = |user: &String| matches!(user.split(':').next(), Some("root" | "0"));
    Ok(ImageDefaults {
        entrypoint: config.entrypoint().clone().unwrap_or_default(),
        command: config.cmd().clone().unwrap_or_default(),
        workdir: text(config.working_dir()),
        user: text(config.user()).filter(|user| !is_root(user)),
    })
}

fn is_of_this_machine(image: &crate::image::PlatformImage) -> bool {
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    image.platform.architecture().to_string() == machine
}
