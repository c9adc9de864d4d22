//! `mlbuild lock`: finds out which packages an image gets, and pins them by hash.

mod as_of;
mod ask;
mod epoch;
pub(super) mod parcel;
pub(super) mod provide;
mod vendor;

use std::collections::BTreeMap;

use clap::Args;
use jiff::Timestamp;
use mlbuild_manifests::lock::{LockedBuild, LockedImage, Pins};
use mlbuild_manifests::{ImageKey, LockFile};
use serde_json::json;

use mlbuild_templates::PackageRequest;

use self::ask::Question;
use self::provide::Fetch;
use crate::builder::Builder;
use crate::cli::image::bases::{self, Bases};
use crate::cli::image::compose::{self, Composed};
use crate::cli::image::locked::{self, store_error};
use crate::cli::image::{
    consent, context, input_digests, lock_key, planning, publish, registry_options,
};
use crate::cli::mirror;
use crate::cli::output;
use crate::error::{CommandError, CommandResult};
use crate::flags::{Format, ImageArgs, Upgrade};
use crate::host::{self, HostSettings};
use crate::package_store::{Store, read_answer};
use crate::registry::Registry;
use crate::settings::{self, ImageSettings, LockMode};

/// Pin every package of an image by hash, without building it.
///
/// The flags are those of `mlbuild image`. Packages are resolved inside the base image, for the
/// platform that is built, and kept on this machine. From then on `mlbuild image` installs these
/// and no others, without a network. With --locked nothing is resolved: it says whether the lock
/// still fits the project.
#[derive(Debug, Clone, Args)]
pub struct LockVerbArgs {
    /// What the image is.
    #[command(flatten)]
    pub image: ImageArgs,
    /// Keep the packages beside the image in its registry too, for when their archives have moved on.
    #[arg(long, help_heading = "What is pinned")]
    pub vendor: bool,
    /// Take the packages that were offered at the end of this day, or at this time, in UTC: 2026-03-01.
    #[arg(long, value_name = "DAY", value_parser = as_of::parse, conflicts_with_all = ["locked", "frozen"], help_heading = "What is pinned")]
    pub as_of: Option<Timestamp>,
}

/// Runs the verb.
///
/// # Errors
/// One error of a documented kind.
pub async fn run(args: LockVerbArgs) -> CommandResult {
    refuse_flags_of_a_build(&args.image, "mlbuild lock only pins, it builds nothing")?;
    let (vendor, as_of) = (args.vendor, args.as_of);
    let settings = settings::resolve(args.image)?;
    let host = host::of_this_machine(settings.build.host_network_settings);
    let registry = Registry::new(registry_options(&settings));
    let key = lock_key(&settings);
    let file = settings.lock.file.clone().expect("--no-lock was refused");
    let old = publish::load(&file)?.get(&key).cloned();
    let composed = compose::dockerfile(&settings, &host)?;
    if as_of.is_some() && composed.request.is_none() {
        return Err(CommandError::user(
            "--as-of: a Dockerfile of your own says itself what its steps fetch",
        )
        .hint("name the day in its steps, or use a template"));
    }
    let uses = planning::images(&settings, &composed).map_err(CommandError::user)?;
    let mut bases = bases::resolve(
        &uses,
        old.as_ref(),
        &settings.lock,
        settings.build.pull,
        &registry,
    )
    .await?;
    bases.refuse_unpinned()?;
    bases.tell_moved();
    let locker = Locker {
        settings: &settings,
        host: &host,
        composed: &composed,
        bases: &bases,
        as_of,
    };
    let fits = as_of.is_none() && locker.fits(old.as_ref())?;
    if !fits {
        locker.refuse_locked(old.as_ref())?;
    }
    if vendor && !settings.named {
        return Err(
            CommandError::user("--vendor needs a name for the image, in a registry")
                .hint("give -t REGISTRY/NAME:TAG"),
        );
    }
    let earlier = old.as_ref().and_then(|old| old.build.clone());
    let mut build = match earlier.clone().filter(|_| fits) {
        Some(build) => build,
        None => {
            let connection = consent::connect(&settings.build).await?;
            locker.resolve(&connection.builder, old.as_ref()).await?
        }
    };
    let was_vendored = earlier.is_some_and(|build| build.vendored.is_some());
    if settings.lock.mode == LockMode::Free {
        if vendor || (was_vendored && build.vendored.is_none()) {
            locker.vendor(&mut build, &registry).await?;
        }
        if let Some(mirror) = &settings.mirror {
            for base in bases.pins.values() {
                for platform in build.platforms.keys() {
                    mirror::copy(&registry, mirror, base, platform).await?;
                }
            }
        }
        write(&settings, &key, &bases, &build)?;
    }
    answer(&settings, &file, &key, &build)
}

