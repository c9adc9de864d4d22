//! The pins of an image, in the lock of its project.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mlbuild_manifests::LockFile;
use mlbuild_manifests::lock::{ImageKey, LockedBuild, LockedImage};

use super::LockingError;
use crate::planning::bases::Bases;
use crate::planning::locked;
use crate::planning::{context, input_digests};
use crate::reporter::Reporter;
use crate::settings::ImageSettings;

/// Writes the entry, unless it says all this already.
///
/// # Errors
/// Where the lock can't be written.
pub(super) fn write(
    settings: &ImageSettings,
    key: &ImageKey,
    bases: &Bases,
    build: &LockedBuild,
    reporter: &dyn Reporter,
) -> Result<(), LockingError> {
    let file = settings.lock.file.as_deref().expect("there is a lock");
    let locked = locked::plan(settings, build, bases, reporter)?;
    let context = context::Before::look(settings, &locked.plan)?;
    let entry = LockedImage {
        name: key.name.clone(),
        tag: key.tag.clone(),
        target: key.target.clone(),
        created: Timestamp::now(),
        derived: None,
        inputs: input_digests::inputs(
            &locked.plan,
            &locked.composed,
            context.digest(),
            build.is_assembled(),
        ),
        bases: bases.pins.values().cloned().collect(),
        builder: None,
        platforms: BTreeMap::new(),
        published: None,
        packages: None,
        build: Some(build.clone()),
    };
    let written = LockFile::update(file, |lock| {
        let keep = lock.get(key).is_some_and(|old| {
            old.build == entry.build && old.bases == entry.bases && old.derived.is_none()
        });
        if !keep {
            lock.insert(entry);
        }
    });
    written?;
    Ok(locked.view.store().serves(file)?)
}
