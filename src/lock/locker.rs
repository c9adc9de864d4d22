//! Which packages an image gets: whether the lock's fit what is asked for, and resolving them anew.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mlbuild_manifests::lock::{ASSEMBLE, LockedBuild, LockedImage, Pins};
use mlbuild_progress::printable;
use mlbuild_templates::PackageRequest;

use super::ask::Question;
use super::here::{Asked, SearchBuilder};
use super::provide::Fetch;
use super::{LockingError, as_of, epoch, searches, together, vendor};
use crate::assembly::Looking;
use crate::builder::{self, Builder};
use crate::host::HostSettings;
use crate::package_store::{Answer, Store, read_answer};
use crate::plan::{BuildPlan, Compression};
use crate::planning::bases::Bases;
use crate::planning::build_plan;
use crate::planning::compose::Composed;
use crate::planning::locked;
use crate::registry::Registry;
use crate::reporter::Reporter;
use crate::resolve::preferred_versions;
use crate::settings::{ImageSettings, LockMode, Method, Upgrade};

/// What decides which packages an image gets.
pub struct Locker<'a> {
    /// Settings.
    pub settings: &'a ImageSettings,
    /// The host's network.
    pub host: &'a HostSettings,
    /// The Dockerfile in its open form.
    pub composed: &'a Composed,
    /// Base images.
    pub bases: &'a Bases,
    /// The time as of which packages are looked for; where it is `None`, that of the lock, until
    /// they are to move on.
    pub as_of: Option<Timestamp>,
    /// Pins of the project's other images, whose versions are taken where they can be.
    pub like: &'a [LockedBuild],
    /// Registries.
    pub registry: &'a Registry,
    /// Whether layers of a base that nobody here has read yet are read for a search. Otherwise the base is
    /// asked on a builder, which may have it already.
    pub reads_base: bool,
    /// What makes the image, as far as that is known before its packages are.
    pub method: Method,
    /// Takes what there is to tell.
    pub reporter: &'a dyn Reporter,
}