/// Flags that only a build has a use for.
///
/// # Errors
/// The first of them, with why.
pub(super) fn refuse_flags_of_a_build(args: &ImageArgs, why: &str) -> CommandResult {
    let out = &args.output;
    let given = [
        ("--push", out.push),
        ("--load", out.load),
        ("--output", !out.outputs.is_empty()),
        ("--metadata-file", out.metadata_file.is_some()),
        ("--iidfile", out.iidfile.is_some()),
        ("--print", out.print.is_some()),
        ("--dry-run", out.dry_run),
        ("--write", args.compose.write),
        ("--no-lock", args.lock.no_lock),
        ("--run-id", args.lock.run_id.is_some()),
        ("--no-skip", args.lock.no_skip),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(CommandError::user(format!("{flag}: {why}"))
            .hint("build with mlbuild image, and the same other flags")),
        None => Ok(()),
    }
}

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
}

impl Locker<'_> {
    /// True if the entry's packages are those that are asked for now, and none is to move.
    ///
    /// # Errors
    /// Where a file of the project can't be read.
    pub fn fits(&self, entry: Option<&LockedImage>) -> CommandResult<bool> {
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
    /// With `--locked` and `--frozen`, where the pins don't fit.
    pub async fn pins_of(
        &self,
        entry: Option<&LockedImage>,
        registry: &Registry,
    ) -> CommandResult<Option<LockedBuild>> {
        let Some(old) = entry.and_then(|entry| entry.build.as_ref()) else {
            return Ok(None);
        };
        if self.fits(entry)? {
            return Ok(entry.and_then(|entry| entry.build.clone()));
        }
        self.refuse_locked(entry)?;
        output::note("other packages are asked for than the lock pins: pinning anew");
        let connection = consent::connect(&self.settings.build).await?;
        let mut new = self.resolve(&connection.builder, entry).await?;
        if old.vendored.is_some() && new.vendored.is_none() {
            self.vendor(&mut new, registry).await?;
        }
        Ok(Some(new))
    }

    /// True if a build of the entry would pin nothing anew.
    ///
    /// # Errors
    /// As [`Locker::fits`].
    pub fn fits_or_pins_nothing(&self, entry: Option<&LockedImage>) -> CommandResult<bool> {
        Ok(entry.is_none_or(|entry| entry.build.is_none()) || self.fits(entry)?)
    }

    /// Keeps the packages beside the image.
    async fn vendor(&self, build: &mut LockedBuild, registry: &Registry) -> CommandResult {
        let locked = locked::plan(self.settings, build, self.bases)?;
        if !locked.view.missing().is_empty() {
            let connection = consent::connect(&self.settings.build).await?;
            let fetch = Fetch {
                settings: self.settings,
                host: self.host,
                registry,
                builder: &connection.builder,
            };
            fetch.provide(&locked, build).await?;
        }
        let kept = vendor::keep(registry, &self.settings.tags[0], build).await?;
        build.vendored = Some(kept);
        Ok(())
    }

    /// # Errors
    /// [`crate::error::ErrorKind::Difference`] with `--locked` and `--frozen`.
    pub fn refuse_locked(&self, entry: Option<&LockedImage>) -> CommandResult {
        let flag = match self.settings.lock.mode {
            LockMode::Free => return Ok(()),
            LockMode::Locked => "--locked",
            LockMode::Frozen => "--frozen",
        };
        let why = match entry.and_then(|entry| entry.build.as_ref()) {
            Some(_) => {
                "the lock doesn't fit the project: its packages were pinned for another base, other packages or other requirements"
            }
            None => "the lock pins no packages for this image",
        };
        Err(CommandError::difference(format!("{flag}: {why}"))
            .hint("pin them, with the image's flags: mlbuild lock; then commit mlbuild.lock"))
    }

    fn request(&self) -> CommandResult<oci_spec::image::Digest> {
        locked::request_digest(self.settings, self.composed, self.bases)
    }

    /// Resolves everything anew.
    ///
    /// # Errors
    /// Where a package can't be had.
    pub async fn resolve(
        &self,
        builder: &Builder,
        old: Option<&LockedImage>,
    ) -> CommandResult<LockedBuild> {
        let digest = self.request()?;
        let nothing = PackageRequest::default();
        let request = self.composed.request.as_ref().unwrap_or(&nothing);
        if self.composed.request.is_none() {
            output::warning(
                "bases, times and modes are pinned; a Dockerfile of your own says itself what its steps fetch",
            );
        }
        let as_of = self.as_of(old);
        if let Some(as_of) = as_of {
            as_of::check_snapshots(self.settings, as_of, !request.apt.is_empty())?;
            output::note(&format!("looking for packages as of {as_of}"));
        }
        let store = Store::open().map_err(store_error)?;
        let uses = planning::images(self.settings, self.composed).map_err(CommandError::user)?;
        let plan = planning::plan(self.settings, self.composed, &uses, self.bases)?;
        let names = builder.target_platforms(&plan);
        self.bases.check_platforms(&uses, &names)?;
        let base = uses
            .iter()
            .find(|used| used.is_base)
            .map(|used| &used.reference);
        let base = base.and_then(|name| match name.contains('@') {
            true => Some(name.clone()),
            false => self.bases.written(name),
        });
        let (mut platforms, mut newest) = (BTreeMap::new(), 0);
        for name in names {
            let mut pins = Pins::default();
            if !request.is_empty() {
                let question = Question {
                    settings: self.settings,
                    host: self.host,
                    request,
                    base: base.as_deref().unwrap_or("scratch"),
                    platform: &name,
                    as_of,
                };
                let folder = question.ask(builder, &[]).await?;
                let answer = read_answer(folder.path(), &store).map_err(store_error)?;
                newest = newest.max(answer.newest);
                pins = answer.pins;
            }
            for file in pins.python_packages.iter().filter(|file| file.source) {
                output::warning(&format!(
                    "{} {} has no wheel for {name}: its source archive is pinned, and what is built from it may differ between machines",
                    file.name, file.version
                ));
            }
            platforms.insert(name, pins);
        }
        let given = self.settings.build.source_date_epoch;
        let mut build = LockedBuild {
            request: digest,
            epoch: epoch::choose(given, &self.settings.project, newest),
            media_types: "oci".into(),
            compression: "zstd".into(),
            level: 3,
            as_of,
            vendored: None,
            platforms,
        };
        if let Some(old) = old.and_then(|old| old.build.as_ref()) {
            // The same packages at another time are no news.
            let same = old.platforms == build.platforms && given.is_none_or(|g| g == old.epoch);
            if same && old.epoch >= newest {
                build.epoch = old.epoch;
                build.vendored.clone_from(&old.vendored);
            }
        }
        Ok(build)
    }
}

