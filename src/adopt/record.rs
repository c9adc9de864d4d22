//! The new image in the project's lock: derived from an entry that says what it was made from.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use mlbuild_manifests::LockFile;
use mlbuild_manifests::document::{Document, LOCK_ARTIFACT_TYPE};
use mlbuild_manifests::lock::{Derived, LockedImage, PublishedImage};
use oci_spec::distribution::Reference;

use super::derive::Adopted;
use super::source::{self, Source};
use crate::error::CommandResult;
use crate::lock::file::{load, lock_error, platform};
use crate::registry::{Published, Registry};
use crate::reporter::Reporter;

/// What an entry is written from.
#[derive(Clone, Copy)]
pub struct NewEntry<'a> {
    /// The image that was given to another user.
    pub from: &'a Reference,
    /// That image, as far as it was read.
    pub source: &'a Source,
    /// The new image.
    pub adopted: &'a Adopted,
    /// What the registry confirmed of it.
    pub published: &'a Published,
}

/// Writes the entry; returns the lock's file, or `None` where nothing is known of how the
/// image was made, which an entry has to say.
///
/// # Errors
/// A lock that can't be used or written.
pub async fn record(
    file: &Path,
    registry: &Registry,
    new: NewEntry<'_>,
    reporter: &dyn Reporter,
) -> CommandResult<Option<PathBuf>> {
    let NewEntry {
        from,
        source,
        adopted,
        published,
    } = new;
    let here = load(file)?;
    let here = here.images().find(|entry| is_of(entry, source)).cloned();
    let origin = match here {
        Some(entry) => Some(entry),
        None => attached(registry, from, source).await,
    };
    let Some(origin) = origin else {
        reporter.note(format!(
            "not locked: neither {} nor the registry says how {from} was made",
            file.display()
        ));
        return Ok(None);
    };
    let changed = adopted.platforms.iter().find_map(|p| p.reowned.as_ref());
    let derived = changed.map(|new| Derived {
        from: format!("{}@{}", source::name(from), source.top.descriptor.digest()),
        uid: new.now.uid as u32,
        gid: new.now.gid as u32,
        name: new.now.name.clone(),
    });
    let (to, descriptor) = (&published.reference, &published.descriptor);
    let entry = LockedImage {
        name: format!("{}/{}", to.registry(), to.repository()),
        tag: to.tag().map(str::to_owned),
        created: Timestamp::now(),
        derived: derived.or_else(|| origin.derived.clone()),
        platforms: adopted
            .platforms
            .iter()
            .map(|p| platform(&p.image))
            .collect(),
        published: Some(PublishedImage {
            reference: to.to_string(),
            digest: descriptor.digest().clone(),
            media_type: descriptor.media_type().to_string(),
            size: descriptor.size(),
        }),
        ..origin
    };
    let written = LockFile::update(file, |lock| {
        let says_it = |old: &LockedImage| {
            let created = old.created;
            *old == LockedImage {
                created,
                ..entry.clone()
            }
        };
        if !lock.get(&entry.key()).is_some_and(says_it) {
            lock.insert(entry.clone());
        }
    });
    written.map_err(lock_error)?;
    reporter.note(format!("locked in {}", file.display()));
    Ok(Some(file.to_path_buf()))
}

/// True if the entry is about this image.
fn is_of(entry: &LockedImage, source: &Source) -> bool {
    let top = source.top.descriptor.digest();
    let manifests = || entry.platforms.values().map(|platform| &platform.manifest);
    entry.published.as_ref().is_some_and(|p| p.digest == *top)
        || source
            .platforms
            .iter()
            .any(|p| manifests().any(|manifest| manifest == p.image.manifest.digest()))
}

/// The entry that travels with the image, where one does.
async fn attached(registry: &Registry, from: &Reference, source: &Source) -> Option<LockedImage> {
    let top = source.top.descriptor.digest();
    let found = registry
        .referrers(from, top, Some(LOCK_ARTIFACT_TYPE))
        .await;
    for referrer in found.ok()? {
        let document = registry
            .pull_attached(from, &referrer.descriptor)
            .await
            .ok()?;
        let entry = LockedImage::from_json(&document).ok();
        if let Some(entry) = entry.filter(|entry| is_of(entry, source)) {
            return Some(entry);
        }
    }
    None
}
