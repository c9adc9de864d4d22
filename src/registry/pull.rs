//! Asking what a registry has: manifests, and small blobs.

use mlbuild_manifests::digest::sha256;
use mlbuild_waits::Flow;
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest, ImageIndex, ImageManifest, MediaType, Platform};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Method, Response, StatusCode};

use super::call::{Call, CallBody, Target};
use super::endpoint::Endpoint;
use super::error::RegistryError;
use super::platform::{platform_matches, platform_name};
use super::retry::{CallFailure, is_transient, next_piece, refusal};
use super::scope::{Scope, scope_of};
use super::{Registry, Resolved};
use crate::image::{PlatformImage, is_attestation, is_index, is_manifest};

/// Largest manifest or document that is taken, in bytes.
pub(super) const MAX_DOCUMENT: usize = 4 << 20;

/// Most manifests of an index; images for all platforms have some thirty, attestations included.
const MOST_OF_INDEX: usize = 512;

/// Every kind of manifest that is understood.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// Header in which a registry says which digest it means.
pub(super) const CONTENT_DIGEST: &str = "docker-content-digest";

impl Registry {
    /// What a reference names now, in one round trip; `None` if it isn't there.
    pub async fn head(&self, reference: &Reference) -> Result<Option<Descriptor>, RegistryError> {
        let endpoint = self.endpoint(reference.registry());
        self.head_at(&endpoint, reference).await
    }

    /// True if the reference names this digest now: its tag if it has one, else the digest
    /// itself in its repository. One round trip (where no token has to be fetched).
    pub async fn exists(
        &self,
        reference: &Reference,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let asked = match reference.tag() {
            Some(tag) => with_tag(reference, tag),
            None => reference.clone_with_digest(digest.to_string()),
        };
        Ok(self
            .head(&asked)
            .await?
            .is_some_and(|found| found.digest() == digest))
    }

    /// What a reference means now: its digest and the manifests of its platforms.
    /// Mirrors are asked first. With `platform`, only that one is looked for, and an
    /// image that lacks it is an error that lists those it has.
    pub async fn resolve(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
    ) -> Result<Resolved, RegistryError> {
        let (descriptor, bytes) = self.pull_manifest(reference).await?;
        let pinned = match reference.tag() {
            Some(tag) => Reference::with_tag_and_digest(
                reference.registry().to_owned(),
                reference.repository().to_owned(),
                tag.to_owned(),
                descriptor.digest().to_string(),
            ),
            None => reference.clone_with_digest(descriptor.digest().to_string()),
        };
        let is_index = is_index(descriptor.media_type());
        let mut manifests = if is_index {
            self.index_platforms(reference, &bytes).await?
        } else {
            let image = self.image_of(reference, descriptor.clone(), &bytes).await?;
            vec![(image.platform, descriptor.clone())]
        };
        choose(reference, platform, &mut manifests)?;
        Ok(Resolved {
            reference: pinned,
            descriptor,
            is_index,
            manifests,
        })
    }

    /// The images behind a reference with configuration and layers, as a lock records them.
    pub async fn images(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
    ) -> Result<Vec<PlatformImage>, RegistryError> {
        let (descriptor, bytes) = self.pull_manifest(reference).await?;
        let mut images = Vec::new();
        if is_index(descriptor.media_type()) {
            let mut manifests = self.index_platforms(reference, &bytes).await?;
            choose(reference, platform, &mut manifests)?;
            for (_, manifest) in manifests {
                images.push(self.image_at(reference, &manifest).await?);
            }
        } else {
            let image = self.image_of(reference, descriptor, &bytes).await?;
            let mut only = vec![(image.platform.clone(), image)];
            choose(reference, platform, &mut only)?;
            images.extend(only.into_iter().map(|(_, image)| image));
        }
        Ok(images)
    }