/// Writes the entry, unless it says all this already.
///
/// # Errors
/// Where the lock can't be written.
pub fn write(
    settings: &ImageSettings,
    key: &ImageKey,
    bases: &Bases,
    build: &LockedBuild,
) -> CommandResult {
    let file = settings.lock.file.as_deref().expect("there is a lock");
    let locked = locked::plan(settings, build, bases)?;
    let context = context::Before::look(settings, &locked.plan)?;
    let entry = LockedImage {
        name: key.name.clone(),
        tag: key.tag.clone(),
        target: key.target.clone(),
        created: Timestamp::now(),
        derived: None,
        inputs: input_digests::inputs(&locked.plan, &locked.composed, context.digest()),
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
    written.map_err(publish::lock_error)?;
    locked.view.store().serves(file).map_err(store_error)
}

fn answer(
    settings: &ImageSettings,
    file: &std::path::Path,
    key: &ImageKey,
    build: &LockedBuild,
) -> CommandResult {
    let mut said = BTreeMap::new();
    for (platform, pins) in &build.platforms {
        let bytes: u64 = pins.files().map(|(_, size)| size).sum();
        let (apt, python) = (pins.apt.len(), pins.python_packages.len());
        output::note(&format!(
            "{key} for {platform}: {apt} Debian and {python} Python packages, {} MB",
            bytes.div_ceil(1_000_000)
        ));
        said.insert(
            platform,
            json!({ "apt": apt, "python": python, "bytes": bytes }),
        );
    }
    match settings.answer.format {
        Format::Text => output::answer(&file.display().to_string()),
        Format::Json => output::answer(
            &serde_json::to_string_pretty(&json!({
                "lock": file.display().to_string(),
                "image": settings.tags[0].to_string(),
                "request": build.request,
                "epoch": build.epoch,
                "as_of": build.as_of,
                "vendored": build.vendored,
                "platforms": said,
            }))
            .expect("plain JSON"),
        ),
    }
}
