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
    let plans = locked::plans(settings, build, bases, reporter)?;
    let first = plans.first().expect("there is a platform");
    let context = context::Before::look(settings, &first.plan)?;
    let inputs = input_digests::inputs_of_all(
        plans.iter().map(|locked| &locked.plan),
        &first.composed,
        context.digest().as_ref(),
        build.is_assembled(),
    );
    let entry = LockedImage {
        name: key.name.clone(),
        tag: key.tag.clone(),
        target: key.target.clone(),
        created: Timestamp::now(),
        derived: None,
        inputs: inputs.expect("there is a platform"),
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
    Ok(first.view.store().serves(file)?)
}
