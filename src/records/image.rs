//! The image that a record names.

use mlbuild_manifests::RunRecord;
use mlbuild_templates::reference;

/// The image that a record names: by digest in its repository, without the tag, which may
/// have moved (and which podman doesn't take beside a digest); else its ID.
pub fn exact_image(record: &RunRecord) -> Option<String> {
    let image = &record.image;
    if let Some(id) = &image.image_id {
        return Some(id.to_string());
    }
    let reference = reference::parse(&image.reference).ok()?;
    let digest = image.pinned()?.to_string();
    Some(reference.clone_with_digest(digest).to_string())
}
