//! Says beside an image what is in it and how it was made.
//!
//! [`documents`] makes a bill of materials and provenance for each platform, [`sign`] has them signed,
//! [`attach`] puts them beside the image in its registry. The same image gives the same documents.

mod cosign;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mlbuild_manifests::attest::{self, Component, PackageKind, Subject};
use mlbuild_manifests::lock::FILE_NAME;
use mlbuild_manifests::{LockFile, LockedImage};
use oci_spec::OciSpecError;
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest};
use serde::Serialize;
use serde_json::Value;

pub use self::cosign::refusal;
pub use self::cosign::{Cosign, SignError, SignRequest};
use crate::error::ErrorKind;
use crate::image::Contents;
use crate::image::layer::LayerError;
use crate::image_source::{self, ImageSourceError, Opened, layer_error_kind};
use crate::lock::{Fit, LockBeside, LockBesideError, lock_beside_image};
use crate::registry::{Registry, RegistryError};
use crate::reporter::Reporter;

/// Why an image gets no documents.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// The registry doesn't have the image, or doesn't take the documents.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The image can't be read.
    #[error(transparent)]
    Image(#[from] ImageSourceError),
    /// A layer of it can't be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// Its lock can't be looked for.
    #[error(transparent)]
    LockBeside(#[from] LockBesideError),
    /// Provenance is asked for, and nothing says how the image was made.
    #[error("{image} has no lock, so nobody knows how it was made")]
    NoLock {
        /// The image.
        image: Reference,
    },
    /// The registry resolved the image to a digest that is none.
    #[error(transparent)]
    Digest(#[from] OciSpecError),
}

impl AttestError {
    /// Of which kind it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Registry(error) => error.kind(),
            Self::Image(error) => error.kind(),
            Self::Layer(error) => layer_error_kind(error),
            Self::LockBeside(error) => error.kind(),
            Self::NoLock { .. } => ErrorKind::User,
            Self::Digest(_) => ErrorKind::Work,
        }
    }
}

/// Annotation that tells what kind of statement an attached one is.
const PREDICATE_ANNOTATION: &str = "in-toto.io/predicate-type";

/// Of which image which documents are made.
#[derive(Debug, Clone)]
pub struct AttestRequest {
    /// Image in a registry.
    pub image: Reference,
    /// Form of the bill of materials; none is made without it.
    pub sbom: Option<SbomFormat>,
    /// Whether provenance is made, which the image's lock must be there for.
    pub provenance: bool,
    /// Folder of the project's lock.
    pub project: PathBuf,
}

/// Form of a bill of materials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SbomFormat {
    /// SPDX 2.3.
    Spdx,
    /// CycloneDX 1.6.
    Cyclonedx,
}

/// What a document tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// What is in the image.
    Sbom,
    /// How it was made: an in-toto statement.
    Provenance,
}