    /// The bytes of a manifest or index, checked against its digest.
    pub async fn pull_manifest(
        &self,
        reference: &Reference,
    ) -> Result<(Descriptor, Vec<u8>), RegistryError> {
        let known = reference.digest();
        let known = known.and_then(|digest| self.known.get(reference, digest));
        if let Some((Some(kind), bytes)) = known {
            let descriptor = Descriptor::new(kind, bytes.len() as u64, sha256(&bytes));
            return Ok((descriptor, bytes));
        }
        let (descriptor, bytes) = self.fetch_manifest(reference).await?;
        let digest = descriptor.digest().as_ref();
        let kind = Some(descriptor.media_type());
        self.known.keep(reference, digest, kind, &bytes);
        Ok((descriptor, bytes))
    }

    async fn fetch_manifest(
        &self,
        reference: &Reference,
    ) -> Result<(Descriptor, Vec<u8>), RegistryError> {
        for mirror in self.mirrors(reference.registry()) {
            match self.pull_manifest_at(&mirror, reference).await {
                Ok(found) => return Ok(found),
                Err(RegistryError::Unreachable { .. }) => mirror.note_down(),
                Err(_) => {}
            }
        }
        let endpoint = self.endpoint(reference.registry());
        self.pull_manifest_at(&endpoint, reference).await
    }

