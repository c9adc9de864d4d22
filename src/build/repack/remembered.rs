//! Layers that were packed before. Where the registry still has what was made of one, it needs
//! neither to leave the builder nor to be packed and pushed again: after an edit of the code, that
//! is everything below.

use std::path::PathBuf;

use mlbuild_manifests::atomic;
use oci_spec::distribution::Reference;
use oci_spec::image::Descriptor;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Repacked;
use crate::env_vars;
use crate::image::pack::{self, PackedLayer};
use crate::plan::Repack;
use crate::registry::Registry;

/// Layers that are kept in mind for a repository.
const MOST: usize = 32;

/// What was last packed for a repository.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    /// Latest first.
    layers: Vec<Known>,
}

/// A layer of a builder, and what was made of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    /// What the bytes depend on beside the layer.
    writer: String,
    source: Descriptor,
    packed: PackedLayer,
}

/// What the bytes of a packed layer depend on beside its contents.
fn writer(repack: Repack) -> String {
    format!("{} {} {:?}", pack::BYTES, repack.epoch, repack.compression)
}

/// Where it is kept. A file for each repository, because that is what has blobs.
fn file(to: &Reference) -> Option<PathBuf> {
    let name = Sha256::digest(format!("{}/{}", to.registry(), to.repository()));
    let name = format!("{}.json", hex::encode(&name[..16]));
    Some(env_vars::cache_dir()?.join("packed").join(name))
}

fn read(to: &Reference) -> Memory {
    let text = file(to).and_then(|file| std::fs::read(file).ok());
    let memory = text.and_then(|text| serde_json::from_slice(&text).ok());
    memory.unwrap_or_default()
}

/// What was packed like this before and every one of these repositories has, by what the builder
/// made. A registry that can't be asked has nothing.
pub(super) async fn known(
    registry: &Registry,
    repack: Repack,
    tags: &[Reference],
) -> Vec<(Descriptor, PackedLayer)> {
    let Some(first) = tags.first() else {
        return Vec::new();
    };
    let writer = writer(repack);
    let mut layers = read(first).layers;
    layers.retain(|known| known.writer == writer);
    for tag in tags {
        let blobs = layers.iter().map(|known| known.packed.layer.blob.clone());
        let all: Vec<Descriptor> = blobs.collect();
        let missing = registry.missing_blobs(tag, &all).await.unwrap_or(all);
        layers.retain(|known| !missing.contains(&known.packed.layer.blob));
    }
    let pairs = layers.into_iter();
    pairs.map(|known| (known.source, known.packed)).collect()
}

/// Notes what was pushed. That a note can't be written costs the next build time, and nothing else.
pub(super) fn remember(packed: &Repacked, repack: Repack, tags: &[Reference]) {
    let Some((first, file)) = tags.first().and_then(|to| Some((to, file(to)?))) else {
        return;
    };
    let writer = writer(repack);
    let new = packed.images.iter().flat_map(|image| &image.own);
    let new: Vec<Known> = new
        .map(|(source, packed)| Known {
            writer: writer.clone(),
            source: source.clone(),
            packed: packed.clone(),
        })
        .collect();
    let is_again = |old: &Known, new: &Known| {
        old.writer == new.writer && old.source.digest() == new.source.digest()
    };
    let mut old = read(first).layers;
    old.retain(|old| !new.iter().any(|new| is_again(old, new)));
    let layers = new.into_iter().chain(old).take(MOST).collect();
    let _ = (|| {
        std::fs::create_dir_all(file.parent()?).ok()?;
        let text = serde_json::to_vec(&Memory { layers }).ok()?;
        atomic::replace(&file, &text).ok()
    })();
}
