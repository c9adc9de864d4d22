//! Publishing an image that only a Docker daemon has: its classic store can't be exported
//! with the digests that a registry will give, so the daemon pushes, and the registry is
//! asked afterwards what it holds.

use mlbuild_docker::api::{DockerApi, DockerProgress};
use oci_spec::distribution::Reference;

use super::error::RegistryError;
use super::pull::with_tag;
use super::{Published, Registry};

impl Registry {
    /// Has Docker push its image `reference` (which must have a tag, and be that image's
    /// name in the daemon) and returns what the registry then holds under it. The daemon is
    /// handed the log-in that this client would use.
    pub async fn push_from_docker(
        &self,
        docker: &DockerApi,
        reference: &Reference,
        progress: impl FnMut(&DockerProgress),
    ) -> Result<Published, RegistryError> {
        let tag = reference.tag().unwrap_or("latest");
        let tagged = with_tag(reference, tag);
        let repository = format!("{}/{}", reference.registry(), reference.repository());
        let log_in = self.options.credentials.get(reference.registry()).await?;
        let pushed = docker
            .push_image(&repository, tag, log_in.as_ref(), progress)
            .await
            .map_err(|source| RegistryError::Docker {
                reference: tagged.to_string(),
                source: Box::new(source),
            })?;
        let held = self.head(&tagged).await?;
        match held {
            Some(descriptor) if descriptor.digest().as_ref() == pushed.digest => Ok(Published {
                reference: tagged,
                descriptor,
            }),
            other => Err(RegistryError::DigestMismatch {
                registry: reference.registry().to_owned(),
                what: format!("the push of {tagged}"),
                expected: pushed.digest,
                found: other.map_or("nothing".to_owned(), |d| d.digest().to_string()),
            }),
        }
    }
}