    /// The bytes of a small blob (a configuration, a document), checked against its digest.
    pub async fn pull_blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
    ) -> Result<Vec<u8>, RegistryError> {
        self.pull_blob_up_to(reference, blob, MAX_DOCUMENT).await
    }

    /// As [`Registry::pull_blob`], for a blob of at most this many bytes.
    pub async fn pull_blob_up_to(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        limit: usize,
    ) -> Result<Vec<u8>, RegistryError> {
        let digest = blob.digest().as_ref();
        if let Some((_, bytes)) = self.known.get(reference, digest)
            && bytes.len() <= limit
        {
            return Ok(bytes);
        }
        let bytes = self.fetch_blob(reference, blob, limit).await?;
        self.known.keep(reference, digest, None, &bytes);
        Ok(bytes)
    }

    async fn fetch_blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        limit: usize,
    ) -> Result<Vec<u8>, RegistryError> {
        for mirror in self.mirrors(reference.registry()) {
            if let Ok(found) = self.pull_blob_at(&mirror, reference, blob, limit).await {
                return Ok(found);
            }
        }
        let endpoint = self.endpoint(reference.registry());
        self.pull_blob_at(&endpoint, reference, blob, limit).await
    }

    pub(super) async fn head_at(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
    ) -> Result<Option<Descriptor>, RegistryError> {
        let scope = scope_of(reference, false);
        let what = format!("looking up {reference}");
        let call = manifest_call(Method::HEAD, reference, &scope, &what);
        let answer = self.send(endpoint, &call).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !answer.status().is_success() {
            return Err(self.refused(endpoint, &call, answer).await);
        }
        let Some(digest) = stated_digest(&answer) else {
            // Optional in the specification: then the content has to tell.
            return self
                .pull_manifest_at(endpoint, reference)
                .await
                .map(|(d, _)| Some(d));
        };
        let size = answer
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|v| v.to_str().ok()?.parse().ok());
        Ok(Some(Descriptor::new(
            media_type(&answer),
            size.unwrap_or(0),
            digest,
        )))
    }

    pub(super) async fn pull_manifest_at(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
    ) -> Result<(Descriptor, Vec<u8>), RegistryError> {
        let scope = scope_of(reference, false);
        let what = format!("pulling {reference}");
        let call = manifest_call(Method::GET, reference, &scope, &what);
        let fetched = self.fetch(endpoint, &call, MAX_DOCUMENT).await;
        let (answer, bytes) = fetched.map_err(|e| match e {
            RegistryError::NotFound { .. } => RegistryError::NotFound {
                reference: reference.to_string(),
            },
            other => other,
        })?;
        let digest = sha256(&bytes);
        if let Some(expected) = reference.digest()
            && expected != digest.as_ref()
        {
            return Err(mismatch(endpoint, &what, expected, &digest));
        }
        let mut kind = media_type(&answer);
        if !is_index(&kind) && !is_manifest(&kind) {
            // Some registries send a general type; the document names its own.
            let own: serde_json::Value = self.parsed(reference, &bytes)?;
            kind = MediaType::from(own["mediaType"].as_str().unwrap_or(kind.as_ref()));
        }
        if !is_index(&kind) && !is_manifest(&kind) {
            return Err(RegistryError::Malformed {
                registry: endpoint.name.clone(),
                what,
                why: format!("it is {kind}, which is no image"),
            });
        }
        Ok((Descriptor::new(kind, bytes.len() as u64, digest), bytes))
    }

    async fn pull_blob_at(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        blob: &Descriptor,
        limit: usize,
    ) -> Result<Vec<u8>, RegistryError> {
        let scope = scope_of(reference, false);
        let what = format!("pulling {} of {}", blob.digest(), reference.repository());
        let path = format!("{}/blobs/{}", reference.repository(), blob.digest());
        let call = Call {
            method: Method::GET,
            target: Target::Path(path),
            headers: Vec::new(),
            body: CallBody::Empty,
            scope: &scope,
            what: &what,
        };
        let fetched = self.fetch(endpoint, &call, limit).await;
        let (_, bytes) = fetched.map_err(|error| missing_blob(error, reference, blob))?;
        let digest = sha256(&bytes);
        if digest != *blob.digest() {
            return Err(mismatch(endpoint, &what, blob.digest().as_ref(), &digest));
        }
        Ok(bytes)
    }

    /// A successful answer and its body, repeated if the body breaks off.
    pub(super) async fn fetch(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        limit: usize,
    ) -> Result<(Response, Vec<u8>), RegistryError> {
        let mut tried = 0;
        loop {
            tried += 1;
            let mut answer = self.send(endpoint, call).await?;
            if !answer.status().is_success() {
                return Err(self.refused(endpoint, call, answer).await);
            }
            let mut bytes = Vec::new();
            let mut flow = Flow::from(endpoint.peer());
            let broken = loop {
                match next_piece(&mut flow, &mut answer).await {
                    Ok(None) => break None,
                    Ok(Some(piece)) => bytes.extend_from_slice(&piece),
                    Err(failure) => break Some(failure),
                }
                if bytes.len() > limit {
                    return Err(RegistryError::Malformed {
                        registry: endpoint.name.clone(),
                        what: call.what.to_owned(),
                        why: format!("it is larger than {limit} bytes"),
                    });
                }
            };
            match broken {
                None => return Ok((answer, bytes)),
                Some(failure)
                    if !failure.is_worth_a_try(endpoint, tried, self.options.retry.attempts) =>
                {
                    return Err(failure.given_up(endpoint, call.what, tried));
                }
                Some(_) => tokio::time::sleep(self.options.retry.wait(tried)).await,
            }
        }
    }

    /// The error for an answer that isn't a success, after all tries.
    pub(super) async fn refused(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        answer: Response,
    ) -> RegistryError {
        let status = answer.status();
        match refusal(call.scope, call.what, answer).await {
            CallFailure::Transient { why, .. } => RegistryError::Server {
                registry: endpoint.name.clone(),
                what: call.what.to_owned(),
                status: status.as_u16(),
                message: if is_transient(status) {
                    // The error begins with the status itself.
                    let why = why.trim_start_matches(status.as_str()).trim_start();
                    format!("{why} ({} tries)", self.options.retry.attempts)
                } else {
                    why
                },
            },
            other => other.given_up(endpoint, call.what, 1),
        }
    }

    /// The images of an index by platform, attestations left out.
    async fn index_platforms(
        &self,
        reference: &Reference,
        bytes: &[u8],
    ) -> Result<Vec<(Platform, Descriptor)>, RegistryError> {
        let index: ImageIndex = self.parsed(reference, bytes)?;
        if index.manifests().len() > MOST_OF_INDEX {
            let why = format!("it lists more than {MOST_OF_INDEX} manifests");
            return Err(self.malformed(reference, why));
        }
        let mut found = Vec::new();
        for manifest in index.manifests().iter().filter(|d| !is_attestation(d)) {
            // An index need not say: then the image's configuration does.
            let platform = match manifest.platform() {
                Some(platform) => platform.clone(),
                None => self.image_at(reference, manifest).await?.platform,
            };
            found.push((platform, manifest.clone()));
        }
        Ok(found)
    }

    async fn image_at(
        &self,
        reference: &Reference,
        manifest: &Descriptor,
    ) -> Result<PlatformImage, RegistryError> {
        let exact = reference.clone_with_digest(manifest.digest().to_string());
        let pulled = self.pull_manifest(&exact).await;
        let (found, bytes) = pulled.map_err(|error| match error {
            // The index is there: it is what it lists that isn't.
            RegistryError::NotFound { .. } => self.malformed(
                reference,
                format!("it lists {}, which isn't there", manifest.digest()),
            ),
            other => other,
        })?;
        self.image_of(reference, found, &bytes).await
    }

    async fn image_of(
        &self,
        reference: &Reference,
        manifest: Descriptor,
        bytes: &[u8],
    ) -> Result<PlatformImage, RegistryError> {
        let parsed: ImageManifest = self.parsed(reference, bytes)?;
        let config = self.pull_blob(reference, parsed.config()).await?;
        PlatformImage::join(manifest, bytes, &config).map_err(|why| self.malformed(reference, why))
    }

    pub(super) fn parsed<T: serde::de::DeserializeOwned>(
        &self,
        reference: &Reference,
        bytes: &[u8],
    ) -> Result<T, RegistryError> {
        serde_json::from_slice(bytes).map_err(|e| self.malformed(reference, e.to_string()))
    }

    fn malformed(&self, reference: &Reference, why: String) -> RegistryError {
        RegistryError::Malformed {
            registry: reference.registry().to_owned(),
            what: reference.to_string(),
            why,
        }
    }
}

