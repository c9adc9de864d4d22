//! The bases of an image, as their registries have them.

use std::collections::BTreeMap;

use mlbuild_templates::reference;
use oci_spec::distribution::Reference;

use crate::error::{CommandError, CommandResult};
use crate::image::pack::PackBase;
use crate::registry::{Registry, platform_name};

/// A base for one platform, and where it is.
pub(super) struct Base {
    pub(super) reference: Reference,
    pub(super) pack: PackBase,
}

impl Base {
    pub(super) fn platform(&self) -> String {
        platform_name(&self.pack.image.platform)
    }
}

/// Looks up the bases of a plan: references with the digest that each is pinned to. Only the
/// documents are fetched.
///
/// # Errors
/// A base that is gone, or has no digest: then nobody could say which layers are its.
pub(super) async fn look_up(
    registry: &Registry,
    pins: &BTreeMap<String, Option<String>>,
    platforms: &[String],
) -> CommandResult<Vec<Base>> {
    let mut bases = Vec::new();
    for (name, digest) in pins {
        let reference = reference::parse(name).map_err(CommandError::user)?;
        let reference = match (digest, reference.digest()) {
            (Some(digest), _) => reference.clone_with_digest(digest.clone()),
            (None, Some(_)) => reference,
            (None, None) => {
                return Err(CommandError::user(format!(
                    "the base {name} is in no registry, so an image on it can't be rebuilt elsewhere"
                ))
                .hint("push it, and name it with its registry (--base)"));
            }
        };
        for image in registry.images(&reference, None).await? {
            if !platforms.is_empty() && !platforms.contains(&platform_name(&image.platform)) {
                continue;
            }
            let config = registry.pull_blob(&reference, &image.config).await?;
            let config = serde_json::from_slice(&config)
                .map_err(|error| CommandError::work(format!("{reference}: {error}")))?;
            bases.push(Base {
                reference: reference.clone(),
                pack: PackBase { image, config },
            });
        }
    }
    Ok(bases)
}
