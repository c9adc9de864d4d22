//! A push through Docker itself: the BuildKit of its classic store says that it
//! pushed, and doesn't.

use mlbuild_progress::LocalSteps;
use oci_spec::distribution::Reference;
use tokio_util::sync::CancellationToken;

use super::BuildError;
use crate::builder::{Builder, BuilderError};
use crate::registry::Registry;

/// Has the builder's Docker push its image under each tag; returns the digest
/// that the registry gave it.
///
/// # Errors
/// Where Docker can't push, or the registry has something else afterwards.
pub async fn push(
    builder: &Builder,
    registry: &Registry,
    tags: &[Reference],
    steps: &LocalSteps,
    cancel: &CancellationToken,
) -> Result<String, BuildError> {
    let docker = builder.docker()?;
    let mut digest = None;
    for tag in tags {
        let step = steps.begin(format!("pushing {tag}"));
        let pushing = registry.push_from_docker(docker, tag, |told| {
            if let Some(detail) = told.detail.as_ref().filter(|_| !told.id.is_empty()) {
                step.bytes(&told.id, detail.current, detail.total);
            }
        });
        let pushed = tokio::select! {
            pushed = pushing => pushed,
            () = cancel.cancelled() => return Err(BuilderError::Cancelled.into()),
        };
        match pushed {
            Ok(published) => digest = Some(published.descriptor.digest().to_string()),
            Err(error) => {
                step.failed(&error.to_string());
                return Err(error.into());
            }
        }
        step.done();
    }
    digest.ok_or(BuildError::PushWithoutName)
}
