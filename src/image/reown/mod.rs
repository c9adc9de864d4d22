//! Giving an image to another user without building it.
//!
//! mlbuild's templates keep all that belongs to one uid in the last layer. So that layer, the
//! configuration and the manifest are all that has to be written anew: the other layers are
//! named again, and never read. What can't be known without reading them is refused or told,
//! not guessed.

mod accounts;
mod config;
mod error;
#[cfg(test)]
mod tests;
mod tree;

use oci_spec::image::{Descriptor, MediaType};
use serde_json::Value;

use self::accounts::Change;
use super::layer::Packing;
use super::{ImageLayer, PlatformImage};

pub use accounts::Account;
pub(crate) use config::ASSEMBLED;
pub use error::{Remedy, ReownError};

/// Largest last layer that is taken, in bytes: it is held in memory.
const MAX_LAYER: u64 = 32 << 20;

/// Whom an image is to belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOwner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Login name; `None` keeps the one that it has.
    pub name: Option<String>,
}

/// What a registry has of an image for one platform, as far as it is read.
#[derive(Clone, Copy, Debug)]
pub struct Documents<'a> {
    /// The manifest.
    pub manifest: &'a [u8],
    /// The configuration.
    pub config: &'a [u8],
    /// The blob of the last layer.
    pub last_layer: &'a [u8],
}

/// A document or layer that was written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What names it.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// An image for one platform that belongs to somebody else now.
#[derive(Clone, Debug)]
pub struct Reowned {
    /// Whom it belonged to.
    pub was: Account,
    /// Whom it belongs to now.
    pub now: Account,
    /// Its manifest.
    pub manifest: Written,
    /// Its configuration.
    pub config: Written,
    /// Its last layer.
    pub layer: Written,
    /// The layers below, which stay as they are.
    pub kept: Vec<Descriptor>,
    /// Entries whose owner, name or content changed.
    pub changed: usize,
    /// True if mlbuild's template made it, which keeps nothing of the user in other layers.
    pub is_template: bool,
    /// Files that mention the home folder's old name, which is gone.
    pub mentions: Vec<String>,
}

/// The layer that has to be read, if the image is one that may be given to somebody else.
///
/// # Errors
/// [`ReownError::Refused`] for an image without layers, for another system than Linux, or
/// whose last layer is too large to be one user's own.
pub fn users_layer(image: &PlatformImage) -> Result<&ImageLayer, ReownError> {
    let os = image.platform.os().to_string();
    if os != "linux" {
        return Err(ReownError::refused(
            format!("it is for {os}, and only Linux has these ids"),
            Remedy::BuildForOwner,
        ));
    }
    let Some(last) = image.layers.last() else {
        return Err(ReownError::refused(
            "it has no layers",
            Remedy::BuildForOwner,
        ));
    };
    match last.blob.size() {
        size if size > MAX_LAYER => Err(ReownError::refused(
            format!(
                "its last layer has {} MB, and what belongs to one user has at most {}: \
                 it isn't an image whose last layer is the user's own",
                size >> 20,
                MAX_LAYER >> 20
            ),
            Remedy::BuildForOwner,
        )),
        _ => Ok(last),
    }
}

/// Writes the last layer, the configuration and the manifest for another owner. The same
/// input gives the same bytes. `None` where the image is the new owner's already.
///
/// # Errors
/// A last layer that can't be read; an image that can't be given away safely, with why.
pub fn reown(
    image: &PlatformImage,
    documents: Documents<'_>,
    to: &NewOwner,
) -> Result<Option<Reowned>, ReownError> {
    let layer = users_layer(image)?;
    let mut config = parsed(documents.config)?;
    let mut manifest = parsed(documents.manifest)?;
    let mut entries = tree::read(documents.last_layer, layer)?;
    let is_template = config::is_template(&config);
    let user = config::user(&config)?;
    let change = Change::new(&entries, &user, to, is_template)?;
    if change.was == change.now {
        return Ok(None);
    }
    let changed = tree::change(&mut entries, &change)?;
    let mentions = tree::mentions(&entries, &change);

    let media_type = layer.blob.media_type().clone();
    let (bytes, packed) = Packing::of_blob(&layer.blob).pack(tree::tar(entries), media_type);
    let layer = Written {
        descriptor: packed.blob.clone(),
        bytes,
    };
    config::change(&mut config, &change, packed.diff_id.as_ref(), is_template)?;
    let config = written(&config, image.config.media_type().clone());
    relabel(&mut manifest, &config.descriptor, &packed.blob);
    let manifest = written(&manifest, image.manifest.media_type().clone());
    let kept = image.layers[..image.layers.len() - 1].iter();
    Ok(Some(Reowned {
        kept: kept.map(|layer| layer.blob.clone()).collect(),
        was: change.was,
        now: change.now,
        manifest,
        config,
        layer,
        changed,
        is_template,
        mentions,
    }))
}

fn parsed(document: &[u8]) -> Result<Value, ReownError> {
    serde_json::from_slice(document)
        .map_err(|e| ReownError::refused(format!("it can't be read: {e}"), Remedy::PushAgain))
}

fn written(value: &Value, media_type: MediaType) -> Written {
    let bytes = serde_json::to_vec(value).expect("string keys only");
    Written {
        descriptor: super::layer::descriptor(&bytes, media_type),
        bytes,
    }
}

/// Names the new configuration and last layer in the manifest.
fn relabel(manifest: &mut Value, config: &Descriptor, layer: &Descriptor) {
    fn name(at: &mut Value, new: &Descriptor) {
        at["digest"] = new.digest().to_string().into();
        at["size"] = new.size().into();
        if let Some(at) = at.as_object_mut() {
            // A copy of the old content would no longer fit.
            at.remove("data");
            at.remove("urls");
        }
    }
    name(&mut manifest["config"], config);
    let layers = manifest["layers"].as_array_mut();
    let last = layers.and_then(|all| all.last_mut());
    let last = last.expect("an image with a last layer has a list of layers");
    name(last, layer);
    // Annotations may tell of the old bytes; this one tells of the times, which are kept.
    if let Some(annotations) = last["annotations"].as_object_mut() {
        annotations.retain(|key, _| key == "buildkit/rewritten-timestamp");
    }
    for (key, value) in layer.annotations().iter().flatten() {
        last["annotations"][key] = value.as_str().into();
    }
}
