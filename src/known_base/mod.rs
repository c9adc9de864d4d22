//! The base of an image: where it is, what its registry says of it, and what its layers hold. What is
//! named by a digest is kept from one build to the next.

mod documents;

use std::collections::BTreeMap;
use std::path::PathBuf;

use mlbuild_templates::reference::{self, ReferenceError};
use oci_spec::distribution::Reference;

use crate::assemble::{AssembleError, BaseFacts};
use crate::env_vars;
use crate::error::from_boxed;
use crate::image::pack::PackBase;
use crate::image_source::{self, ImageSourceError};
use crate::registry::{Registry, RegistryError, platform_name};

pub use documents::look_up as look_up_kept;

/// A base for one platform, and where it is.
#[derive(Clone)]
pub struct Base {
    /// Where it is, with its digest.
    pub reference: Reference,
    /// Its layers and its configuration.
    pub pack: PackBase,
}

/// Why a base isn't known.
#[derive(Debug, thiserror::Error)]
pub enum KnownBaseError {
    /// It has no digest: no registry has it.
    #[error("the base {0} is in no registry")]
    Nowhere(String),
    /// It is no reference.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// Its registry.
    #[error(transparent)]
    Registry(#[from] Box<RegistryError>),
    /// Its layers can't be read.
    #[error(transparent)]
    Source(#[from] Box<ImageSourceError>),
    /// Its configuration makes no sense.
    #[error("{base}: {source}")]
    Config {
        /// The base.
        base: Box<Reference>,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

from_boxed!(KnownBaseError {
    Registry(RegistryError),
    Source(ImageSourceError),
});

impl Base {
    /// Its platform: `linux/amd64`.
    pub fn platform(&self) -> String {
        platform_name(&self.pack.image.platform)
    }

    /// What its layers hold, as far as it was read before; `None` where it wasn't.
    pub fn kept_facts(&self) -> Option<Result<BaseFacts, AssembleError>> {
        BaseFacts::kept(&self.pack, &facts_folder()?)
    }

    /// What its layers hold; they are read once on a machine. The inner error says why packages can't be
    /// put on it.
    ///
    /// # Errors
    /// A registry that doesn't give them.
    pub async fn facts(
        &self,
        registry: &Registry,
    ) -> Result<Result<BaseFacts, AssembleError>, KnownBaseError> {
        if let Some(found) = self.kept_facts() {
            return Ok(found);
        }
        let opened = image_source::open(&self.reference.to_string(), registry).await?;
        let folder = facts_folder();
        let read = || BaseFacts::read(&self.pack, &opened, folder.as_deref());
        Ok(tokio::task::block_in_place(read))
    }
}

fn facts_folder() -> Option<PathBuf> {
    env_vars::state_dir().map(|state| state.join("bases"))
}

/// Looks up the bases of a plan: references with the digest that each is pinned to. Only the
/// documents are fetched.
///
/// # Errors
/// A base that is gone, or has no digest: then nobody could say which layers are its.
pub async fn look_up(
    registry: &Registry,
    pins: &BTreeMap<String, Option<String>>,
    platforms: &[String],
) -> Result<Vec<Base>, KnownBaseError> {
    let mut bases = Vec::new();
    for (name, digest) in pins {
        let reference = reference::parse(name)?;
        let reference = match (digest, reference.digest()) {
            (Some(digest), _) => reference.clone_with_digest(digest.clone()),
            (None, Some(_)) => reference,
            (None, None) => return Err(KnownBaseError::Nowhere(name.clone())),
        };
        for image in registry.images(&reference, None).await? {
            if !platforms.is_empty() && !platforms.contains(&platform_name(&image.platform)) {
                continue;
            }
            let config = registry.pull_blob(&reference, &image.config).await?;
            let config =
                serde_json::from_slice(&config).map_err(|source| KnownBaseError::Config {
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
