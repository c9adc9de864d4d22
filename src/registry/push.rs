//! Pushing an image from disk: its blobs side by side, then its manifests, the one
//! that gets the tag last. So a push that breaks off leaves no image behind that
//! lacks something.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use mlbuild_manifests::digest::sha256;
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest, MediaType};
use reqwest::Method;

use super::call::{Call, CallBody, Target};
use super::endpoint::Endpoint;
use super::error::RegistryError;
use super::progress::{PushEvent, PushProgress};
use super::pull::{stated_digest, with_tag};
use super::scope::{Scope, scope_of};
use super::upload::{BlobBytes, Notify, Upload, upload_location};
use super::{Published, Registry};
use crate::image::{LayoutError, OciLayout};

impl Registry {
    /// Pushes the one image of a layout, with its attestations, and returns what the
    /// registry confirmed. `mount_from` names repositories of the same registry that may
    /// have some of the blobs (the base image's); blobs that the layout lacks must be there.
    pub async fn push_layout(
        &self,
        layout: &OciLayout,
        reference: &Reference,
        mount_from: &[String],
        progress: PushProgress,
    ) -> Result<Published, RegistryError> {
        let top = layout.top()?.clone();
        let all = layout.closure(&top)?;
        let blobs: Vec<Descriptor> = all
            .iter()
            .filter(|(_, is_document)| !is_document)
            .map(|(d, _)| d.clone())
            .collect();
        progress(PushEvent::Planned {
            blobs: blobs.clone(),
        });

        let endpoint = self.endpoint(reference.registry());
        let mut scope = scope_of(reference, true);
        scope.mount_from = mount_from.to_vec();
        scope.mount_from.retain(|from| *from != scope.repository);
        let pushed = self
            .push_blobs(layout, &endpoint, &scope, &blobs, &progress)
            .await;
        match pushed {
            // Some token servers refuse the whole for a neighbour that we may not read.
            Err(RegistryError::Unauthorized { .. } | RegistryError::Denied { .. })
                if !scope.mount_from.is_empty() =>
            {
                scope.mount_from.clear();
                self.push_blobs(layout, &endpoint, &scope, &blobs, &progress)
                    .await?;
            }
            other => other?,
        }

        scope.mount_from.clear();
        for (document, _) in all.iter().filter(|(_, is_document)| *is_document) {
            let bytes = Bytes::from(layout.document(document)?);
            if document.digest() != top.digest() {
                let at = document.digest().as_ref();
                self.put_manifest(&endpoint, &scope, at, document.media_type(), bytes)
                    .await?;
            } else {
                let at = reference
                    .tag()
                    .unwrap_or(document.digest().as_ref())
                    .to_owned();
                self.put_manifest(&endpoint, &scope, &at, document.media_type(), bytes)
                    .await?;
            }
            progress(PushEvent::Manifest {
                digest: document.digest().clone(),
            });
        }
        let reference = match reference.tag() {
            Some(tag) => with_tag(reference, tag),
            None => reference.clone_with_digest(top.digest().to_string()),
        };
        let size = top.size();
        let descriptor = Descriptor::new(top.media_type().clone(), size, top.digest().clone());
        Ok(Published {
            reference,
            descriptor,
        })
    }

    /// Asks whether the registry would let us push there, before a long build finds out:
    /// opens an upload and gives it up again.
    pub async fn check_push(&self, reference: &Reference) -> Result<(), RegistryError> {
        let endpoint = self.endpoint(reference.registry());
        let scope = scope_of(reference, true);
        let what = format!("asking to push to {}", scope.repository);
        let mut call = Call {
            method: Method::POST,
            target: Target::Path(format!("{}/blobs/uploads/", scope.repository)),
            headers: Vec::new(),
            body: CallBody::Empty,
            scope: &scope,
            what: &what,
        };
        let answer = self.send(&endpoint, &call).await?;
        if !answer.status().is_success() {
            return Err(self.refused(&endpoint, &call, answer).await);
        }
        if let Ok(location) = upload_location(&answer) {
            call.method = Method::DELETE;
            call.target = Target::Url(&location);
            // Registries throw old uploads away by themselves, too.
            let _ = endpoint.send_once(&call, &self.options.credentials).await;
        }
        Ok(())
    }

