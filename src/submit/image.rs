//! The image, by digest: every node and every retry then starts the same.

use oci_spec::image::{Config, ImageConfiguration};

use super::SubmitRequest;
use super::error::SubmitError;
use crate::registry::{Registry, RegistryError, parse_platform};

/// `registry/name@sha256:…`; `None` for one that only the node has.
///
/// # Errors
/// Where the name is none, or its registry doesn't have it or can't be asked.
pub(super) async fn pin(request: &SubmitRequest) -> Result<Option<String>, SubmitError> {
    let spec = &request.spec;
    let reference = RegistryError::reference(&spec.image)?;
    if let Some(digest) = reference.digest() {
        return Ok(Some(
            reference.clone_with_digest(digest.to_owned()).to_string(),
        ));
    }
    if request.flags.options().is_on("local-image") {
        return Ok(None);
    }
    let platform = spec.options.text("platform").map(|text| {
        parse_platform(text).ok_or_else(|| SubmitError::Platform {
            text: text.to_owned(),
        })
    });
    let registry = Registry::new(request.registry.clone());
    let resolved = registry
        .resolve(&reference, platform.transpose()?.as_ref())
        .await
        .map_err(|error| match error {
            RegistryError::NotFound { .. } => SubmitError::NotPushed(error),
            error => error.into(),
        })?;
    let digest = resolved.descriptor.digest().to_string();
    Ok(Some(reference.clone_with_digest(digest).to_string()))
}

/// What the image says of its program, of the platform that was named, else of this machine's.
///
/// # Errors
/// Where the registry can't be asked.
pub(super) async fn config(pinned: &str, request: &SubmitRequest) -> Result<Config, SubmitError> {
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
        return Ok(Config::default());
    };
    let bytes = registry.pull_blob(&reference, &image.config).await?;
    // The registry's own reader has read it before.
    let read: Option<ImageConfiguration> = serde_json::from_slice(&bytes).ok();
    Ok(read
        .and_then(|config| config.config().clone())
        .unwrap_or_default())
}

fn is_of_this_machine(image: &crate::image::PlatformImage) -> bool {
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    image.platform.architecture().to_string() == machine
}
