//! Documents that belong to an image: OCI artifacts whose `subject` is its manifest.
//!
//! Registries without the referrers API get the fallback that the specification
//! describes: an index under the tag `sha256-<digest>`, kept up to date by clients.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use mlbuild_manifests::digest::sha256;
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest, ImageManifest, MediaType};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::call::{Call, CallBody, Target};
use super::endpoint::Endpoint;
use super::error::RegistryError;
use super::pull::{MAX_DOCUMENT, with_tag};
use super::retry::bounded;
use super::scope::scope_of;
use super::upload::KnownBlob;
use super::{Referrer, Registry};

/// Most blobs of an attached document. Ours have two, and each is bounded by itself.
const MAX_BLOBS: usize = 16;
/// Bytes of a document that is sent without being asked for.
const SMALL: usize = 256 << 10;
/// How often a fallback tag that somebody else writes too is written again.
const FALLBACK_TRIES: u32 = 10;
/// Before what was written there is read back.
const LEAST_WAIT: Duration = Duration::from_millis(20);

/// An OCI artifact manifest, in the order in which it is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Artifact<'a> {
    schema_version: u32,
    media_type: &'a str,
    artifact_type: &'a str,
    config: Descriptor,
    layers: Vec<Descriptor>,
    subject: Descriptor,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

/// What a registry lists: an index, whose list some write as `null` when it is empty.
#[derive(Deserialize)]
struct ReferrerList {
    manifests: Option<Vec<Descriptor>>,
}

/// The fallback index. Descriptors stay JSON, so that what others wrote stays as it is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FallbackIndex {
    schema_version: u32,
    media_type: &'static str,
    manifests: Vec<serde_json::Value>,
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A document to attach to an image.
#[derive(Clone, Copy, Debug)]
pub struct Attachment<'a> {
    /// What kind of document it is.
    pub artifact_type: &'a str,
    /// Media type and bytes of each blob: the document first, then what belongs to it.
    pub blobs: &'a [(&'a str, &'a [u8])],
    /// Annotations of its manifest.
    pub annotations: &'a BTreeMap<String, String>,
}

impl Registry {
    /// Attaches a document to a manifest or index in the reference's repository: an OCI
    /// artifact with that subject. Where the registry has no referrers API, the fallback
    /// tag is kept too. Attaching the same bytes twice leaves one.
    pub async fn attach(
        &self,
        reference: &Reference,
        subject: &Descriptor,
        artifact_type: &str,
        document: &[u8],
        annotations: &BTreeMap<String, String>,
    ) -> Result<Descriptor, RegistryError> {
        let blobs = [(artifact_type, document)];
        self.attach_blobs(reference, subject, artifact_type, &blobs, annotations)
            .await
    }

    /// As [`Registry::attach`], with several blobs and their media types: the document first,
    /// then what belongs to it.
    pub async fn attach_blobs(
        &self,
        reference: &Reference,
        subject: &Descriptor,
        artifact_type: &str,
        blobs: &[(&str, &[u8])],
        annotations: &BTreeMap<String, String>,
    ) -> Result<Descriptor, RegistryError> {
        let document = Attachment {
            artifact_type,
            blobs,
            annotations,
        };
        let mut attached = self.attach_all(reference, subject, &[document]).await?;
        Ok(attached.swap_remove(0))
    }