    async fn push_blobs(
        &self,
        layout: &OciLayout,
        endpoint: &Endpoint,
        scope: &Scope,
        blobs: &[Descriptor],
        progress: &PushProgress,
    ) -> Result<(), RegistryError> {
        // Largest first, so that the last one to finish is a small one.
        let mut order: Vec<&Descriptor> = blobs.iter().collect();
        order.sort_by_key(|blob| std::cmp::Reverse(blob.size()));
        let pushes = order
            .into_iter()
            .map(|blob| self.push_blob(layout, endpoint, scope, blob, progress.clone()));
        futures::stream::iter(pushes.collect::<Vec<_>>())
            .buffer_unordered(self.options.parallel.max(1))
            .try_collect()
            .await
    }

    async fn push_blob(
        &self,
        layout: &OciLayout,
        endpoint: &Endpoint,
        scope: &Scope,
        blob: &Descriptor,
        notify: Notify,
    ) -> Result<(), RegistryError> {
        let upload = |bytes| Upload {
            registry: self,
            endpoint,
            scope,
            blob,
            bytes,
            notify: notify.clone(),
        };
        let source = match layout.blob(blob.digest()) {
            // A layer of the base, which the registry may have.
            Err(LayoutError::MissingBlob { .. }) => {
                return upload(BlobBytes::Memory(Bytes::new())).mount().await;
            }
            other => other?,
        };
        if source.size != blob.size() {
            layout.verify_blob(blob)?;
        }
        upload(BlobBytes::Disk(&source)).run().await
    }

    /// Pushes a small blob from memory.
    pub(super) async fn push_bytes(
        &self,
        endpoint: &Endpoint,
        scope: &Scope,
        media_type: MediaType,
        bytes: Bytes,
    ) -> Result<Descriptor, RegistryError> {
        let blob = Descriptor::new(media_type, bytes.len() as u64, sha256(&bytes));
        let notify: Notify = Arc::new(|_| {});
        let bytes = BlobBytes::Memory(bytes);
        Upload {
            registry: self,
            endpoint,
            scope,
            blob: &blob,
            bytes,
            notify,
        }
        .run()
        .await?;
        Ok(blob)
    }

    /// Puts a manifest or index in place, and checks the digest that the registry gives it.
    /// Returns the digest of the `OCI-Subject` header, if the registry handled a subject.
    pub(super) async fn put_manifest(
        &self,
        endpoint: &Endpoint,
        scope: &Scope,
        at: &str,
        media_type: &MediaType,
        bytes: Bytes,
    ) -> Result<Option<Digest>, RegistryError> {
        let what = format!("pushing the manifest {at} to {}", scope.repository);
        let digest = sha256(&bytes);
        let call = Call {
            method: Method::PUT,
            target: Target::Path(format!("{}/manifests/{at}", scope.repository)),
            headers: vec![("content-type", media_type.to_string())],
            body: CallBody::Bytes(bytes),
            scope,
            what: &what,
        };
        let mut tried = 0;
        let answer = loop {
            tried += 1;
            let answer = self.send(endpoint, &call).await?;
            if answer.status().is_success() {
                break answer;
            }
            let refused = self.refused(endpoint, &call, answer).await;
            if tried >= self.options.retry.attempts || !is_blob_in_the_making(&refused) {
                return Err(refused);
            }
            tokio::time::sleep(self.options.retry.wait(tried)).await;
        };
        let subject = answer
            .headers()
            .get("oci-subject")
            .and_then(|v| v.to_str().ok()?.parse().ok());
        let confirmed = match stated_digest(&answer) {
            Some(stated) => Some(stated),
            None => {
                let reference = match at.parse::<Digest>() {
                    Ok(_) => Reference::with_digest(
                        scope.registry.clone(),
                        scope.repository.clone(),
                        at.to_owned(),
                    ),
                    Err(_) => Reference::with_tag(
                        scope.registry.clone(),
                        scope.repository.clone(),
                        at.to_owned(),
                    ),
                };
                self.head_at(endpoint, &reference)
                    .await?
                    .map(|d| d.digest().clone())
            }
        };
        if confirmed.as_ref() != Some(&digest) {
            return Err(RegistryError::DigestMismatch {
                registry: endpoint.name.clone(),
                what,
                expected: digest.to_string(),
                found: confirmed.map_or("nothing".to_owned(), |d| d.to_string()),
            });
        }
        Ok(subject)
    }
}

/// True where a registry doesn't know a blob that it has just taken. Distribution 2.8 writes the
/// file that makes a blob part of a repository in place: while somebody else uploads the same
/// blob, it is empty for a moment.
fn is_blob_in_the_making(refused: &RegistryError) -> bool {
    matches!(refused, RegistryError::Server { status: 400 | 404, message, .. }
        if message.contains("blob unknown"))
}
