//! All images of a project, or one of them, from what is asked for to its pins.

use mlbuild_manifests::LockFile;
use mlbuild_manifests::lock::{ImageKey, LockedBuild, LockedImage};

use super::locker::Locker;
use super::together::{count_differing as differ, pins_of_others, told};
use super::{LockRequest, LockingError};
use crate::assembly::{self, Chosen};
use crate::host::{self, HostSettings};
use crate::planning::bases::{self, Bases};
use crate::planning::compose::{self, Composed};
use crate::planning::{build_plan, lock_key, registry_options};
use crate::registry::{Registry, mirror};
use crate::reporter::Reporter;
use crate::settings::{ImageSettings, LockMode, Method};

/// One of the images, before its packages are looked for.
pub(super) struct Image<'a> {
    request: &'a LockRequest,
    pub(super) settings: &'a ImageSettings,
    reporter: &'a dyn Reporter,
    pub(super) key: ImageKey,
    host: HostSettings,
    registry: Registry,
    old: Option<LockedImage>,
    composed: Composed,
    pub(super) bases: Bases,
    chosen: Chosen,
}

impl<'a> Image<'a> {
    /// Composes it, and pins its bases.
    pub(super) async fn read(
        request: &'a LockRequest,
        settings: &'a ImageSettings,
        lock: &LockFile,
        reporter: &'a dyn Reporter,
    ) -> Result<Self, LockingError> {
        let host = host::of_this_machine(settings.build.host_network_settings);
        let registry = Registry::new(registry_options(settings));
        let key = lock_key(settings);
        let old = lock.get(&key).cloned();
        let composed = compose::dockerfile(settings, &host, reporter)?;
        if request.as_of.is_some() && composed.request.is_none() {
            return Err(LockingError::AsOfOwnDockerfile);
        }
        if request.vendor && !settings.named {
            return Err(LockingError::VendorWithoutName);
        }
        let uses = build_plan::images(settings, &composed)?;
        let pull = settings.build.pull;
        let bases = bases::resolve(&uses, old.as_ref(), &settings.lock, pull, &registry);
        let mut bases = bases.await?;
        bases.refuse_unpinned()?;
        bases.tell_moved(reporter);
        let earlier = old.as_ref().and_then(|old| old.build.as_ref());
        let open = || build_plan::plan(settings, &composed, &uses, &bases);
        let chosen = assembly::choose(settings, &composed, open, earlier)?;
        Ok(Self {
            request,
            settings,
            reporter,
            key,
            host,
            registry,
            old,
            composed,
            bases,
            chosen,
        })
    }

    fn locker<'b>(&'b self, like: &'b [LockedBuild]) -> Locker<'b> {
        Locker {
            settings: self.settings,
            host: &self.host,
            composed: &self.composed,
            bases: &self.bases,
            as_of: self.request.as_of,
            like,
            registry: &self.registry,
            // Which may be large, and is of no more use where a builder makes the image.
            reads_base: self.chosen.method != Method::Buildkit,
            method: self.chosen.method,
            reporter: self.reporter,
        }
    }

    /// Its pins where the lock's fit; `None` where they have to be found.
    ///
    /// # Errors
    /// [`LockingError::WouldChange`] where the lock must not change.
    pub(super) fn kept(&self) -> Result<Option<LockedBuild>, LockingError> {
        let locker = self.locker(&[]);
        if self.request.as_of.is_none() && locker.fits(self.old.as_ref())? {
            let build = self.old.as_ref().and_then(|old| old.build.as_ref());
            return build.map(|build| locker.repacked(build)).transpose();
        }
        locker.refuse_locked(self.old.as_ref())?;
        Ok(None)
    }

    /// Its pins, looked for; versions of `like` are taken where they can be.
    pub(super) async fn found(&self, like: &[LockedBuild]) -> Result<LockedBuild, LockingError> {
        Box::pin(self.locker(like).resolve(self.old.as_ref())).await
    }

    /// Whether versions that are preferred have a part in what is found: a lock settles them, and pip and conda don't
    /// know of any.
    fn takes_versions(&self) -> bool {
        let request = self.composed.request.as_ref();
        request.is_some_and(|request| {
            let is_settled = request.project.is_some() || request.pylock.is_some();
            !is_settled && !request.by_pip
        })
    }

    /// Whose packages are looked for, where there are several images, and why a builder has to make it.
    fn tell_search(&self, is_one_of_several: bool) {
        if is_one_of_several {
            let words = self.settings.image_in_words();
            self.reporter
                .note(format!("looking for the packages of {words}"));
        }
        if let Some(reason) = &self.chosen.reason {
            self.reporter
                .note(format!("to be built by BuildKit: {reason}"));
        }
    }

