//! Copies of base images, by digest, in a registry of one's own: upstream tags get deleted, and a
//! lock whose base is gone rebuilds nothing.

use std::io;
use std::sync::Arc;

use mlbuild_manifests::lock::LockedBase;
use mlbuild_templates::reference::{self, ReferenceError};
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest, ImageManifest};
use tokio::task::JoinError;

use super::{Registry, RegistryError};
use crate::error::ErrorKind;
use crate::image::LayoutWriter;
use crate::image::layout_writer::LayoutWriteError;
use crate::reporter::Reporter;

/// Why a base has no copy.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The base is no reference.
    #[error(transparent)]
    Base(#[from] ReferenceError),
    /// The place of copies can't be part of a name.
    #[error("[registry] mirror {to}: {source}")]
    Place {
        /// The place.
        to: String,
        /// What is wrong with it.
        source: ReferenceError,
    },
    /// A registry refuses, or can't be asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The base's manifest makes no sense.
    #[error("{base}: {source}")]
    Manifest {
        /// The base.
        base: Box<Reference>,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A blob of the base can't be fetched.
    #[error("{base}: {source}")]
    Blob {
        /// The base.
        base: String,
        /// Why.
        source: io::Error,
    },
    /// There is no place for the copy on its way.
    #[error(transparent)]
    Layout(#[from] LayoutWriteError),
    /// Work on another thread ended by a panic.
    #[error(transparent)]
    Thread(#[from] JoinError),
}

impl MirrorError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Base(_) | Self::Place { .. } => ErrorKind::User,
            Self::Registry(error) => error.kind(),
            _ => ErrorKind::Environment,
        }
    }
}

/// The name of a base's copy for a platform, with the digest of its manifest.
///
/// # Errors
/// Where the place can't be part of a name.
pub fn name(
    to: &str,
    base: &LockedBase,
    platform: &str,
) -> Result<Option<(Reference, Digest)>, MirrorError> {
    let manifest = base.platforms.get(platform).or_else(|| {
        // An image without an index is its own manifest.
        base.platforms
            .values()
            .next()
            .filter(|_| base.platforms.len() == 1)
    });
    let Some(manifest) = manifest else {
        return Ok(None);
    };
    let original = reference::parse(&base.reference)?;
    let host = original.registry().replace(':', "-");
    let tag = original.tag().unwrap_or("latest");
    let text = format!(
        "{}/{host}/{}:{tag}-{}",
        to.trim_end_matches('/'),
        original.repository(),
        platform.replace('/', "-"),
    );
    let copy = reference::parse(&text).map_err(|source| MirrorError::Place {
        to: to.to_owned(),
        source,
    })?;
    Ok(Some((copy, manifest.clone())))
}

/// Copies a base for one platform, unless it is there; gives the copy's name with its digest.
///
/// # Errors
/// Where either registry refuses.
pub async fn copy(
    registry: &Registry,
    to: &str,
    base: &LockedBase,
    platform: &str,
    reporter: &dyn Reporter,
) -> Result<Option<String>, MirrorError> {
    let Some((target, digest)) = name(to, base, platform)? else {
        return Ok(None);
    };
    let named = format!("{target}@{digest}");
    if matches!(registry.exists(&target, &digest).await, Ok(true)) {
        return Ok(Some(named));
    }
    reporter.note(format!(
        "copying {} for {platform} to {target}",
        base.reference
    ));
    let original = reference::parse(&base.reference)?;
    let original = original.clone_with_digest(digest.to_string());
    let (top, bytes) = registry.pull_manifest(&original).await?;
    let manifest: ImageManifest =
        serde_json::from_slice(&bytes).map_err(|source| MirrorError::Manifest {
            base: Box::new(original.clone()),
            source,
        })?;
    let layout = LayoutWriter::new()?;
    layout.document(top.media_type().clone(), &bytes)?;
    let blobs: Vec<Descriptor> = manifest
        .layers()
        .iter()
        .chain([manifest.config()])
        .cloned()
        .collect();
    for blob in blobs {
        let place = layout.place(blob.digest().digest());
        let (from, source) = (registry.clone(), original.clone());
        let runtime = tokio::runtime::Handle::current();
        let fetch = move || -> io::Result<()> {
            let mut stream = from
                .open_blob(&source, &blob, &runtime)
                .map_err(io::Error::other)?;
            io::copy(&mut stream, &mut std::fs::File::create(&place)?).map(drop)
        };
        let done = tokio::task::spawn_blocking(fetch).await;
        done?.map_err(|source| MirrorError::Blob {
            base: base.reference.clone(),
            source,
        })?;
    }
    // The registry compares every blob with its digest.
    let finished = layout.finish(&top)?;
    registry
        .push_layout(&finished, &target, &[], Arc::new(|_| {}))
        .await?;
    Ok(Some(named))
}
