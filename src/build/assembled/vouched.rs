//! Layers of packages that the lock's image has: with them a machine that never met the wheels needs neither
//! the wheels nor a builder for their bytecode.
//!
//! Which layer holds which packages is a question of trust: what a registry says of itself is no answer. The
//! lock names an image by its digest, and says what it was made from. Where that is what is asked for
//! now, code apart, the layers of packages are those of that image, whose manifest and configuration are read
//! and checked against their digests. Nothing of it is kept on this machine: another project's lock may not be
//! believed.

use std::collections::{BTreeMap, HashMap};

use mlbuild_manifests::lock::{Inputs, LockedImage};
use mlbuild_wheels::{Compression, Layer};
use oci_spec::distribution::Reference;
use serde_json::Value;

use super::{Assembling, Assembly};
use crate::image::PlatformImage;
use crate::registry::platform_name;

/// An image that was made of the same packages, on the same base, in the same way.
#[derive(Clone, Debug)]
pub struct SameInputs {
    /// Where it is, by its digest.
    pub image: Reference,
    /// Whether its packages have bytecode.
    pub has_bytecode: bool,
}

impl SameInputs {
    /// The image of a lock's entry, where that was made of what is asked for now: everything but the
    /// project's files is the same, and so is the program.
    pub fn of(entry: &LockedImage, inputs: &Inputs, image: Reference) -> Option<Self> {
        let (then, build) = (&entry.inputs, entry.build.as_ref()?);
        let is_same = then.settings.is_some()
            && then.settings == inputs.settings
            && then.mlbuild == inputs.mlbuild
            && entry.derived.is_none()
            && build.is_assembled();
        is_same.then_some(Self {
            image,
            has_bytecode: build.bytecode,
        })
    }
}

impl Assembling<'_> {
    /// The layers of packages of that image, by what its history says of each; none where it can't be read.
    pub(super) async fn vouched(
        &self,
        same: &SameInputs,
        assembly: &Assembly,
    ) -> BTreeMap<String, Layer> {
        let found = self.registry.images(&same.image, None).await;
        let platform = assembly.base.platform();
        let mut images = found.iter().flatten();
        let Some(image) = images.find(|image| platform_name(&image.platform) == platform) else {
            return BTreeMap::new();
        };
        let config = self.registry.pull_blob(&same.image, &image.config).await;
        let config = config
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        match config {
            Some(config) => layers(image, &config, assembly),
            None => BTreeMap::new(),
        }
    }
}

/// The layers above the base by their lines in the history, those that two lines say the same of left out.
fn layers(image: &PlatformImage, config: &Value, assembly: &Assembly) -> BTreeMap<String, Layer> {
    let base = &assembly.base.pack.image.layers;
    let is_on_it = image.layers.len() > base.len()
        && image
            .layers
            .iter()
            .zip(base)
            .all(|(layer, of_base)| layer.diff_id == of_base.diff_id);
    let steps = config["history"].as_array().into_iter().flatten();
    let lines: Vec<&str> = steps
        .filter(|step| step["empty_layer"] != true)
        .map(|step| step["created_by"].as_str().unwrap_or_default())
        .collect();
    if !is_on_it || lines.len() != image.layers.len() {
        return BTreeMap::new();
    }
    let mut times: HashMap<&str, usize> = HashMap::new();
    for line in &lines {
        *times.entry(line).or_default() += 1;
    }
    let own = image.layers.iter().zip(&lines).skip(base.len());
    let compression = assembly.compression;
    let own = own.filter(|(layer, _)| Compression::of(&layer.blob) == Some(compression));
    let known = own
        .filter(|(_, line)| times[**line] == 1)
        .map(|(layer, line)| {
            let said = layer.blob.annotations().iter().flatten();
            let layer = Layer {
                digest: layer.blob.digest().clone(),
                diff_id: layer.diff_id.clone(),
                size: layer.blob.size(),
                unpacked: 0,
                compression,
                annotations: said
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect(),
            };
            ((*line).to_owned(), layer)
        });
    known.collect()
}
