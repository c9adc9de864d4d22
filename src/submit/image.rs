//! The image, by digest: every node and every retry then starts the same.

use super::SubmitRequest;
use crate::error::{CommandError, CommandResult};
use crate::registry::{Registry, RegistryError, parse_platform};

/// `registry/name@sha256:…`; `None` for one that only the node has.
///
/// # Errors
/// Where the name is none, or its registry doesn't have it or can't be asked.
pub(super) async fn pin(request: &SubmitRequest) -> CommandResult<Option<String>> {
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
        parse_platform(text).ok_or_else(|| {
            CommandError::user(format!(
                "--platform {text}: not a platform; write linux/amd64"
            ))
        })
    });
    let registry = Registry::new(request.registry.clone());
    let resolved = registry
        .resolve(&reference, platform.transpose()?.as_ref())
        .await
        .map_err(|error| {
            let is_missing = matches!(error, RegistryError::NotFound { .. });
            let error = CommandError::from(error);
            match is_missing {
                true => error.hint(
                    "push it first: mlbuild image --push; or, where a node has it: --local-image",
                ),
                false => error,
            }
        })?;
    let digest = resolved.descriptor.digest().to_string();
    Ok(Some(reference.clone_with_digest(digest).to_string()))
}
