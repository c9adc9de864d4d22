//! The image, by digest: every node and every retry then starts the same.

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