impl Locker<'_> {
    /// True if the entry's packages are those that are asked for now, and none is to move.
    ///
    /// # Errors
    /// Where a file of the project can't be read.
    pub fn fits(&self, entry: Option<&LockedImage>) -> Result<bool, LockingError> {
        let Some(build) = entry.and_then(|entry| entry.build.as_ref()) else {
            return Ok(false);
        };
        if self.moves_on() {
            return Ok(false);
        }
        let asked = &self.settings.build.platforms;
        Ok(asked.iter().all(|name| build.platforms.contains_key(name))
            && build.request == self.request()?)
    }

    fn moves_on(&self) -> bool {
        let moves = |what: &Upgrade| matches!(what, Upgrade::All | Upgrade::Apt | Upgrade::Python);
        self.settings.lock.upgrade.iter().any(moves)
    }

    /// The time as of which packages are looked for.
    fn as_of(&self, old: Option<&LockedImage>) -> Option<Timestamp> {
        let kept = old.and_then(|old| old.build.as_ref()?.as_of);
        self.as_of.or(kept.filter(|_| !self.moves_on()))
    }

    /// What a build is made from: the entry's pins, or new ones where the project asks for other
    /// packages now. `None` where the lock pins none.
    ///
    /// # Errors
    /// [`LockingError::WouldChange`] where the pins don't fit, and must not change.
    pub async fn pins_of(
        &self,
        entry: Option<&LockedImage>,
        registry: &Registry,
    ) -> Result<Option<LockedBuild>, LockingError> {
        let Some(old) = entry.and_then(|entry| entry.build.as_ref()) else {
            return Ok(None);
        };
        if self.fits(entry)? {
            return self.repacked(old).map(Some);
        }
        self.refuse_locked(entry)?;
        if self.kept(old, &self.request()?).is_some() {
            let all: Vec<&str> = old.platforms.keys().map(String::as_str).collect();
            self.reporter.note(format!(
                "the lock has packages for {} alone: pinning those of the other platforms, too",
                all.join(" and ")
            ));
        } else {
            self.reporter
                .note("other packages are asked for than the lock pins: pinning anew");
        }
        let mut new = Box::pin(self.resolve(entry)).await?;
        if old.vendored.is_some() && new.vendored.is_none() {
            self.vendor(&mut new, registry).await?;
        }
        Ok(Some(new))
    }

    /// The lock's pins with the compression that is asked for: its packages stay.
    ///
    /// # Errors
    /// [`LockingError::OtherCompression`] where the lock must not change, and for layers without compression.
    pub fn repacked(&self, old: &LockedBuild) -> Result<LockedBuild, LockingError> {
        let new = self.packed(old.clone())?;
        let is_same = new == *old;
        let locked = format!("{}:{}", old.compression, old.level);
        let asked = format!("{}:{}", new.compression, new.level);
        match self.settings.lock.mode {
            _ if is_same => {}
            LockMode::Free => self.reporter.note(format!(
                "the lock's layers are packed with {locked}, and {asked} is asked for: its packages stay"
            )),
            mode => {
                return Err(LockingError::OtherCompression {
                    mode,
                    locked,
                    asked,
                });
            }
        }
        Ok(new)
    }

    fn packed(&self, mut build: LockedBuild) -> Result<LockedBuild, LockingError> {
        let (name, level) = match self.settings.build.repack {
            None => return Ok(build),
            Some(Compression::Zstd(level)) => ("zstd", level),
            Some(Compression::Gzip(level)) => ("gzip", level.cast_signed()),
            Some(Compression::None) => return Err(LockingError::Uncompressed),
            Some(Compression::Estargz) => ("estargz", 6),
            Some(Compression::ZstdChunked) => ("zstd:chunked", 3),
        };
        name.clone_into(&mut build.compression);
        build.level = level;
        Ok(build)
    }

    /// True if a build of the entry would pin nothing anew.
    ///
    /// # Errors
    /// As [`Locker::fits`].
    pub fn fits_or_pins_nothing(&self, entry: Option<&LockedImage>) -> Result<bool, LockingError> {
        Ok(entry.is_none_or(|entry| entry.build.is_none()) || self.fits(entry)?)
    }

    /// Keeps the packages beside the image.
    pub(super) async fn vendor(
        &self,
        build: &mut LockedBuild,
        registry: &Registry,
    ) -> Result<(), LockingError> {
        let all: Vec<&str> = build.platforms.keys().map(String::as_str).collect();
        let plans = locked::plans_for(self.settings, build, self.bases, &all, self.reporter)?;
        for locked in plans {
            if locked.view.missing().is_empty() {
                continue;
            }
            let connection = builder::connect_or_start(&self.settings.build, self.reporter).await?;
            let fetch = Fetch {
                settings: self.settings,
                host: self.host,
                registry,
                builder: &connection.builder,
                reporter: self.reporter,
            };
            fetch.provide(&locked, build).await?;
        }
        let kept = vendor::keep(registry, &self.settings.tags[0], build).await?;
        build.vendored = Some(kept);
        Ok(())
    }

    /// # Errors
    /// [`LockingError::WouldChange`] where the lock must not change, or
    /// [`PlanningError::LockedPlatform`](crate::planning::PlanningError::LockedPlatform) where packages for another
    /// platform are all that is missing.
    pub fn refuse_locked(&self, entry: Option<&LockedImage>) -> Result<(), LockingError> {
        let mode = self.settings.lock.mode;
        let build = entry.and_then(|entry| entry.build.as_ref());
        if let Some(build) = build.filter(|_| mode != LockMode::Free)
            && self.kept(build, &self.request()?).is_some()
        {
            locked::platforms(self.settings, build)?;
        }
        match mode {
            LockMode::Free => Ok(()),
            mode => Err(LockingError::WouldChange {
                mode,
                has_pins: entry.is_some_and(|entry| entry.build.is_some()),
            }),
        }
    }

    pub(super) fn request(&self) -> Result<oci_spec::image::Digest, LockingError> {
        Ok(locked::request_digest(
            self.settings,
            self.composed,
            self.bases,
        )?)
    }

    /// Resolves everything anew.
    ///
    /// # Errors
    /// Where a package can't be had.
    pub async fn resolve(&self, old: Option<&LockedImage>) -> Result<LockedBuild, LockingError> {
        let digest = self.request()?;
        let nothing = PackageRequest::default();
        let request = self.composed.request.as_ref().unwrap_or(&nothing);
        if self.composed.request.is_none() {
            self.reporter.warning(
                "bases, times and modes are pinned; a Dockerfile of your own says itself what its steps fetch",
            );
        }
        let as_of = self.as_of(old);
        if let Some(as_of) = as_of {
            as_of::check_snapshots(self.settings, as_of, !request.apt.is_empty())?;
            self.reporter
                .note(format!("looking for packages as of {as_of}"));
        }
        let mut builder = SearchBuilder::default();
        let names = self.platforms_of_build().await?;
        let old = old.and_then(|old| old.build.as_ref());
        // What fits stays, where packages for another platform are all that is missing.
        let kept = old.and_then(|old| self.kept(old, &digest));
        let (mut platforms, mut newest) = (kept.cloned().unwrap_or_default(), 0);
        for name in self.platforms(&names)? {
            if platforms.contains_key(name) {
                continue;
            }
            let like = together::preferred(platforms.values().next(), self.like, name);
            let asked = Asked {
                platform: name,
                as_of,
                like: &like,
            };
            let answer = self.search(&mut builder, asked).await?;
            self.warn_of_source_archives(&answer.pins, name);
            newest = newest.max(answer.newest);
            platforms.insert(name.clone(), answer.pins);
        }
        self.tell_versions(&platforms);
        let given = self.settings.build.source_date_epoch;
        // The same time makes the same layers of what the project's images have in common.
        let theirs = self.like.iter().map(|build| build.epoch).max();
        let theirs = theirs.filter(|time| given.is_none() && *time >= newest);
        let choose = || epoch::choose(given, &self.settings.project, newest);
        let mut build = LockedBuild {
            request: digest,
            epoch: theirs.unwrap_or_else(choose),
            media_types: "oci".into(),
            compression: "zstd".into(),
            level: 3,
            as_of,
            method: None,
            bytecode: false,
            vendored: None,
            platforms,
        };
        if let Some(old) = old {
            old.compression.clone_into(&mut build.compression);
            build.level = old.level;
            for (name, pins) in &mut build.platforms {
                if let Some(old) = old.platforms.get(name) {
                    pins.layers.clone_from(&old.layers);
                }
            }
            // The same packages at another time are no news, nor are those of one more platform.
            let is_there = |(name, pins)| build.platforms.get(name) == Some(pins);
            let same = old.platforms.iter().all(is_there) && given.is_none_or(|g| g == old.epoch);
            if same && old.epoch >= newest {
                build.epoch = old.epoch;
                if old.platforms.len() == build.platforms.len() {
                    build.vendored.clone_from(&old.vendored);
                }
            }
        }
        build = self.packed(build)?;
        if self.is_to_be_assembled(&build).await {
            build.method = Some(ASSEMBLE.to_owned());
            // A lock that asks for what nobody here can make would be refused at once.
            build.bytecode = old.is_some_and(|old| old.bytecode)
                || builder::is_at_hand(&self.settings.build).await;
            if !build.bytecode {
                self.reporter.note(
                    "no builder is at hand to compile modules: the lock is for packages without bytecode",
                );
            }
        }
        Ok(build)
    }

    /// The pins of a lock that stay, where they are for what is asked for now and need not move: then packages
    /// of other platforms are all that is missing.
    fn kept<'b>(
        &self,
        old: &'b LockedBuild,
        request: &oci_spec::image::Digest,
    ) -> Option<&'b BTreeMap<String, Pins>> {
        let stays = !self.moves_on() && self.as_of.is_none() && old.request == *request;
        let is_new = |name: &String| !old.platforms.contains_key(name);
        let lacks = self.settings.build.platforms.iter().any(is_new);
        (stays && lacks).then_some(&old.platforms)
    }

    /// Says which packages have another version on another platform: there was no other way.
    pub(super) fn tell_versions(&self, platforms: &BTreeMap<String, Pins>) {
        let mut all = platforms.iter();
        let Some((first, pins)) = all.next() else {
            return;
        };
        for (name, others) in all {
            for file in &others.python_packages {
                let mut same = pins.python_packages.iter().filter(|f| f.name == file.name);
                if let Some(other) = same.next().filter(|other| other.version != file.version) {
                    self.reporter.note(format!(
                        "{} is {} for {first}, and {} for {name}",
                        file.name, other.version, file.version
                    ));
                }
            }
        }
    }

    /// The plan of the open form, which says for which platforms it is.
    pub(super) fn plan(&self) -> Result<BuildPlan, LockingError> {
        let uses = build_plan::images(self.settings, self.composed)?;
        Ok(build_plan::plan(
            self.settings,
            self.composed,
            &uses,
            self.bases,
        )?)
    }

    /// These platforms, if the base is for them.
    /// In the order of their names: what is found does not depend on the order in which they are asked for.
    pub(super) fn platforms<'a>(
        &self,
        names: &'a [String],
    ) -> Result<BTreeSet<&'a String>, LockingError> {
        let uses = build_plan::images(self.settings, self.composed)?;
        self.bases.check_platforms(&uses, names)?;
        Ok(names.iter().collect())
    }

    /// The base that packages are looked for in, with its digest.
    pub(super) fn base(&self) -> Result<Option<String>, LockingError> {
        let uses = build_plan::images(self.settings, self.composed)?;
        let base = uses.iter().find(|used| used.is_base);
        Ok(base.and_then(|used| {
            if used.reference.contains('@') {
                Some(used.reference.clone())
            } else {
                self.bases.written(&used.reference)
            }
        }))
    }

    /// Names what is asked of a search for one platform.
    pub(super) fn question_digest(&self, platform: &str) -> Result<String, LockingError> {
        let (nothing, base) = (PackageRequest::default(), self.base()?);
        let request = self.composed.request.as_ref().unwrap_or(&nothing);
        self.question(request, base.as_deref(), platform, self.as_of)
            .digest()
    }

    fn question<'b>(
        &'b self,
        request: &'b PackageRequest,
        base: Option<&'b str>,
        platform: &'b str,
        as_of: Option<Timestamp>,
    ) -> Question<'b> {
        Question {
            settings: self.settings,
            host: self.host,
            request,
            base: base.unwrap_or("scratch"),
            platform,
            as_of,
            reporter: self.reporter,
        }
    }

    /// Looks for the packages of one platform inside the base.
    pub(super) async fn search_in_base(
        &self,
        builder: &Builder,
        asked: Asked<'_>,
    ) -> Result<Answer, LockingError> {
        let Asked {
            platform, as_of, ..
        } = asked;
        let mut answer = Answer::default();
        if let Some(request) = self.composed.request.as_ref().filter(|r| !r.is_empty()) {
            let base = self.base()?;
            let question = self.question(request, base.as_deref(), platform, as_of);
            let store = Store::open()?;
            let known = searches::known_wheels(question.base, platform, &store);
            let mut more = vec![("known", known.as_text().into_bytes())];
            if !asked.like.is_empty() {
                let backend = request.torch_backend_here.as_deref();
                more.push(("like", preferred_versions(asked.like, backend).into_bytes()));
            }
            let uv = known.uv(&store);
            more.extend(
                uv.iter()
                    .map(|(name, wheel)| (name.as_str(), wheel.clone())),
            );
            let folder = Box::pin(question.ask(builder, &more)).await?;
            answer = read_answer(folder.path(), &known.hashes(), &store)?;
        }
        Ok(answer)
    }

    /// Whether the image of these pins is put together without a builder; why it isn't is said, where that was
    /// left open.
    async fn is_to_be_assembled(&self, build: &LockedBuild) -> bool {
        if self.method != Method::Auto {
            return self.method == Method::Assemble;
        }
        let look = async {
            let plans = locked::plans(self.settings, build, self.bases, self.reporter)
                .map_err(|error| error.to_string())?;
            for locked in &plans {
                let looking = Looking {
                    settings: self.settings,
                    registry: self.registry,
                    locked,
                    build,
                    is_fixed: false,
                };
                match looking.look().await {
                    Ok(looked) => looked.map(drop)?,
                    Err(error) => return Err(error.to_string()),
                }
            }
            Ok(())
        };
        match look.await {
            Ok(()) => true,
            Err(reason) => {
                let reason = printable::line(&reason);
                self.reporter
                    .note(format!("to be built by BuildKit: {reason}"));
                false
            }
        }
    }

    pub(super) fn warn_of_source_archives(&self, pins: &Pins, platform: &str) {
        for file in pins.python_packages.iter().filter(|file| file.source) {
            self.reporter.warning(format!(
                "{} {} has no wheel for {platform}: its source archive is pinned, and what is built from it may differ between machines",
                file.name, file.version
            ));
        }
    }
}
