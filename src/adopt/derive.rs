//! The new image: each platform written anew, and the index around them.

use bytes::Bytes;
use oci_spec::distribution::Reference;
use oci_spec::image::Descriptor;
use serde_json::Value;

use super::error::AdoptError;
use super::source::{Source, refused};
use crate::image::reown::{self, NewOwner, Reowned};
use crate::image::{PlatformImage, is_attestation, layer};
use crate::registry::DerivedImage;

/// The new image, not pushed yet.
#[derive(Debug)]
pub struct Adopted {
    /// What there is to push.
    pub image: DerivedImage,
    /// By platform.
    pub platforms: Vec<AdoptedPlatform>,
    /// Attestations that were left out.
    pub dropped: usize,
}

/// The new image for one platform.
#[derive(Debug)]
pub struct AdoptedPlatform {
    /// Its digests.
    pub image: PlatformImage,
    /// What became of it; `None` where it belonged to the user already.
    pub reowned: Option<Reowned>,
}

impl Adopted {
    /// True if every platform belonged to the user already.
    pub fn is_unchanged(&self) -> bool {
        self.platforms.iter().all(|p| p.reowned.is_none())
    }
}

/// Writes the image for its new owner. Nothing is asked of a registry.
///
/// # Errors
/// An image that can't be given to another user safely.
pub fn derive(source: &Source, from: &Reference, to: &NewOwner) -> Result<Adopted, AdoptError> {
    let mut new = DerivedImage::default();
    let mut platforms = Vec::new();
    for old in &source.platforms {
        let reowned = reown::reown(&old.image, old.documents(), to)
            .map_err(|error| refused(from, &old.image, error))?;
        let image = match &reowned {
            Some(reowned) => {
                let (config, manifest) = (&reowned.config, &reowned.manifest);
                new.shared.extend(reowned.kept.iter().cloned());
                for blob in [&reowned.layer, config] {
                    let bytes = Bytes::copy_from_slice(&blob.bytes);
                    new.blobs.push((blob.descriptor.clone(), bytes));
                }
                push_document(&mut new, &manifest.descriptor, &manifest.bytes);
                PlatformImage::join(manifest.descriptor.clone(), &manifest.bytes, &config.bytes)
                    .map_err(AdoptError::Derived)?
            }
            None => {
                let layers = old.image.layers.iter().map(|layer| layer.blob.clone());
                new.shared.extend(layers.chain([old.image.config.clone()]));
                push_document(&mut new, &old.image.manifest, old.documents().manifest);
                old.image.clone()
            }
        };
        platforms.push(AdoptedPlatform { image, reowned });
    }
    new.shared
        .sort_by(|a, b| a.digest().as_ref().cmp(b.digest().as_ref()));
    new.shared.dedup_by(|a, b| a.digest() == b.digest());
    let mut adopted = Adopted {
        image: new,
        platforms,
        dropped: 0,
    };
    if adopted.is_unchanged() {
        let top = &source.top;
        adopted.image.documents.clear();
        push_document(&mut adopted.image, &top.descriptor, &top.bytes);
    } else if source.is_index() {
        let index = index(source, &adopted.platforms)?;
        let descriptor = layer::descriptor(&index, source.top.descriptor.media_type().clone());
        push_document(&mut adopted.image, &descriptor, &index);
        adopted.dropped = source.attestations;
    }
    Ok(adopted)
}

fn push_document(image: &mut DerivedImage, descriptor: &Descriptor, bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    image.documents.push((descriptor.clone(), bytes));
}

/// The index with the new manifests in the old ones' places. Attestations are about the old
/// manifests, and go.
fn index(source: &Source, platforms: &[AdoptedPlatform]) -> Result<Vec<u8>, AdoptError> {
    let mut index: Value = serde_json::from_slice(&source.top.bytes)?;
    let list = index["manifests"].as_array_mut();
    let list =
        list.ok_or_else(|| AdoptError::Derived("the index has no list of manifests".into()))?;
    let new_of = |entry: &Value| {
        let pairs = source.platforms.iter().zip(platforms);
        pairs
            .filter(|(old, _)| entry["digest"] == *old.image.manifest.digest().as_ref())
            .map(|(_, new)| &new.image.manifest)
            .next()
    };
    list.retain(|entry| {
        let descriptor: Result<Descriptor, _> = serde_json::from_value(entry.clone());
        descriptor.is_ok_and(|d| !is_attestation(&d))
    });
    for entry in list {
        if let Some(manifest) = new_of(entry) {
            entry["digest"] = manifest.digest().to_string().into();
            entry["size"] = manifest.size().into();
            if let Some(entry) = entry.as_object_mut() {
                entry.remove("data");
            }
        }
    }
    Ok(serde_json::to_vec(&index).expect("string keys only"))
}
