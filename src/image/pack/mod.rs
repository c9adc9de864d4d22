//! The final bytes of an image: what a builder made, written by mlbuild.
//!
//! Two builders, and two versions of one, agree on what is in a layer, but not on how it is
//! compressed, nor on the text of the history. So the layers of the base stay as they are; the
//! others are read, checked, and written anew by one tar writer and one compressor, both part of
//! this program; configuration, history and manifest are written here too. The digest then
//! depends on what the image holds alone.

mod compose;
mod config;
mod copied;
mod folder;
mod gzip;
mod json;
mod layer;
#[cfg(test)]
mod tests;
mod unchanged;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use oci_spec::image::{Descriptor, MediaType};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::compare::Side;
use super::layer::LayerError;
use super::{ImageLayer, PlatformImage};
use crate::plan::Repack;

pub use compose::{OwnLayer, compose};
pub use folder::PackedFolder;
pub use layer::{Append, write_layer};

/// Which bytes this program makes of a layer: another number wherever the same contents come out as
/// other bytes, as by another version of a compressor. What was packed under an older one is packed
/// again.
pub const BYTES: u32 = 3;

/// How images are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackOptions {
    /// The time that nothing lies after, which is also when the image says it was created; and
    /// the compression.
    pub repack: Repack,
    /// True where layers may hold entries that change nothing (Docker's classic store).
    pub drops_unchanged: bool,
    /// Annotations of each manifest.
    pub annotations: BTreeMap<String, String>,
    /// Layers that were written before with the same time and compression, by the digest of what
    /// the builder made. They are neither read nor written again.
    pub known: BTreeMap<String, PackedLayer>,
}

impl PackOptions {
    fn knows(&self, layer: &ImageLayer) -> bool {
        self.known.contains_key(layer.blob.digest().as_ref())
    }
}

/// A layer that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedLayer {
    /// Its blob and the digest of its tar.
    pub layer: ImageLayer,
    /// Bytes of tar that were read.
    pub unpacked: u64,
    /// Entries whose time lay after the epoch.
    pub clamped: u64,
    /// True for the layer of a COPY or ADD.
    #[serde(default)]
    pub copied: bool,
}

/// The base of an image, as its registry has it.
#[derive(Clone, Debug)]
pub struct PackBase {
    /// Its layers.
    pub image: PlatformImage,
    /// Its configuration.
    pub config: Value,
}

/// An image that was written.
#[derive(Clone, Debug)]
pub struct PackedImage {
    /// Its digests and layers.
    pub image: PlatformImage,
    /// How many of its layers, from the lowest, are the base's; their blobs are not in the folder.
    pub base_layers: usize,
    /// The others, with what the builder made of each.
    pub own: Vec<(Descriptor, PackedLayer)>,
    /// Bytes of tar that were read and written.
    pub unpacked: u64,
    /// Entries whose time lay after the epoch, and doesn't any more.
    pub clamped: u64,
}

/// Why an image can't be written.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A layer can't be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The folder can't be written to.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Writes an image into a folder: the layers that are not `base`'s, configuration and manifest.
///
/// Several layers are written at once. The result doesn't depend on how many.
///
/// # Errors
/// A layer that can't be read, and a folder that can't be written to.
pub fn pack(
    side: &Side<'_>,
    base: Option<&PackBase>,
    options: &PackOptions,
    into: &PackedFolder,
) -> Result<PackedImage, PackError> {
    let base = base.filter(|base| is_below(&base.image.layers, &side.image.layers));
    let base_layers = base.map_or(0, |base| base.image.layers.len());
    let own = pack_layers(side, base_layers, base, options, into)?;
    let mut layers: Vec<ImageLayer> = Vec::new();
    let is_lazy = options.repack.compression.is_lazy();
    for layer in base.iter().flat_map(|base| &base.image.layers) {
        layers.push(in_oci_terms(layer, is_lazy));
    }
    layers.extend(own.iter().map(|packed| packed.layer.clone()));
    let config = config::write(
        side,
        base.map(|base| &base.config),
        &layers,
        options.repack.epoch,
    );
    let config = into.document(&config, MediaType::ImageConfig)?;
    let manifest = into.document(
        &manifest(&config, &layers, &options.annotations),
        MediaType::ImageManifest,
    )?;
    let made = side.image.layers[base_layers..].iter();
    let made = made.map(|layer| layer.blob.clone());
    Ok(PackedImage {
        image: PlatformImage {
            platform: side.image.platform.clone(),
            manifest,
            config,
            layers,
        },
        base_layers,
        unpacked: own.iter().map(|packed| packed.unpacked).sum(),
        clamped: own.iter().map(|packed| packed.clamped).sum(),
        own: made.zip(own).collect(),
    })
}

