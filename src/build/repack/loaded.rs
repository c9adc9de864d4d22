//! Images that this machine loaded into a Docker, whole: by their manifests, the digests of their layers. As long as
//! a Docker that keeps blobs has such an image, it has its layers.

use std::path::{Path, PathBuf};

use mlbuild_manifests::atomic;
use oci_spec::image::Digest;

use crate::env_vars;
use crate::image::PlatformImage;

/// Images that are kept in mind, the newest.
const MOST_KEPT: usize = 64;
/// Bytes of what is noted of an image.
const MOST_BYTES: u64 = 64 << 10;

/// A file for each image, a line for each layer, the lowest first.
fn folder() -> Option<PathBuf> {
    env_vars::cache_dir().map(|folder| folder.join("loaded"))
}

/// The layers of an image that was loaded, by its manifest's digest; none where nothing is known of it.
pub(super) fn layers(manifest: &str) -> Vec<Digest> {
    let Ok(digest) = manifest.parse::<Digest>() else {
        return Vec::new();
    };
    let read = |folder: PathBuf| {
        let file = folder.join(digest.digest());
        let is_small = std::fs::metadata(&file).ok()?.len() <= MOST_BYTES;
        let text = std::fs::read_to_string(file).ok().filter(|_| is_small)?;
        text.lines().map(|line| line.parse().ok()).collect()
    };
    folder().and_then(read).unwrap_or_default()
}

/// Notes an image. Failing to costs time alone.
pub(super) fn note(image: &PlatformImage) {
    let Some(folder) = folder() else { return };
    let layers = image.layers.iter();
    let lines: String = layers
        .map(|layer| format!("{}\n", layer.blob.digest()))
        .collect();
    let file = folder.join(image.manifest.digest().digest());
    if std::fs::create_dir_all(&folder).is_ok() && atomic::replace(&file, lines.as_bytes()).is_ok()
    {
        forget(&folder);
    }
}

/// Removes the oldest of too many.
fn forget(folder: &Path) {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = files
        .filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file.path())))
        .collect();
    files.sort();
    let surplus = files.len().saturating_sub(MOST_KEPT);
    for (_, file) in files.into_iter().take(surplus) {
        let _ = std::fs::remove_file(file);
    }
}
