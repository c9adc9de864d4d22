//! What images a layout holds, and what layers each has.

use oci_spec::image::{
    Descriptor, Digest, ImageConfiguration, ImageIndex, ImageManifest, MediaType, Platform,
    PlatformBuilder,
};
use serde::{Deserialize, Serialize};

use super::error::LayoutError;
use super::layout::OciLayout;

/// The image of one platform.
#[derive(Clone, Debug, PartialEq)]
pub struct PlatformImage {
    /// What it runs on.
    pub platform: Platform,
    /// Its manifest.
    pub manifest: Descriptor,
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, lowest first.
    pub layers: Vec<ImageLayer>,
}

#[cfg(test)]
impl PlatformImage {
    /// A made-up image of this configuration and these layers, for tests.
    pub(crate) fn made_up(config: &serde_json::Value, layers: Vec<ImageLayer>) -> Self {
        let text = config.to_string();
        let document = super::layer::descriptor(text.as_bytes(), MediaType::ImageConfig);
        let platform = PlatformBuilder::default().architecture("amd64").os("linux");
        Self {
            platform: platform.build().expect("a platform"),
            manifest: document.clone(),
            config: document,
            layers,
        }
    }
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageLayer {
    /// The blob.
    pub blob: Descriptor,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
}

impl PlatformImage {
    /// Joins a manifest with its configuration. The error says what doesn't fit.
    pub fn join(manifest: Descriptor, text: &[u8], config: &[u8]) -> Result<Self, String> {
        let parsed: ImageManifest =
            serde_json::from_slice(text).map_err(|e| format!("bad manifest: {e}"))?;
        let config: ImageConfiguration =
            serde_json::from_slice(config).map_err(|e| format!("bad configuration: {e}"))?;
        let diff_ids = config.rootfs().diff_ids();
        if diff_ids.len() != parsed.layers().len() {
            let (layers, ids) = (parsed.layers().len(), diff_ids.len());
            return Err(format!(
                "{layers} layers, and {ids} diff IDs in the configuration"
            ));
        }
        let layers = parsed.layers().iter().zip(diff_ids).map(|(blob, id)| {
            let diff_id = id.parse().map_err(|e| format!("bad diff ID {id}: {e}"))?;
            Ok(ImageLayer {
                blob: blob.clone(),
                diff_id,
            })
        });
        Ok(Self {
            platform: platform_of(&config),
            manifest,
            config: parsed.config().clone(),
            layers: layers.collect::<Result<_, String>>()?,
        })
    }
}

impl OciLayout {
    /// The images it holds, one for each platform; attestations are left out.
    pub fn images(&self) -> Result<Vec<PlatformImage>, LayoutError> {
        let mut images = Vec::new();
        self.collect_images(self.top()?, &mut images)?;
        Ok(images)
    }

    /// Everything a manifest or index names, the image itself last; each digest once.
    /// Blobs come as `(descriptor, false)`, manifests and indexes as `(descriptor, true)`.
    pub fn closure(&self, top: &Descriptor) -> Result<Vec<(Descriptor, bool)>, LayoutError> {
        let mut all: Vec<(Descriptor, bool)> = Vec::new();
        self.collect_closure(top, &mut all)?;
        let mut seen = std::collections::BTreeSet::new();
        all.retain(|(d, _)| seen.insert(d.digest().to_string()));
        Ok(all)
    }

    fn collect_images(
        &self,
        at: &Descriptor,
        images: &mut Vec<PlatformImage>,
    ) -> Result<(), LayoutError> {
        if is_attestation(at) {
            return Ok(());
        }
        let text = self.document(at)?;
        if is_index(at.media_type()) {
            for child in self.parsed::<ImageIndex>(at, &text)?.manifests() {
                self.collect_images(child, images)?;
            }
        } else if is_manifest(at.media_type()) {
            let manifest: ImageManifest = self.parsed(at, &text)?;
            let config = self.document(manifest.config())?;
            let image = PlatformImage::join(at.clone(), &text, &config);
            images.push(image.map_err(|why| self.malformed(at.digest(), why))?);
        }
        Ok(())
    }

    fn collect_closure(
        &self,
        at: &Descriptor,
        all: &mut Vec<(Descriptor, bool)>,
    ) -> Result<(), LayoutError> {
        let text = self.document(at)?;
        if is_index(at.media_type()) {
            for child in self.parsed::<ImageIndex>(at, &text)?.manifests() {
                self.collect_closure(child, all)?;
            }
        } else if is_manifest(at.media_type()) {
            let manifest: ImageManifest = self.parsed(at, &text)?;
            let blobs = manifest.layers().iter().chain([manifest.config()]);
            all.extend(blobs.map(|d| (d.clone(), false)));
        } else {
            let kind = at.media_type();
            return Err(self.malformed(at.digest(), format!("{kind} is no image")));
        }
        all.push((at.clone(), true));
        Ok(())
    }

    fn parsed<T: serde::de::DeserializeOwned>(
        &self,
        at: &Descriptor,
        text: &[u8],
    ) -> Result<T, LayoutError> {
        serde_json::from_slice(text).map_err(|e| self.malformed(at.digest(), e))
    }
}

/// True for an OCI index and Docker's manifest list.
pub fn is_index(kind: &MediaType) -> bool {
    matches!(kind, MediaType::ImageIndex)
        || kind.as_ref() == "application/vnd.docker.distribution.manifest.list.v2+json"
}

/// True for an OCI image manifest and Docker's second schema.
pub fn is_manifest(kind: &MediaType) -> bool {
    matches!(kind, MediaType::ImageManifest)
        || kind.as_ref() == "application/vnd.docker.distribution.manifest.v2+json"
}

/// True for what builders put beside images in an index: provenance, bills of materials.
pub fn is_attestation(descriptor: &Descriptor) -> bool {
    let marked = descriptor.annotations().as_ref().is_some_and(|a| {
        a.get("vnd.docker.reference.type")
            .is_some_and(|t| t == "attestation-manifest")
    });
    let nowhere = descriptor.platform().as_ref().is_some_and(|p| {
        p.os().to_string() == "unknown" && p.architecture().to_string() == "unknown"
    });
    marked || nowhere
}

/// The platform a configuration says it is for.
pub(super) fn platform_of(config: &ImageConfiguration) -> Platform {
    let builder = PlatformBuilder::default()
        .os(config.os().clone())
        .architecture(config.architecture().clone());
    match config.variant() {
        Some(variant) => builder.variant(variant).build(),
        None => builder.build(),
    }
    .expect("os and architecture are set")
}
