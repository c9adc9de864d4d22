//! The layers of bases that registries have.

use std::collections::BTreeMap;

use oci_spec::distribution::Reference;
use oci_spec::image::Descriptor;

use super::{Purpose, size_by_digest};
use crate::known_base::Base;
use crate::registry::Registry;

/// Blobs of bases that needn't leave the builder: sizes in bytes by digest. A registry that can't
/// be asked has none.
pub(super) async fn held(
    registry: &Registry,
    bases: &[Base],
    purpose: Purpose<'_>,
) -> BTreeMap<String, u64> {
    let mut held = BTreeMap::new();
    for base in bases {
        let layers = base.pack.image.layers.iter();
        let layers: Vec<Descriptor> = layers.map(|layer| layer.blob.clone()).collect();
        let stays = match purpose {
            Purpose::Comparing => true,
            Purpose::Keeping => false,
            Purpose::Pushing(tags) => {
                let here = base.reference.registry();
                let others = tags.iter().filter(|tag| tag.registry() != here);
                have_all(registry, others, &layers).await
            }
        };
        if stays {
            held.extend(layers.iter().map(size_by_digest));
        }
    }
    held
}

async fn have_all(
    registry: &Registry,
    tags: impl Iterator<Item = &Reference>,
    blobs: &[Descriptor],
) -> bool {
    for tag in tags {
        let missing = registry.missing_blobs(tag, blobs).await;
        if !missing.is_ok_and(|missing| missing.is_empty()) {
            return false;
        }
    }
    true
}