/// True if an image begins with these layers.
fn is_below(base: &[ImageLayer], layers: &[ImageLayer]) -> bool {
    let mut pairs = base.iter().zip(layers);
    base.len() <= layers.len() && pairs.all(|(a, b)| a.diff_id == b.diff_id)
}

/// The base of these that most of an image's layers come from.
pub fn base_of<'a>(
    side: &Side<'_>,
    candidates: impl Iterator<Item = &'a PackBase>,
) -> Option<&'a PackBase> {
    let below = |base: &&PackBase| is_below(&base.image.layers, &side.image.layers);
    let found = candidates.filter(below);
    found.max_by_key(|base| base.image.layers.len())
}

fn pack_layers(
    side: &Side<'_>,
    from: usize,
    base: Option<&PackBase>,
    options: &PackOptions,
    into: &PackedFolder,
) -> Result<Vec<PackedLayer>, PackError> {
    let own = &side.image.layers[from..];
    let unchanged = if options.drops_unchanged {
        unchanged::find(side, from)?
    } else {
        vec![unchanged::Entries::new(); own.len()]
    };
    let copied = copied::Copied::find(side, from, base, options)?;
    let slots: Vec<Mutex<Option<_>>> = own.iter().map(|_| Mutex::default()).collect();
    // The largest first, so that the last one to finish is a small one.
    let mut order: Vec<usize> = (0..own.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(own[*at].blob.size()));
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(&at) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let packed = match options.known.get(own[at].blob.digest().as_ref()) {
                Some(known) => Ok(known.clone()),
                None => {
                    let step = layer::Step {
                        unchanged: &unchanged[at],
                        copied: &copied,
                        at,
                    };
                    layer::pack(side, &own[at], &step, options, into)
                }
            };
            let is_bad = packed.is_err();
            *slots[at].lock().expect("nobody panics") = Some(packed);
            if is_bad {
                next.store(order.len(), Ordering::Relaxed);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores.clamp(1, 4) {
            scope.spawn(work);
        }
    });
    let done = slots.into_iter();
    let mut packed = Vec::new();
    let mut all = done.map(|slot| slot.into_inner().expect("nobody panics"));
    while let Some(Some(one)) = all.next() {
        packed.push(one?);
    }
    // What stopped the others stands behind the first that wasn't begun.
    for one in all.flatten() {
        one?;
    }
    Ok(packed)
}

/// The same layer under its name in OCI manifests, which is what it is put into. In an image that is to be pulled
/// lazily, what is said of it stays: it may be pulled so, too.
fn in_oci_terms(layer: &ImageLayer, is_lazy: bool) -> ImageLayer {
    let kind = match layer.blob.media_type().as_ref() {
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => MediaType::ImageLayerGzip,
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => MediaType::ImageLayerZstd,
        "application/vnd.docker.image.rootfs.diff.tar" => MediaType::ImageLayer,
        other => MediaType::from(other),
    };
    let mut blob = Descriptor::new(kind, layer.blob.size(), layer.blob.digest().clone());
    if is_lazy {
        blob.set_annotations(layer.blob.annotations().clone());
    }
    ImageLayer {
        blob,
        diff_id: layer.diff_id.clone(),
    }
}

/// A manifest's bytes.
fn manifest(
    config: &Descriptor,
    layers: &[ImageLayer],
    annotations: &BTreeMap<String, String>,
) -> Vec<u8> {
    let named = |blob: &Descriptor| {
        let mut named = json!({
            "mediaType": blob.media_type().to_string(),
            "digest": blob.digest().to_string(),
            "size": blob.size(),
        });
        if let Some(annotations) = blob.annotations() {
            named["annotations"] = json!(annotations);
        }
        named
    };
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest.to_string(),
        "config": named(config),
        "layers": layers.iter().map(|layer| named(&layer.blob)).collect::<Vec<_>>(),
    });
    if !annotations.is_empty() {
        manifest["annotations"] = json!(annotations);
    }
    json::canonical(&manifest)
}

/// The index of images for several platforms, in this order.
///
/// # Errors
/// [`PackError::Write`].
pub fn index(images: &[PackedImage], into: &PackedFolder) -> Result<Descriptor, PackError> {
    let entries = images.iter().map(|packed| {
        let manifest = &packed.image.manifest;
        json!({
            "mediaType": manifest.media_type().to_string(),
            "digest": manifest.digest().to_string(),
            "size": manifest.size(),
            "platform": packed.image.platform,
        })
    });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageIndex.to_string(),
        "manifests": entries.collect::<Vec<_>>(),
    });
    into.document(&json::canonical(&index), MediaType::ImageIndex)
}
