//! Pushing an image from disk: its blobs side by side, then its manifests, the one
//! that gets the tag last. So a push that breaks off leaves no image behind that
//! lacks something.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use mlbuild_manifests::digest::sha256;
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest, ImageIndex, ImageManifest, MediaType};
use reqwest::Method;
use tokio::sync::Semaphore;

use super::call::{Call, CallBody, Target};
use super::endpoint::Endpoint;
use super::error::RegistryError;
use super::progress::{PushEvent, PushProgress};
use super::pull::{stated_digest, with_tag};
use super::scope::{Scope, scope_of};
use super::upload::{BlobBytes, KnownBlob, Notify, Upload, upload_location};
use super::{Published, Registry};
use crate::image::{LayoutError, OciLayout, is_index};

/// Blobs that are asked for at once; of those that are sent, options say how many.
const ASKED_AT_ONCE: usize = 8;
/// Bytes of a blob that is sent without being asked for, where it is known to be new.
const SMALL: u64 = 256 << 10;
/// Tries of a manifest whose blobs can still be sent again.
const FEW: u32 = 3;
/// Images of an index that are asked for what they name.
const MOST_HELD: usize = 16;

/// What is known of a repository before an image is pushed there. It saves questions; where it is wrong,
/// they are asked.
#[derive(Clone, Debug, Default)]
pub struct PushHints {
    /// Repositories of the same registry that may have some of the blobs (the base image's).
    pub mount_from: Vec<String>,
    /// Blobs with the one of those repositories that has them.
    pub lenders: HashMap<Digest, String>,
    /// A manifest in the very repository: as long as that is there, so is what it names.
    pub before: Option<Digest>,
    /// Whether it lacked a blob that it said to have: then all are sent, and none is asked for.
    pub is_doubted: bool,
}

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
        let hints = PushHints {
            mount_from: mount_from.to_vec(),
            ..PushHints::default()
        };
        self.push_knowing(layout, reference, &hints, progress).await
    }

    /// As [`Registry::push_layout`], with what is known of the repository.
    ///
    /// # Errors
    /// As [`Registry::push_layout`].
    pub async fn push_knowing(
        &self,
        layout: &OciLayout,
        reference: &Reference,
        hints: &PushHints,
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
        scope.mount_from.clone_from(&hints.mount_from);
        scope.mount_from.retain(|from| *from != scope.repository);
        let held = self.held(&endpoint, &scope, hints.before.as_ref()).await;
        let pushing = BlobPush {
            registry: self,
            layout,
            endpoint: &endpoint,
            lenders: &hints.lenders,
            held,
            is_doubted: hints.is_doubted,
            turns: Semaphore::new(self.options.parallel.max(1)),
            progress: &progress,
        };
        let pushed = pushing.all(&scope, &blobs).await;
        match pushed {
            // Some token servers refuse the whole for a neighbour that we may not read.
            Err(RegistryError::Unauthorized { .. } | RegistryError::Denied { .. })
                if !scope.mount_from.is_empty() =>
            {
                scope.mount_from.clear();
                pushing.all(&scope, &blobs).await?;
            }
            other => other?,
        }

        scope.mount_from.clear();
        let documents = all.iter().filter(|(_, is_document)| *is_document);
        let documents = documents.map(|(document, _)| document);
        if !pushing.place(&scope, reference, &top, documents).await? {
            // What the manifest before names isn't there after all; or a blob that was there a moment ago.
            let again = PushHints {
                before: None,
                is_doubted: pushing.held.is_none(),
                ..hints.clone()
            };
            return Box::pin(self.push_knowing(layout, reference, &again, progress)).await;
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

    /// What a manifest of this repository names, as long as it is there: a registry that removes a blob
    /// leaves those alone that a manifest names. Of an index that is what its images name. `None` where it
    /// isn't there, or can't be asked.
    async fn held(
        &self,
        endpoint: &Endpoint,
        scope: &Scope,
        manifest: Option<&Digest>,
    ) -> Option<HashSet<Digest>> {
        let at = |digest: &Digest| {
            let (registry, repository) = (scope.registry.clone(), scope.repository.clone());
            Reference::with_digest(registry, repository, digest.to_string())
        };
        let (top, bytes) = self.pull_manifest_at(endpoint, &at(manifest?)).await.ok()?;
        if !is_index(top.media_type()) {
            return named_by(&bytes);
        }
        let index: ImageIndex = serde_json::from_slice(&bytes).ok()?;
        let mut held = HashSet::new();
        for image in index.manifests().iter().take(MOST_HELD) {
            let (_, bytes) = self
                .pull_manifest_at(endpoint, &at(image.digest()))
                .await
                .ok()?;
            held.extend(named_by(&bytes)?);
        }
        Some(held)
    }

    /// A document that the registry has just confirmed isn't fetched again, nor is its configuration.
    fn keep_pushed(
        &self,
        layout: &OciLayout,
        reference: &Reference,
        document: &Descriptor,
        bytes: &[u8],
    ) {
        let kind = Some(document.media_type());
        self.known
            .keep(reference, document.digest().as_ref(), kind, bytes);
        let Ok(manifest) = serde_json::from_slice::<ImageManifest>(bytes) else {
            return;
        };
        let config = manifest.config();
        if let Ok(bytes) = layout.document(config) {
            self.known
                .keep(reference, config.digest().as_ref(), None, &bytes);
        }
    }

    /// Pushes a small blob from memory.
    pub(super) async fn push_bytes(
        &self,
        endpoint: &Endpoint,
        scope: &Scope,
        media_type: MediaType,
        bytes: Bytes,
        known: KnownBlob<'_>,
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
            known,
            turns: &Semaphore::new(1),
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
        let tries = self.options.retry.attempts;
        self.put_manifest_in(tries, endpoint, scope, at, media_type, bytes)
            .await
    }

    /// As [`put_manifest`](Self::put_manifest), with so many tries where the registry doesn't know a blob.
    async fn put_manifest_in(
        &self,
        tries: u32,
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
            if tried >= tries || !is_blob_in_the_making(&refused) {
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

/// The blobs that an image's manifest names.
fn named_by(manifest: &[u8]) -> Option<HashSet<Digest>> {
    let named: ImageManifest = serde_json::from_slice(manifest).ok()?;
    let blobs = named.layers().iter().chain([named.config()]);
    Some(blobs.map(|blob| blob.digest().clone()).collect())
}

/// The blobs of one image on their way.
struct BlobPush<'a> {
    registry: &'a Registry,
    layout: &'a OciLayout,
    endpoint: &'a Endpoint,
    lenders: &'a HashMap<Digest, String>,
    /// Blobs that are there, where a manifest that names them is.
    held: Option<HashSet<Digest>>,
    /// Whether the registry's word that it has a blob is no answer.
    is_doubted: bool,
    turns: Semaphore,
    progress: &'a PushProgress,
}

impl BlobPush<'_> {
    async fn all(&self, scope: &Scope, blobs: &[Descriptor]) -> Result<(), RegistryError> {
        // Largest first, so that the last one to finish is a small one.
        let mut order: Vec<&Descriptor> = blobs.iter().collect();
        order.sort_by_key(|blob| std::cmp::Reverse(blob.size()));
        let pushes = order.into_iter().map(|blob| self.one(scope, blob));
        futures::stream::iter(pushes.collect::<Vec<_>>())
            .buffer_unordered(ASKED_AT_ONCE.max(self.registry.options.parallel))
            .try_collect()
            .await
    }

    async fn one(&self, scope: &Scope, blob: &Descriptor) -> Result<(), RegistryError> {
        let digest = blob.digest();
        if self.held.as_ref().is_some_and(|held| held.contains(digest)) {
            let digest = digest.clone();
            (self.progress)(PushEvent::Exists { digest });
            return Ok(());
        }
        let lender = self.lenders.get(digest).map(String::as_str);
        let lender = lender.filter(|from| scope.mount_from.iter().any(|one| one == from));
        let known = match lender {
            _ if self.is_doubted => KnownBlob::New,
            Some(from) => KnownBlob::At(from),
            None if self.held.is_some() && blob.size() <= SMALL => KnownBlob::New,
            None => KnownBlob::Nothing,
        };
        let upload = |bytes| Upload {
            registry: self.registry,
            endpoint: self.endpoint,
            scope,
            blob,
            bytes,
            notify: self.progress.clone(),
            known,
            turns: &self.turns,
        };
        let source = match self.layout.blob(digest) {
            // A layer of the base, which the registry may have.
            Err(LayoutError::MissingBlob { .. }) => {
                return upload(BlobBytes::Memory(Bytes::new())).mount().await;
            }
            other => other?,
        };
        if source.size != blob.size() {
            self.layout.verify_blob(blob)?;
        }
        upload(BlobBytes::Disk(&source)).run().await
    }
}

impl BlobPush<'_> {
    /// Puts the documents in place, `top` under the reference's tag; false where the registry lacks a blob
    /// that it, or another manifest, was said to hold.
    async fn place(
        &self,
        scope: &Scope,
        reference: &Reference,
        top: &Descriptor,
        documents: impl Iterator<Item = &Descriptor>,
    ) -> Result<bool, RegistryError> {
        let (registry, endpoint) = (self.registry, self.endpoint);
        // Without such a manifest it may be a blob that somebody else sends at this moment.
        let tries = match self.held {
            Some(_) => 1,
            None if !self.is_doubted => registry.options.retry.attempts.min(FEW),
            None => registry.options.retry.attempts,
        };
        for document in documents {
            let bytes = Bytes::from(self.layout.document(document)?);
            let tag = reference
                .tag()
                .filter(|_| document.digest() == top.digest());
            let at = tag.unwrap_or(document.digest().as_ref());
            let (kind, put) = (document.media_type(), bytes.clone());
            let placed = registry.put_manifest_in(tries, endpoint, scope, at, kind, put);
            match placed.await {
                Err(error) if !self.is_doubted && is_blob_in_the_making(&error) => {
                    return Ok(false);
                }
                other => other?,
            };
            (self.progress)(PushEvent::Manifest {
                digest: document.digest().clone(),
            });
            registry.keep_pushed(self.layout, reference, document, &bytes);
        }
        Ok(true)
    }
}

/// True where a registry doesn't know a blob that it has just taken. Distribution 2.8 writes the
/// file that makes a blob part of a repository in place: while somebody else uploads the same
/// blob, it is empty for a moment.
fn is_blob_in_the_making(refused: &RegistryError) -> bool {
    matches!(refused, RegistryError::Server { status: 400 | 404, message, .. }
        if message.contains("blob unknown"))
}