/// Keeps what is for the platform that was asked for; all of it if none was.
fn choose<T>(
    reference: &Reference,
    wanted: Option<&Platform>,
    found: &mut Vec<(Platform, T)>,
) -> Result<(), RegistryError> {
    let Some(wanted) = wanted else { return Ok(()) };
    let available: Vec<String> = found.iter().map(|(p, _)| platform_name(p)).collect();
    found.retain(|(offered, _)| platform_matches(wanted, offered));
    if found.is_empty() {
        return Err(RegistryError::NoSuchPlatform {
            reference: reference.to_string(),
            wanted: platform_name(wanted),
            available,
        });
    }
    Ok(())
}

fn manifest_call<'a>(
    method: Method,
    reference: &Reference,
    scope: &'a Scope,
    what: &'a str,
) -> Call<'a> {
    let at = reference.digest().or(reference.tag()).unwrap_or("latest");
    Call {
        method,
        target: Target::Path(format!("{}/manifests/{at}", reference.repository())),
        headers: vec![("accept", MANIFESTS.to_owned())],
        body: CallBody::Empty,
        scope,
        what,
    }
}

/// The same repository with this tag and no digest.
pub(super) fn with_tag(reference: &Reference, tag: &str) -> Reference {
    Reference::with_tag(
        reference.registry().to_owned(),
        reference.repository().to_owned(),
        tag.to_owned(),
    )
}

/// The digest that the registry says it means.
pub(super) fn stated_digest(answer: &Response) -> Option<Digest> {
    answer
        .headers()
        .get(CONTENT_DIGEST)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn media_type(answer: &Response) -> MediaType {
    let text = answer
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    MediaType::from(text.split(';').next().unwrap_or_default().trim())
}

/// An answer that a blob isn't there, with the blob's name: the repository may well be.
pub(super) fn missing_blob(
    error: RegistryError,
    reference: &Reference,
    blob: &Descriptor,
) -> RegistryError {
    match error {
        RegistryError::NotFound { reference: place } => RegistryError::NotFound {
            reference: format!("{} of {place}, which {reference} needs,", blob.digest()),
        },
        other => other,
    }
}

fn mismatch(endpoint: &Endpoint, what: &str, expected: &str, found: &Digest) -> RegistryError {
    RegistryError::DigestMismatch {
        registry: endpoint.name.clone(),
        what: what.to_owned(),
        expected: expected.to_owned(),
        found: found.to_string(),
    }
}