    /// Packages beside the image and copies of its bases, as far as they are asked for.
    pub(super) async fn keep_elsewhere(&self, build: &mut LockedBuild) -> Result<(), LockingError> {
        if self.settings.lock.mode != LockMode::Free {
            return Ok(());
        }
        let earlier = self.old.as_ref().and_then(|old| old.build.as_ref());
        let was_vendored = earlier.is_some_and(|build| build.vendored.is_some());
        if self.request.vendor || (was_vendored && build.vendored.is_none()) {
            self.locker(&[]).vendor(build, &self.registry).await?;
        }
        let Some(to) = &self.settings.mirror else {
            return Ok(());
        };
        for base in self.bases.pins.values() {
            for platform in build.platforms.keys() {
                mirror::copy(&self.registry, to, base, platform, self.reporter).await?;
            }
        }
        Ok(())
    }

    /// An error of this image, which is named where there are several.
    pub(super) fn named(&self, is_one_of_several: bool, error: LockingError) -> LockingError {
        of_image(self.settings, is_one_of_several, error)
    }
}

/// An error of one image, which is named where there are several.
pub(super) fn of_image(
    settings: &ImageSettings,
    is_one_of_several: bool,
    error: LockingError,
) -> LockingError {
    if !is_one_of_several {
        return error;
    }
    LockingError::OfImage {
        image: settings.image_in_words(),
        source: Box::new(error),
    }
}

/// The pins of all of them. What the lock has of them stays where it fits; the others then take the same versions
/// where they can.
///
/// # Errors
/// Where a package can't be had, or the lock would have to change and must not.
pub(super) async fn pin_all(
    images: &[Image<'_>],
    lock: &LockFile,
) -> Result<Vec<LockedBuild>, LockingError> {
    let is_several = images.len() > 1;
    let of = |at: usize| move |error| images[at].named(is_several, error);
    let mut builds: Vec<Option<LockedBuild>> = Vec::new();
    for (at, image) in images.iter().enumerate() {
        builds.push(image.kept().map_err(of(at))?);
    }
    let missing = builds.iter().enumerate();
    let missing = missing.filter(|(_, build)| build.is_none());
    let missing: Vec<usize> = missing.map(|(at, _)| at).collect();
    for &at in &missing {
        let image = &images[at];
        image.tell_search(is_several);
        let like: Vec<LockedBuild> = match is_several {
            true => builds.iter().flatten().cloned().collect(),
            false => pins_of_others(image.settings, lock),
        };
        builds[at] = Some(image.found(&like).await.map_err(of(at))?);
    }
    let builds: Vec<LockedBuild> = builds.into_iter().flatten().collect();
    let mut builds = drawn_together(images, builds, &missing).await?;
    // The same time makes the same layers of what they have in common.
    let latest = builds.iter().map(|build| build.epoch).max();
    for at in missing {
        if images[at].settings.build.source_date_epoch.is_none() {
            builds[at].epoch = latest.unwrap_or_default();
        }
    }
    tell_differing(images, &builds);
    Ok(builds)
}

/// The same pins, where one that was looked for early takes versions that a later one is held to, as far as fewer
/// packages differ then.
async fn drawn_together(
    images: &[Image<'_>],
    mut builds: Vec<LockedBuild>,
    found: &[usize],
) -> Result<Vec<LockedBuild>, LockingError> {
    for (late, &like) in found.iter().enumerate() {
        let mut tried = builds.clone();
        for &at in &found[..late] {
            if !images[at].takes_versions() || differ(&tried[at], &builds[like]) == 0 {
                continue;
            }
            images[at].tell_search(true);
            let order = std::iter::once(&builds[like]).chain(&builds);
            let order: Vec<LockedBuild> = order.cloned().collect();
            let again = images[at].found(&order).await;
            tried[at] = again.map_err(|error| images[at].named(true, error))?;
        }
        if all_differing(&tried) < all_differing(&builds) {
            builds = tried;
        }
    }
    Ok(builds)
}

/// How many packages differ, of each two images.
fn all_differing(builds: &[LockedBuild]) -> usize {
    let rest = |at: usize| builds.iter().skip(at + 1);
    let all = builds.iter().enumerate();
    let of_one = |(at, one)| -> usize { rest(at).map(|other| differ(one, other)).sum() };
    all.map(of_one).sum()
}

/// Says which packages have another version in another image: something asks for that.
fn tell_differing(images: &[Image<'_>], builds: &[LockedBuild]) {
    let names = images.iter().map(|image| image.settings.image_in_words());
    let all: Vec<(String, &LockedBuild)> = names.zip(builds).collect();
    for line in told(&all) {
        images[0].reporter.note(line);
    }
}
