//! Pushing an image that shares layers with one that the registry has already: those are
//! mounted, never sent.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use oci_spec::distribution::Reference;
use oci_spec::image::Descriptor;
use tokio::sync::Semaphore;

use super::error::RegistryError;
use super::pull::with_tag;
use super::scope::scope_of;
use super::upload::{BlobBytes, KnownBlob, Upload};
use super::{Published, Registry};

/// An image made from another one of the same registry.
#[derive(Clone, Debug, Default)]
pub struct DerivedImage {
    /// Blobs of the other image that it uses.
    pub shared: Vec<Descriptor>,
    /// Its own small blobs.
    pub blobs: Vec<(Descriptor, Bytes)>,
    /// Its manifests, and the index around them if there is one; what gets the tag last.
    pub documents: Vec<(Descriptor, Bytes)>,
}

impl Registry {
    /// Pushes an image that is derived from `source`, which the registry has, and returns
    /// what it confirmed. In another repository the shared blobs are mounted.
    ///
    /// # Errors
    /// [`RegistryError::NotMounted`] where the registry wants to be sent a shared blob.
    pub async fn push_derived(
        &self,
        image: &DerivedImage,
        source: &Reference,
        target: &Reference,
    ) -> Result<Published, RegistryError> {
        let endpoint = self.endpoint(target.registry());
        let mut scope = scope_of(target, true);
        if source.repository() != target.repository() {
            scope.mount_from = vec![source.repository().to_owned()];
            let mounts = image.shared.iter().map(|blob| {
                let (endpoint, scope) = (&endpoint, &scope);
                async move {
                    let upload = Upload {
                        registry: self,
                        endpoint,
                        scope,
                        blob,
                        bytes: BlobBytes::Memory(Bytes::new()),
                        notify: Arc::new(|_| {}),
                        known: KnownBlob::Nothing,
                        turns: &Semaphore::new(1),
                    };
                    upload.mount().await
                }
            });
            futures::stream::iter(mounts.collect::<Vec<_>>())
                .buffer_unordered(self.options.parallel.max(1))
                .try_collect::<()>()
                .await?;
            scope.mount_from.clear();
        }
        let uploads = image.blobs.iter().map(|(blob, bytes)| {
            let (kind, bytes) = (blob.media_type().clone(), bytes.clone());
            self.push_bytes(&endpoint, &scope, kind, bytes, KnownBlob::Nothing)
        });
        futures::stream::iter(uploads.collect::<Vec<_>>())
            .buffer_unordered(self.options.parallel.max(1))
            .try_collect::<Vec<_>>()
            .await?;
        let Some(((top, top_bytes), below)) = image.documents.split_last() else {
            unreachable!("an image has a manifest");
        };
        for (document, bytes) in below {
            let (at, kind) = (document.digest().as_ref(), document.media_type());
            self.put_manifest(&endpoint, &scope, at, kind, bytes.clone())
                .await?;
        }
        let at = target.tag().unwrap_or(top.digest().as_ref()).to_owned();
        self.put_manifest(&endpoint, &scope, &at, top.media_type(), top_bytes.clone())
            .await?;
        Ok(Published {
            reference: match target.tag() {
                Some(tag) => with_tag(target, tag),
                None => target.clone_with_digest(top.digest().to_string()),
            },
            descriptor: top.clone(),
        })
    }
}
