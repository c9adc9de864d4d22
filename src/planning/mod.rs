//! What is built: settings, the Dockerfile, and what each base is pinned to → a [`BuildPlan`], and
//! the digests of everything that it is made from.
//!
//! Nothing here needs a builder. Pinning packages is left to `lock`, building to `build`.
//!
//! [`BuildPlan`]: crate::plan::BuildPlan

pub mod bases;
pub mod build_plan;
pub mod compose;
pub mod context;
mod error;
pub mod explain;
mod ignore;
pub mod input_digests;
mod large;
mod layouts;
pub mod locked;
pub mod origins;
mod repack;
pub mod sent;
pub mod titles;

use mlbuild_manifests::lock::ImageKey;
use oci_spec::distribution::Reference;

pub use error::PlanningError;

use crate::registry::RegistryOptions;
use crate::settings::ImageSettings;

/// How registries are reached for these settings.
pub fn registry_options(settings: &ImageSettings) -> RegistryOptions {
    RegistryOptions {
        insecure: settings.insecure.iter().cloned().collect(),
        mirrors: settings.mirrors.clone(),
        ..RegistryOptions::default()
    }
}

/// Name, tag and stage: what tells entries of one lock apart.
pub fn lock_key(settings: &ImageSettings) -> ImageKey {
    lock_key_of(&settings.tags[0], settings)
}

/// The same for an image of another name, with the same stage.
pub fn lock_key_of(reference: &Reference, settings: &ImageSettings) -> ImageKey {
    ImageKey {
        name: format!("{}/{}", reference.registry(), reference.repository()),
        tag: reference.tag().map(str::to_owned),
        target: settings.build.target.clone(),
    }
}
