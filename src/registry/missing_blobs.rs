//! Whether a registry still has what an image is made of.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use oci_spec::distribution::Reference;
use oci_spec::image::Descriptor;
use reqwest::{Method, StatusCode};

use super::Registry;
use super::call::{Call, CallBody, Target};
use super::error::RegistryError;
use super::scope::scope_of;

/// Blobs that are asked for at once.
const AT_ONCE: usize = 8;

impl Registry {
    /// Those of some blobs that the registry doesn't have; nothing is fetched.
    ///
    /// # Errors
    /// Where it doesn't answer, or refuses.
    pub async fn missing_blobs(
        &self,
        reference: &Reference,
        blobs: &[Descriptor],
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let asked = blobs.iter().map(|blob| async move {
            let is_there = self.has_blob(reference, blob).await?;
            Ok::<_, RegistryError>((!is_there).then(|| blob.clone()))
        });
        let missing: Vec<_> = stream::iter(asked.collect::<Vec<_>>())
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(missing.into_iter().flatten().collect())
    }

    async fn has_blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
    ) -> Result<bool, RegistryError> {
        let endpoint = self.endpoint(reference.registry());
        let scope = scope_of(reference, false);
        let (repository, digest) = (reference.repository(), blob.digest());
        let what = format!("looking for {digest} of {repository}");
        let call = Call {
            method: Method::HEAD,
            target: Target::Path(format!("{repository}/blobs/{digest}")),
            headers: Vec::new(),
            body: CallBody::Empty,
            scope: &scope,
            what: &what,
        };
        let answer = self.send(&endpoint, &call).await?;
        let base = endpoint.base().await;
        let (base, _) = base.map_err(|failure| failure.given_up(&endpoint, &what, 1))?;
        match answer.status() {
            status if status.is_success() => Ok(true),
            // Sent on to a storage service, whose signed address may be for GET only: it is there.
            _ if answer.url().origin() != base.origin() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.refused(&endpoint, &call, answer).await),
        }
    }
}
