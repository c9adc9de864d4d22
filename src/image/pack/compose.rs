//! An image of a base and layers that mlbuild made itself: its configuration and manifest.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci_spec::image::MediaType;
use serde_json::{Map, Value, json};

use super::folder::PackedFolder;
use super::json::canonical;
use super::{PackBase, PackError, in_oci_terms, manifest};
use crate::image::{ImageLayer, PlatformImage};

/// A layer above the base, and what its line in the history says.
#[derive(Clone, Debug)]
pub struct OwnLayer {
    /// Its blob and the digest of its tar.
    pub layer: ImageLayer,
    /// What is in it.
    pub about: String,
}

/// Writes configuration and manifest of the base's layers and these above them. `settings` takes
/// the place of the base's settings of the same name (`Env`, `User`, `Cmd` …); `annotations` are the
/// manifest's.
///
/// # Errors
/// [`PackError::Write`].
pub fn compose(
    base: &PackBase,
    own: &[OwnLayer],
    settings: &Map<String, Value>,
    annotations: &BTreeMap<String, String>,
    epoch: i64,
    into: &PackedFolder,
) -> Result<PlatformImage, PackError> {
    let is_lazy = own.iter().any(|own| own.layer.blob.annotations().is_some());
    let of_base = base.image.layers.iter();
    let mut layers: Vec<ImageLayer> = of_base.map(|layer| in_oci_terms(layer, is_lazy)).collect();
    layers.extend(own.iter().map(|own| own.layer.clone()));
    let config = configuration(base, own, &layers, settings, epoch);
    let config = into.document(&canonical(&config), MediaType::ImageConfig)?;
    let manifest = manifest(&config, &layers, annotations);
    let manifest = into.document(&manifest, MediaType::ImageManifest)?;
    Ok(PlatformImage {
        platform: base.image.platform.clone(),
        manifest,
        config,
        layers,
    })
}

fn configuration(
    base: &PackBase,
    own: &[OwnLayer],
    layers: &[ImageLayer],
    settings: &Map<String, Value>,
    epoch: i64,
) -> Value {
    let mut config = super::config::platform_of(&base.config);
    let mut all = super::config::settings_of(&base.config);
    all.extend(settings.clone());
    // Null takes a setting of the base away.
    all.retain(|_, value| !value.is_null());
    let created = Timestamp::from_second(epoch)
        .unwrap_or_default()
        .to_string();
    let diff_ids: Vec<String> = layers.iter().map(|l| l.diff_id.to_string()).collect();
    config.insert("config".into(), all.into());
    config.insert("created".into(), created.as_str().into());
    config.insert(
        "rootfs".into(),
        json!({"diff_ids": diff_ids, "type": "layers"}),
    );
    let steps = own
        .iter()
        .map(|own| json!({"created": created, "created_by": own.about}));
    let history = base.config["history"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let is_layer = |step: &&Value| step["empty_layer"] != Value::Bool(true);
    // A history that doesn't fit the layers tells nothing.
    if history.iter().filter(is_layer).count() == base.image.layers.len() {
        let history: Vec<Value> = history.into_iter().chain(steps).collect();
        config.insert("history".into(), history.into());
    }
    config.into()
}