/// A document for one of the image's platforms.
#[derive(Debug, Clone)]
pub struct ImageDocument {
    /// What it tells.
    pub kind: DocumentKind,
    /// Its media type.
    pub media_type: &'static str,
    /// The manifest that it is about.
    pub subject: Descriptor,
    /// The platform of that, as `linux/amd64`.
    pub platform: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// An image and the documents about it.
#[derive(Debug, Clone)]
pub struct ImageDocuments {
    /// The image, by digest.
    pub image: Reference,
    /// What the reference names: an index or the only manifest.
    pub top: Descriptor,
    /// By platform.
    pub documents: Vec<ImageDocument>,
}

/// A document that was attached.
#[derive(Debug, Clone, Serialize)]
pub struct AttachedDocument {
    /// Its platform, as `linux/amd64`.
    pub platform: String,
    /// Its media type.
    pub media_type: &'static str,
    /// Digest of the manifest that it is about.
    pub subject: String,
    /// Digest of the referrer that holds it.
    pub digest: String,
}

impl ImageDocument {
    /// cosign's name for the document's type, and the document as a statement's predicate.
    fn predicate(&self) -> (&'static str, Vec<u8>) {
        match self.kind {
            DocumentKind::Sbom if self.media_type == attest::CYCLONEDX_MEDIA_TYPE => {
                ("cyclonedx", self.bytes.clone())
            }
            DocumentKind::Sbom => ("spdxjson", self.bytes.clone()),
            DocumentKind::Provenance => {
                let statement: Value =
                    serde_json::from_slice(&self.bytes).expect("a statement is JSON");
                ("slsaprovenance1", statement["predicate"].to_string().into())
            }
        }
    }
}

/// Makes the documents of an image. Nothing is written.
///
/// # Errors
/// An image that isn't there or can't be read; provenance of an image without a lock.
pub async fn documents(
    request: &AttestRequest,
    registry: &Registry,
) -> Result<ImageDocuments, AttestError> {
    let image = &request.image;
    let resolved = registry.resolve(image, None).await?;
    let exact = image.clone_with_digest(resolved.descriptor.digest().to_string());
    let opened = image_source::open(&exact.to_string(), registry).await?;
    let lock = lock_of(registry, &exact, &opened, &request.project).await?;
    if lock.is_none() && request.provenance {
        return Err(AttestError::NoLock {
            image: image.clone(),
        });
    }
    let make = || of_platforms(request, &opened, lock.as_ref());
    Ok(ImageDocuments {
        documents: tokio::task::block_in_place(make)?,
        image: exact,
        top: resolved.descriptor,
    })
}

/// Attaches documents to their image, as OCI referrers: its own digest stays as it is.
///
/// # Errors
/// Where the registry doesn't take them.
pub async fn attach(
    documents: &ImageDocuments,
    registry: &Registry,
) -> Result<Vec<AttachedDocument>, AttestError> {
    let mut attached = Vec::new();
    for document in &documents.documents {
        let mut notes = BTreeMap::new();
        if document.kind == DocumentKind::Provenance {
            let kind = attest::PREDICATE_TYPE.to_owned();
            notes.insert(PREDICATE_ANNOTATION.to_owned(), kind);
        }
        let (media_type, bytes) = (document.media_type, &document.bytes);
        let at = registry
            .attach(
                &documents.image,
                &document.subject,
                media_type,
                bytes,
                &notes,
            )
            .await?;
        attached.push(AttachedDocument {
            platform: document.platform.clone(),
            media_type,
            subject: document.subject.digest().to_string(),
            digest: at.digest().to_string(),
        });
    }
    Ok(attached)
}

/// Signs the image, and what the documents say of each platform's.
///
/// # Errors
/// Where cosign refuses.
pub fn sign(
    cosign: &Cosign,
    documents: &ImageDocuments,
    reporter: &dyn Reporter,
) -> Result<(), SignError> {
    let (exact, made) = (&documents.image, &documents.documents);
    let top = documents.top.digest();
    let is_index = made.iter().any(|made| made.subject.digest() != top);
    cosign.sign(&exact.to_string(), is_index, reporter)?;
    for made in made {
        let of = exact.clone_with_digest(made.subject.digest().to_string());
        let (kind, predicate) = made.predicate();
        cosign.attest(&of.to_string(), kind, &predicate, reporter)?;
    }
    Ok(())
}

/// The lock entry of an image: the project's, else the one beside it.
async fn lock_of(
    registry: &Registry,
    exact: &Reference,
    opened: &Opened,
    folder: &Path,
) -> Result<Option<LockedImage>, AttestError> {
    let manifests = opened.images.values().map(|i| i.image.manifest.digest());
    let manifests: Vec<&Digest> = manifests.collect();
    let is_of = |entry: &LockedImage| {
        let mut made = entry.platforms.values();
        entry.derived.is_none() && made.any(|p| manifests.contains(&&p.manifest))
    };
    let here = LockFile::load(&folder.join(FILE_NAME)).unwrap_or_default();
    if let Some(entry) = here.images().find(|entry| is_of(entry)) {
        return Ok(Some(entry.clone()));
    }
    let top: Digest = exact.digest().unwrap_or_default().parse()?;
    let digests: Vec<Digest> = [&top].into_iter().chain(manifests).cloned().collect();
    let beside = match lock_beside_image(registry, exact, &digests).await {
        Err(LockBesideError::Unreadable { .. }) => None,
        other => other?,
    };
    // One that was made before the image was pushed names no digests.
    let fits = |b: &LockBeside| b.fit != Fit::Other && b.entry.derived.is_none();
    Ok(beside.filter(fits).map(|beside| beside.entry))
}

/// The documents of each platform.
fn of_platforms(
    request: &AttestRequest,
    opened: &Opened,
    lock: Option<&LockedImage>,
) -> Result<Vec<ImageDocument>, AttestError> {
    let image = &request.image;
    let mut made = Vec::new();
    for (platform, found) in &opened.images {
        let mut subject = Subject {
            name: format!("{}/{}", image.registry(), image.repository()),
            digest: found.image.manifest.digest().clone(),
            platform: platform.clone(),
            created: created(&found.config),
            distribution: None,
        };
        let mut add = |kind, media_type, bytes| {
            made.push(ImageDocument {
                kind,
                media_type,
                subject: found.image.manifest.clone(),
                platform: platform.clone(),
                bytes,
            });
        };
        if let Some(format) = request.sbom {
            let contents = Contents::read(&found.image, opened)?;
            subject.distribution.clone_from(&contents.distribution);
            let pins = lock.and_then(|lock| lock.build.as_ref()?.platforms.get(platform));
            let found =
                attest::with_hashes(components(&contents), &pins.cloned().unwrap_or_default());
            let (media_type, bytes) = match format {
                SbomFormat::Cyclonedx => (
                    attest::CYCLONEDX_MEDIA_TYPE,
                    attest::cyclonedx(&subject, &found),
                ),
                SbomFormat::Spdx => (attest::SPDX_MEDIA_TYPE, attest::spdx(&subject, &found)),
            };
            add(DocumentKind::Sbom, media_type, bytes);
        }
        if let Some(lock) = lock.filter(|_| request.provenance) {
            let bytes = attest::provenance(&subject, lock);
            add(DocumentKind::Provenance, attest::IN_TOTO_MEDIA_TYPE, bytes);
        }
    }
    Ok(made)
}

/// When an image says it was created.
fn created(config: &Value) -> jiff::Timestamp {
    let text = config["created"].as_str().unwrap_or_default();
    text.parse().unwrap_or_default()
}

fn components(contents: &Contents) -> Vec<Component> {
    let component = |kind, name: &str, version: &String| Component {
        kind,
        name: name.to_owned(),
        version: version.clone(),
        sha256: None,
    };
    let apt = contents.apt.iter().map(|(name, version)| {
        let (name, arch) = name.rsplit_once(':').unwrap_or((name, "all"));
        let kind = PackageKind::Debian {
            arch: arch.to_owned(),
        };
        component(kind, name, version)
    });
    let python = contents.python.iter();
    let python = python.map(|(name, version)| component(PackageKind::Python, name, version));
    let conda = contents.conda.iter();
    let conda = conda.map(|(name, version)| component(PackageKind::Conda, name, version));
    apt.chain(python).chain(conda).collect()
}
