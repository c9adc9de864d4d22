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
pub mod provide;
pub mod searches;
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

use self::locker::Locker;
use crate::assembly;
use crate::host;
use crate::planning::bases::{self, Bases};
use crate::planning::{build_plan, compose, lock_key, registry_options};
use crate::registry::{Registry, mirror};
use crate::reporter::Reporter;
use crate::settings::{self, BuildRequest, ImageSettings, LockMode, Method};

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

/// Pins the packages of an image. With a lock that must not change nothing is resolved: it says
/// whether the lock still fits.
///
/// # Errors
/// Where a base, a builder or a package can't be had, or the lock would have to change and must not.
pub async fn run(
    request: &LockRequest,
    reporter: &dyn Reporter,
) -> Result<LockOutcome, LockingError> {
    let settings = &settings::resolve(&request.image)?;
    settings.check_trust(reporter)?;
    let path = settings.lock.file.as_deref().ok_or(LockingError::NoLock)?;
    let host = host::of_this_machine(settings.build.host_network_settings);
    let registry = Registry::new(registry_options(settings));
    let key = lock_key(settings);
    let old = file::load(path)?.get(&key).cloned();
    let composed = compose::dockerfile(settings, &host, reporter)?;
    if request.as_of.is_some() && composed.request.is_none() {
        return Err(LockingError::AsOfOwnDockerfile);
    }
    let uses = build_plan::images(settings, &composed)?;
    let pull = settings.build.pull;
    let bases = bases::resolve(&uses, old.as_ref(), &settings.lock, pull, &registry);
    let mut bases = bases.await?;
    bases.refuse_unpinned()?;
    bases.tell_moved(reporter);
    let earlier = old.as_ref().and_then(|old| old.build.clone());
    let open = || build_plan::plan(settings, &composed, &uses, &bases);
    let chosen = assembly::choose(settings, &composed, open, earlier.as_ref())?;
    let locker = Locker {
        settings,
        host: &host,
        composed: &composed,
        bases: &bases,
        as_of: request.as_of,
        registry: &registry,
        // Which may be large, and is of no more use where a builder makes the image.
        reads_base: chosen.method != Method::Buildkit,
        method: chosen.method,
        reporter,
    };
    let fits = request.as_of.is_none() && locker.fits(old.as_ref())?;
    if !fits {
        locker.refuse_locked(old.as_ref())?;
    }
    if request.vendor && !settings.named {
        return Err(LockingError::VendorWithoutName);
    }
    if let Some(reason) = chosen.reason.filter(|_| !fits) {
        reporter.note(format!("to be built by BuildKit: {reason}"));
    }
    let mut build = match earlier.clone().filter(|_| fits) {
        Some(build) => locker.repacked(&build)?,
        None => Box::pin(locker.resolve(old.as_ref())).await?,
    };
    let was_vendored = earlier.is_some_and(|build| build.vendored.is_some());
    if settings.lock.mode == LockMode::Free {
        if request.vendor || (was_vendored && build.vendored.is_none()) {
            locker.vendor(&mut build, &registry).await?;
        }
        mirror_bases(settings, &registry, &bases, &build, reporter).await?;
        write::write(settings, &key, &bases, &build, reporter)?;
    }
    let outcome = outcome(settings, path.display().to_string(), build);
    tell(&outcome, &key, reporter);
    Ok(outcome)
}

/// Copies the bases, where the settings name a place for that.
async fn mirror_bases(
    settings: &ImageSettings,
    registry: &Registry,
    bases: &Bases,
    build: &LockedBuild,
    reporter: &dyn Reporter,
) -> Result<(), LockingError> {
    let Some(to) = &settings.mirror else {
        return Ok(());
    };
    for base in bases.pins.values() {
        for platform in build.platforms.keys() {
            mirror::copy(registry, to, base, platform, reporter).await?;
        }
    }
    Ok(())
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