    /// As [`Registry::attach_blobs`], with several documents side by side: where there is a fallback
    /// tag, it is written once for all of them.
    ///
    /// # Errors
    /// Where one of them isn't taken; others may be attached by then.
    pub async fn attach_all(
        &self,
        reference: &Reference,
        subject: &Descriptor,
        documents: &[Attachment<'_>],
    ) -> Result<Vec<Descriptor>, RegistryError> {
        // Every document has the same empty configuration: it is there before their manifests name it.
        let (endpoint, scope) = (
            self.endpoint(reference.registry()),
            scope_of(reference, true),
        );
        let empty = Bytes::from_static(b"{}");
        let (kind, known) = (MediaType::EmptyJSON, KnownBlob::Nothing);
        let config = self.push_bytes(&endpoint, &scope, kind, empty, known);
        let config = config.await?;
        let all = documents
            .iter()
            .map(|document| self.push_attachment(reference, subject, document, &config));
        let pushed = futures::future::try_join_all(all).await?;
        let unlisted =
            |(document, (descriptor, is_listed)): (&Attachment<'_>, &(Descriptor, bool))| {
                (!is_listed).then(|| {
                    serde_json::json!({
                        "mediaType": MANIFEST,
                        "digest": descriptor.digest(),
                        "size": descriptor.size(),
                        "artifactType": document.artifact_type,
                        "annotations": document.annotations,
                    })
                })
            };
        let entries: Vec<_> = documents.iter().zip(&pushed).filter_map(unlisted).collect();
        if !entries.is_empty() {
            self.add_to_fallback(&endpoint, reference, subject.digest(), &entries)
                .await?;
        }
        Ok(pushed
            .into_iter()
            .map(|(descriptor, _)| descriptor)
            .collect())
    }

    /// Pushes the manifest of a document and its blobs but the configuration, which is there; whether the
    /// registry lists it by itself.
    async fn push_attachment(
        &self,
        reference: &Reference,
        subject: &Descriptor,
        document: &Attachment<'_>,
        config: &Descriptor,
    ) -> Result<(Descriptor, bool), RegistryError> {
        let endpoint = self.endpoint(reference.registry());
        let scope = scope_of(reference, true);
        let blobs = document.blobs.iter().map(|(media_type, bytes)| {
            let (kind, bytes) = (MediaType::from(*media_type), Bytes::copy_from_slice(bytes));
            // Few documents are attached twice.
            let known = if bytes.len() <= SMALL {
                KnownBlob::New
            } else {
                KnownBlob::Nothing
            };
            self.push_bytes(&endpoint, &scope, kind, bytes, known)
        });
        let layers = futures::future::try_join_all(blobs).await?;
        let artifact = Artifact {
            schema_version: 2,
            media_type: MANIFEST,
            artifact_type: document.artifact_type,
            config: config.clone(),
            layers,
            subject: Descriptor::new(
                subject.media_type().clone(),
                subject.size(),
                subject.digest().clone(),
            ),
            annotations: document.annotations,
        };
        let bytes = Bytes::from(serde_json::to_vec(&artifact).expect("string keys only"));
        let descriptor =
            Descriptor::new(MediaType::ImageManifest, bytes.len() as u64, sha256(&bytes));
        let at = descriptor.digest().to_string();
        let handled = self
            .put_manifest(&endpoint, &scope, &at, &MediaType::ImageManifest, bytes)
            .await?;
        Ok((descriptor, handled.is_some()))
    }

    /// The documents attached to a digest, all or of one type.
    pub async fn referrers(
        &self,
        reference: &Reference,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Referrer>, RegistryError> {
        let endpoint = self.endpoint(reference.registry());
        let scope = scope_of(reference, false);
        let what = format!("listing what is attached to {subject}");
        let path = format!("{}/referrers/{subject}", reference.repository());
        let call = Call {
            method: Method::GET,
            target: Target::Path(path),
            headers: vec![("accept", INDEX.to_owned())],
            body: CallBody::Empty,
            scope: &scope,
            what: &what,
        };
        let answer = self.send(&endpoint, &call).await?;
        let index: ReferrerList = match answer.status() {
            StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED => {
                let tagged = with_tag(reference, &fallback_tag(subject));
                match self.pull_manifest_at(&endpoint, &tagged).await {
                    Ok((_, bytes)) => self.parsed(&tagged, &bytes)?,
                    Err(RegistryError::NotFound { .. }) => return Ok(Vec::new()),
                    Err(other) => return Err(other),
                }
            }
            status if status.is_success() => {
                let bytes = bounded(answer, MAX_DOCUMENT)
                    .await
                    .map_err(|why| endpoint.lost(&what, 1, why))?;
                self.parsed(reference, &bytes)?
            }
            _ => return Err(self.refused(&endpoint, &call, answer).await),
        };
        let all = index.manifests.iter().flatten().map(|d| Referrer {
            descriptor: d.clone(),
            artifact_type: d
                .artifact_type()
                .as_ref()
                .map(|t| t.to_string())
                .unwrap_or_default(),
            annotations: d
                .annotations()
                .clone()
                .unwrap_or_default()
                .into_iter()
                .collect(),
        });
        Ok(all
            .filter(|r| artifact_type.is_none_or(|t| t == r.artifact_type))
            .collect())
    }

    /// The bytes of an attached document.
    pub async fn pull_attached(
        &self,
        reference: &Reference,
        referrer: &Descriptor,
    ) -> Result<Vec<u8>, RegistryError> {
        let (_, document) = self
            .pull_attached_blobs(reference, referrer)
            .await?
            .swap_remove(0);
        Ok(document)
    }

    /// The blobs of an attached document with their media types: at least one.
    pub async fn pull_attached_blobs(
        &self,
        reference: &Reference,
        referrer: &Descriptor,
    ) -> Result<Vec<(String, Vec<u8>)>, RegistryError> {
        let exact = reference.clone_with_digest(referrer.digest().to_string());
        let (_, bytes) = self.pull_manifest(&exact).await?;
        let manifest: ImageManifest = self.parsed(&exact, &bytes)?;
        let mut blobs = Vec::new();
        if manifest.layers().len() > MAX_BLOBS {
            return Err(RegistryError::Malformed {
                registry: reference.registry().to_owned(),
                what: exact.to_string(),
                why: format!("the attached document has more than {MAX_BLOBS} parts"),
            });
        }
        for layer in manifest.layers() {
            let bytes = self.pull_blob(reference, layer).await?;
            blobs.push((layer.media_type().to_string(), bytes));
        }
        if blobs.is_empty() {
            return Err(RegistryError::Malformed {
                registry: reference.registry().to_owned(),
                what: exact.to_string(),
                why: "the attached document has no content".to_owned(),
            });
        }
        Ok(blobs)
    }

    /// Adds entries to the fallback index. Several clients may do so at once (runs of a
    /// sweep that share an image), and the last one wins: so what was written is read back
    /// a little later, when those who began before have written too, and written again if
    /// it was lost.
    async fn add_to_fallback(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        subject: &Digest,
        entries: &[serde_json::Value],
    ) -> Result<(), RegistryError> {
        let tag = fallback_tag(subject);
        let tagged = with_tag(reference, &tag);
        let scope = scope_of(reference, true);
        for attempt in 0..FALLBACK_TRIES {
            let began = Instant::now();
            let mut manifests = match self.pull_manifest_at(endpoint, &tagged).await {
                Ok((_, bytes)) => {
                    let index: serde_json::Value = self.parsed(&tagged, &bytes)?;
                    index["manifests"].as_array().cloned().unwrap_or_default()
                }
                Err(RegistryError::NotFound { .. }) => Vec::new(),
                Err(other) => return Err(other),
            };
            let is_there = |entry: &&serde_json::Value| {
                manifests.iter().any(|m| m["digest"] == entry["digest"])
            };
            let missing: Vec<_> = entries.iter().filter(|e| !is_there(e)).cloned().collect();
            if missing.is_empty() {
                return Ok(());
            }
            manifests.extend(missing);
            let index = FallbackIndex {
                schema_version: 2,
                media_type: INDEX,
                manifests,
            };
            let bytes = Bytes::from(serde_json::to_vec(&index).expect("string keys only"));
            self.put_manifest(endpoint, &scope, &tag, &MediaType::ImageIndex, bytes)
                .await?;
            // Others take about as long between their look and their writing; those that collided
            // don't go on in step. The same image may be pushed from elsewhere at the same moment.
            let wait = 4 * began.elapsed() + LEAST_WAIT;
            let more = if attempt == 0 {
                Duration::ZERO
            } else {
                uneven_wait()
            };
            tokio::time::sleep(wait + more).await;
        }
        Err(RegistryError::Malformed {
            registry: endpoint.name.clone(),
            what: format!("the tag {tag}"),
            why: "others keep overwriting it".to_owned(),
        })
    }
}

/// 50 to 250 ms, so that clients that collided don't again.
fn uneven_wait() -> Duration {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Duration::from_millis(50 + u64::from(now.subsec_micros() % 200))
}

/// `sha256-<hex>`, cut to a tag's length where the digest is longer.
fn fallback_tag(subject: &Digest) -> String {
    let hex: String = subject.digest().chars().take(64).collect();
    format!("{}-{hex}", subject.algorithm())
}
