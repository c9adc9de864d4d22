//! What is read of the image: its manifests, configurations and last layers.

use futures::future::try_join_all;
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};

use super::error::AdoptError;
use crate::image::reown::{Documents, ReownError, users_layer};
use crate::image::{PlatformImage, is_attestation, is_index, is_manifest};
use crate::registry::{Registry, platform_name};

/// A document and what names it.
#[derive(Clone, Debug)]
pub struct Document {
    /// What names it.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// An image as far as it is read.
#[derive(Debug)]
pub struct Source {
    /// What the reference names: an index or the only manifest.
    pub top: Document,
    /// The images by platform.
    pub platforms: Vec<Platform>,
    /// Attestations in the index.
    pub attestations: usize,
}

/// An image for one platform.
#[derive(Debug)]
pub struct Platform {
    /// Its digests.
    pub image: PlatformImage,
    manifest: Vec<u8>,
    config: Vec<u8>,
    last_layer: Vec<u8>,
}

impl Platform {
    /// What there is to write anew.
    pub fn documents(&self) -> Documents<'_> {
        Documents {
            manifest: &self.manifest,
            config: &self.config,
            last_layer: &self.last_layer,
        }
    }
}

impl Source {
    /// True if the reference names an index.
    pub fn is_index(&self) -> bool {
        is_index(self.top.descriptor.media_type())
    }
}

/// `REGISTRY/NAME[:TAG]`, without the digest.
pub fn name(reference: &Reference) -> String {
    let text = reference.to_string();
    text.split('@').next().unwrap_or_default().to_owned()
}

/// Reads all that is small; checks first that the last layers are.
///
/// # Errors
/// Where the registry doesn't have it, or it can't be given to another user.
pub async fn fetch(registry: &Registry, from: &Reference) -> Result<Source, AdoptError> {
    let (descriptor, bytes) = registry.pull_manifest(from).await?;
    let top = Document { descriptor, bytes };
    if !is_index(top.descriptor.media_type()) {
        let only = platform(registry, from, top.clone()).await?;
        return Ok(Source {
            top,
            platforms: vec![only],
            attestations: 0,
        });
    }
    let index: ImageIndex = parsed(from, &top.bytes)?;
    let (attestations, images): (Vec<_>, Vec<_>) =
        index.manifests().iter().partition(|d| is_attestation(d));
    if images.is_empty() {
        return Err(AdoptError::NoImage {
            from: Box::new(from.clone()),
            why: "the index lists no image".to_owned(),
        });
    }
    let platforms = images.into_iter().map(|descriptor| async move {
        if !is_manifest(descriptor.media_type()) {
            let kind = descriptor.media_type();
            return Err(AdoptError::NoImage {
                from: Box::new(from.clone()),
                why: format!("{kind} in its index is no image"),
            });
        }
        let exact = from.clone_with_digest(descriptor.digest().to_string());
        let (found, bytes) = registry.pull_manifest(&exact).await?;
        let document = Document {
            descriptor: found,
            bytes,
        };
        platform(registry, from, document).await
    });
    Ok(Source {
        platforms: try_join_all(platforms).await?,
        attestations: attestations.len(),
        top,
    })
}

async fn platform(
    registry: &Registry,
    from: &Reference,
    manifest: Document,
) -> Result<Platform, AdoptError> {
    let parsed: ImageManifest = parsed(from, &manifest.bytes)?;
    let config = registry.pull_blob(from, parsed.config()).await?;
    let image = PlatformImage::join(manifest.descriptor, &manifest.bytes, &config)
        .map_err(|why| malformed(from, why))?;
    let layer = users_layer(&image)
        .map_err(|error| refused(from, &image, error))?
        .blob
        .clone();
    let limit = usize::try_from(layer.size()).unwrap_or(usize::MAX);
    let last_layer = registry.pull_blob_up_to(from, &layer, limit).await?;
    Ok(Platform {
        image,
        manifest: manifest.bytes,
        config,
        last_layer,
    })
}

/// The error with the image and platform that it is about.
pub fn refused(from: &Reference, image: &PlatformImage, source: ReownError) -> AdoptError {
    AdoptError::Refused {
        from: Box::new(from.clone()),
        platform: platform_name(&image.platform),
        source,
    }
}

fn malformed(from: &Reference, why: String) -> AdoptError {
    AdoptError::Malformed {
        from: Box::new(from.clone()),
        why,
    }
}

fn parsed<T: serde::de::DeserializeOwned>(from: &Reference, bytes: &[u8]) -> Result<T, AdoptError> {
    serde_json::from_slice(bytes).map_err(|error| malformed(from, format!("bad manifest: {error}")))
}
