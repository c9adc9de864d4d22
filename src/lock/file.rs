//! The lock file of a project, and images as it has them.

use std::path::Path;

use mlbuild_manifests::lock::{LockedLayer, LockedPlatform};
use mlbuild_manifests::{LockError, LockFile};

use crate::image::PlatformImage;
use crate::registry::platform_name;

/// The lock file, or an empty one where there is none.
///
/// # Errors
/// Where it is there and can't be used.
pub fn load(file: &Path) -> Result<LockFile, LockError> {
    LockFile::load(file)
}

/// The image for one platform as a lock has it, with the platform's name.
pub fn platform(image: &PlatformImage) -> (String, LockedPlatform) {
    let layers = image.layers.iter().map(|layer| LockedLayer {
        digest: layer.blob.digest().clone(),
        diff_id: layer.diff_id.clone(),
        size: layer.blob.size(),
        media_type: layer.blob.media_type().to_string(),
    });
    let locked = LockedPlatform {
        manifest: image.manifest.digest().clone(),
        config: image.config.digest().clone(),
        layers: layers.collect(),
    };
    (platform_name(&image.platform), locked)
}
