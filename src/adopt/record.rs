//! The new image in the project's lock: derived from an entry that says what it was made from.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use mlbuild_manifests::LockFile;
use mlbuild_manifests::lock::{Derived, LockedImage, PublishedImage};
use oci_spec::distribution::Reference;
use oci_spec::image::Digest;

use super::derive::Adopted;
use super::error::AdoptError;
use super::source::{self, Source};
use crate::lock::file::platform;
use crate::lock::{Fit, beside, lock_beside_image};
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
) -> Result<Option<PathBuf>, AdoptError> {
    let NewEntry {
        from,
        source,
        adopted,
        published,
    } = new;
    let here = LockFile::load(file)?;
    let digests = digests(source);
    let is_of = |entry: &&LockedImage| beside::fit(entry, &digests) == Fit::Named;
    let here = here.images().find(is_of).cloned();
    let origin = match here {
        Some(entry) => Some(entry),
        None => attached(registry, from, &digests).await,
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
    written?;
    reporter.note(format!("locked in {}", file.display()));
    Ok(Some(file.to_path_buf()))
}

/// The digests that a lock may have of this image.
fn digests(source: &Source) -> Vec<Digest> {
    let manifests = source.platforms.iter().map(|p| p.image.manifest.digest());
    let top = source.top.descriptor.digest();
    [top].into_iter().chain(manifests).cloned().collect()
}

/// The entry that travels with the image, where one does.
async fn attached(
    registry: &Registry,
    from: &Reference,
    digests: &[Digest],
) -> Option<LockedImage> {
    let beside = lock_beside_image(registry, from, digests).await.ok()??;
    (beside.fit == Fit::Named).then_some(beside.entry)
}
