//! The pins of a project's images, in its lock.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use mlbuild_manifests::LockFile;
use mlbuild_manifests::lock::{LockedBuild, LockedImage};

use super::LockingError;
use super::project::Image;
use crate::planning::locked;
use crate::planning::locked::LockedPlan;
use crate::planning::{context, input_digests};
use crate::reporter::Reporter;

/// Writes the entries in one step, but those that say all this already.
///
/// # Errors
/// Where the lock can't be written.
pub(super) fn write(
    file: &Path,
    images: &[Image<'_>],
    builds: &[LockedBuild],
    reporter: &dyn Reporter,
) -> Result<(), LockingError> {
    let (mut entries, mut plans) = (Vec::new(), Vec::new());
    for (image, build) in images.iter().zip(builds) {
        let of_image = locked::plans(image.settings, build, &image.bases, reporter)?;
        entries.push(entry(image, build, &of_image)?);
        plans.extend(of_image);
    }
    let written = LockFile::update(file, |lock| {
        for entry in entries {
            let keep = lock.get(&entry.key()).is_some_and(|old| {
                old.build == entry.build
                    && old.bases == entry.bases
                    && old.variant == entry.variant
                    && old.derived.is_none()
            });
            if !keep {
                lock.insert(entry);
            }
        }
    });
    written?;
    let first = plans.first().expect("there is a platform");
    Ok(first.view.store().serves(file)?)
}

fn entry(
    image: &Image<'_>,
    build: &LockedBuild,
    plans: &[LockedPlan],
) -> Result<LockedImage, LockingError> {
    let first = plans.first().expect("there is a platform");
    let context = context::Before::look(image.settings, &first.plan)?;
    let inputs = input_digests::inputs_of_all(
        plans.iter().map(|locked| &locked.plan),
        &first.composed,
        context.digest().as_ref(),
        build.is_assembled(),
    );
    let key = image.key.clone();
    Ok(LockedImage {
        name: key.name,
        tag: key.tag,
        target: key.target,
        variant: image.settings.variant.clone(),
        created: Timestamp::now(),
        derived: None,
        inputs: inputs.expect("there is a platform"),
        bases: image.bases.pins.values().cloned().collect(),
        builder: None,
        platforms: BTreeMap::new(),
        published: None,
        packages: None,
        build: Some(build.clone()),
    })
}
