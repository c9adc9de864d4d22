//! The bases of an image, as their registries have them.

use std::collections::BTreeMap;

use mlbuild_templates::reference;
use oci_spec::distribution::Reference;
use oci_spec::image::Descriptor;

use super::{Purpose, size_by_digest};
use crate::build::BuildError;
use crate::image::pack::PackBase;
use crate::registry::{Registry, platform_name};

/// A base for one platform, and where it is.
pub(in crate::build) struct Base {
    pub(in crate::build) reference: Reference,
    pub(in crate::build) pack: PackBase,
}

impl Base {
    pub(super) fn platform(&self) -> String {
        platform_name(&self.pack.image.platform)
    }
}

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

/// Looks up the bases of a plan: references with the digest that each is pinned to. Only the
/// documents are fetched.
///
/// # Errors
/// A base that is gone, or has no digest: then nobody could say which layers are its.
pub(in crate::build) async fn look_up(
    registry: &Registry,
    pins: &BTreeMap<String, Option<String>>,
    platforms: &[String],
) -> Result<Vec<Base>, BuildError> {
    let mut bases = Vec::new();
    for (name, digest) in pins {
        let reference = reference::parse(name)?;
        let reference = match (digest, reference.digest()) {
            (Some(digest), _) => reference.clone_with_digest(digest.clone()),
            (None, Some(_)) => reference,
            (None, None) => {
                return Err(BuildError::BaseNowhere { name: name.clone() });
            }
        };
        for image in registry.images(&reference, None).await? {
            if !platforms.is_empty() && !platforms.contains(&platform_name(&image.platform)) {
                continue;
            }
            let config = registry.pull_blob(&reference, &image.config).await?;
            let config =
                serde_json::from_slice(&config).map_err(|source| BuildError::BaseConfig {
                    base: Box::new(reference.clone()),
                    source,
                })?;
            bases.push(Base {
                reference: reference.clone(),
                pack: PackBase { image, config },
            });
        }
    }
    Ok(bases)
}
