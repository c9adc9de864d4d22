//! Which packages an image gets, found out and pinned by hash, without building it.
//!
//! Packages are resolved inside the base image, on a builder. What a build does with the pins is
//! left to [`crate::planning`] and [`crate::build`].

mod as_of;
mod ask;
pub mod beside;
mod epoch;
mod error;
pub mod file;
mod here;
pub mod kept;
pub mod locker;
mod project;
pub mod provide;
pub mod searches;
pub mod together;
mod vendor;
mod write;

use std::collections::BTreeMap;

use jiff::Timestamp;
use mlbuild_manifests::lock::{ImageKey, LockedBuild};
use oci_spec::image::Digest;
use serde::Serialize;

pub use as_of::parse as parse_as_of;
pub use beside::{Fit, LockBeside, LockBesideError, entries_beside, fit, lock_beside_image};
pub use error::LockingError;

use self::project::{Image, of_image};
use crate::reporter::Reporter;
use crate::settings::{self, BuildRequest, ImageSettings, LockMode, SettingsError};

/// What is to be pinned.
#[derive(Debug, Clone, Default)]
pub struct LockRequest {
    /// The image. What only a build has a use for (push, load, outputs) is left aside.
    pub image: BuildRequest,
    /// Keep the packages beside the image in its registry too.
    pub vendor: bool,
    /// The time as of which packages are looked for; `None`: that of the lock, or now.
    pub as_of: Option<Timestamp>,
}

/// What the lock pins now. As JSON it is what `mlbuild lock --format json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct LockOutcome {
    /// Path of the lock.
    pub lock: String,
    /// Name of the image.
    pub image: String,
    /// The variant of the project's image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Names what was asked for: base, packages, and the files that say which.
    pub request: Digest,
    /// Seconds since 1970-01-01 that no time in the image is past.
    pub epoch: i64,
    /// The time as of which packages were looked for.
    pub as_of: Option<Timestamp>,
    /// What names the packages beside the image.
    pub vendored: Option<Digest>,
    /// By platform.
    pub platforms: BTreeMap<String, PinnedPackages>,
    /// The same of the project's further images, where all its variants were pinned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<LockOutcome>,
}

/// How much is pinned for one platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PinnedPackages {
    /// Debian packages.
    pub apt: usize,
    /// Python packages.
    pub python: usize,
    /// Packages of conda's channels.
    #[serde(skip_serializing_if = "is_none")]
    pub conda: usize,
    /// The size of all of them.
    pub bytes: u64,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

/// Pins the packages of an image, or of all variants of a project where none is named: all of them are written in
/// one step, or nothing is. With a lock that must not change nothing is resolved: it says whether the lock still
/// fits.
///
/// # Errors
/// Where a base, a builder or a package can't be had, or the lock would have to change and must not.
pub async fn run(
    request: &LockRequest,
    reporter: &dyn Reporter,
) -> Result<LockOutcome, LockingError> {
    let requests = settings::each_variant(&request.image)?;
    let settings = requests.iter().map(settings::resolve);
    let settings: Vec<ImageSettings> = settings.collect::<Result<_, SettingsError>>()?;
    let first = settings.first().expect("a project has an image");
    for settings in &settings {
        settings.check_trust(reporter)?;
    }
    let path = first.lock.file.as_deref().ok_or(LockingError::NoLock)?;
    let lock = file::load(path)?;
    let is_several = settings.len() > 1;
    let mut images = Vec::new();
    for settings in &settings {
        let image = Image::read(request, settings, &lock, reporter).await;
        images.push(image.map_err(|error| of_image(settings, is_several, error))?);
    }
    let mut builds = project::pin_all(&images, &lock).await?;
    for (image, build) in images.iter().zip(&mut builds) {
        let kept = image.keep_elsewhere(build).await;
        kept.map_err(|error| image.named(is_several, error))?;
    }
    if first.lock.mode == LockMode::Free {
        write::write(path, &images, &builds, reporter)?;
    }
    let lock = path.display().to_string();
    let outcomes = images.iter().zip(builds).map(|(image, build)| {
        let outcome = outcome(image.settings, lock.clone(), build);
        tell(&outcome, &image.key, reporter);
        outcome
    });
    let mut outcomes: Vec<LockOutcome> = outcomes.collect();
    let others = outcomes.split_off(1);
    let first = outcomes.pop().expect("a project has an image");
    Ok(LockOutcome { others, ..first })
}

fn outcome(settings: &ImageSettings, lock: String, build: LockedBuild) -> LockOutcome {
    let platforms = build.platforms.iter().map(|(platform, pins)| {
        let pinned = PinnedPackages {
            apt: pins.apt.len(),
            python: pins.python_packages.len(),
            conda: pins.conda.len(),
            bytes: pins.files().map(|(_, size)| size).sum(),
        };
        (platform.clone(), pinned)
    });
    LockOutcome {
        lock,
        image: settings.tags[0].to_string(),
        variant: settings.variant.clone(),
        others: Vec::new(),
        platforms: platforms.collect(),
        request: build.request,
        epoch: build.epoch,
        as_of: build.as_of,
        vendored: build.vendored,
    }
}

fn tell(outcome: &LockOutcome, key: &ImageKey, reporter: &dyn Reporter) {
    for (platform, pinned) in &outcome.platforms {
        let conda = match pinned.conda {
            0 => String::new(),
            count => format!("{count} of conda's, "),
        };
        reporter.note(format!(
            "{key} for {platform}: {conda}{} Debian and {} Python packages, {} MB",
            pinned.apt,
            pinned.python,
            pinned.bytes.div_ceil(1_000_000)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reporter::Silent;

    /// So a caller may spawn it.
    #[test]
    fn the_future_of_a_lock_may_go_to_another_thread() {
        fn may_move(_future: impl Send) {}
        may_move(run(&LockRequest::default(), &Silent));
    }
}
