//! The image in its registry.

use std::collections::BTreeMap;

use oci_spec::distribution::Reference;
use oci_spec::image::Descriptor;

use super::error::InspectError;
use super::local::Local;
use super::report::{InspectReport, RegistryFacts};
use crate::image::is_index;
use crate::image_source::{self, Opened};
use crate::registry::{Registry, RegistryError};

/// What came of asking it.
pub(super) enum Remote {
    NotAsked,
    Found(Box<Found>),
    Absent(RegistryError),
    Failed(InspectError),
}

/// An image that the registry has.
pub(super) struct Found {
    /// As it was named, without digest.
    pub(super) reference: Reference,
    /// What the name means now.
    pub(super) top: Descriptor,
    pub(super) opened: Opened,
}

/// Asks for an image.
///
/// # Errors
/// Where the name is none.
pub(super) async fn look(name: &str, registry: &Registry) -> Result<Remote, InspectError> {
    let reference = RegistryError::reference(name)?;
    let top = match registry.pull_manifest(&reference).await {
        Ok((top, _)) => top,
        Err(error @ RegistryError::NotFound { .. }) => return Ok(Remote::Absent(error)),
        Err(error) => return Ok(Remote::Failed(error.into())),
    };
    // By digest from here on: the tag may move meanwhile.
    let exact = reference.clone_with_digest(top.digest().to_string());
    Ok(
        match image_source::open(&exact.to_string(), registry).await {
            Ok(opened) => Remote::Found(Box::new(Found {
                reference,
                top,
                opened,
            })),
            Err(error) => Remote::Failed(error.into()),
        },
    )
}

impl Remote {
    /// Why the registry's word isn't there.
    pub(super) fn problem(&self) -> RegistryFacts {
        RegistryFacts {
            problem: match self {
                Self::NotAsked | Self::Found(_) => None,
                Self::Absent(_) => Some("it doesn't have the image".to_owned()),
                Self::Failed(error) => Some(error.to_string()),
            },
            ..RegistryFacts::default()
        }
    }

    /// The error where this machine doesn't have it either.
    pub(super) fn nowhere(self, name: &str, here: &Local) -> InspectError {
        let here = match here {
            Local::Found(_) => String::new(),
            Local::Absent(cli) => format!("{cli} doesn't have it here"),
            Local::NoRuntime(why) => why.to_string(),
        };
        let (registry, is_absent) = match self {
            Self::NotAsked | Self::Found(_) => {
                let image = name.to_owned();
                return InspectError::NotHere { image, here };
            }
            Self::Absent(error) => (error.into(), true),
            Self::Failed(error) => (error, false),
        };
        InspectError::Nowhere {
            registry: Box::new(registry),
            is_absent,
            here,
        }
    }
}

impl Found {
    /// Adds what the registry tells.
    pub(super) fn add_to(&self, report: &mut InspectReport) {
        let (registry, repository) = (self.reference.registry(), self.reference.repository());
        let digest = self.top.digest();
        report.pinned = Some(format!("{registry}/{repository}@{digest}"));
        report.index = is_index(self.top.media_type()).then(|| digest.clone());
        report.add_platforms(&self.opened);
    }

    /// Asks for each blob of the platforms that the report is about.
    pub(super) async fn see_whether_it_can_be_pulled(
        &self,
        report: &mut InspectReport,
        registry: &Registry,
    ) {
        let images = self.opened.images.iter();
        let wanted = images.filter(|(name, _)| report.platforms.contains_key(*name));
        let blobs = wanted.flat_map(|(_, image)| {
            let layers = image.image.layers.iter().map(|layer| &layer.blob);
            layers.chain([&image.image.config])
        });
        let blobs: BTreeMap<_, _> = blobs.map(|b| (b.digest().to_string(), b.clone())).collect();
        let blobs: Vec<Descriptor> = blobs.into_values().collect();
        let facts = &mut report.registry;
        facts.blobs = Some(blobs.len());
        match registry.missing_blobs(&self.reference, &blobs).await {
            Ok(missing) => {
                facts.can_be_pulled = Some(missing.is_empty());
                facts.missing = missing.iter().map(|b| b.digest().clone()).collect();
            }
            Err(error) => facts.problem = Some(error.to_string()),
        }
    }
}
