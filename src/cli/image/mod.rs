//! `mlbuild image`: from a few flags to a pushed, locked image.
//!
//! Compose, pin the bases, see whether anything changed, build, let the
//! registry confirm, write down. Each step is a file beside this one.

mod answer;
pub(super) mod bases;
pub(super) mod compose;
pub(super) mod consent;
pub(super) mod context;
mod docker_push;
mod ignore;
pub(super) mod input_digests;
mod layouts;
pub(super) mod locked;
mod moved;
pub(super) mod packing;
pub(super) mod planning;
pub(super) mod publish;
pub(super) mod skip;
pub(super) mod titles;

use mlbuild_manifests::lock::{ImageKey, LockedBuild, LockedImage, LockedPackages};
use mlbuild_manifests::run_record::FOLDER_NAME;
use mlbuild_progress::LocalSteps;
use mlbuild_secrets::{is_secret, redact_json};
use oci_spec::distribution::Reference;

use self::answer::Answer;
use self::bases::Bases;
use self::locked::LockedPlan;
use crate::builder::{self, BuildError, BuildInputs, BuildOutput, Builder, Connection};
use crate::cli::lock::Locker;
use crate::cli::lock::provide::Fetch;
use crate::cli::mirror;
use crate::cli::{interrupt, output};
use crate::error::{CommandError, CommandResult};
use crate::flags::{ImageArgs, Print};
use crate::host::{self, HostSettings};
use crate::plan::BuildPlan;
use crate::registry::{Registry, RegistryOptions};
use crate::reporter::{Reporter, Titles};
use crate::settings::{self, ImageSettings, LockMode};
use tokio::sync::mpsc;

/// Runs the verb.
///
/// # Errors
/// One error of a documented kind.
pub async fn run(args: ImageArgs) -> CommandResult {
    let settings = settings::resolve(args)?;
    let host = host::of_this_machine(settings.build.host_network_settings);
    if settings.answer.write {
        return output::answer(&compose::write_variants(&settings, &host)?.join("\n"));
    }
    let composed = compose::dockerfile(&settings, &host)?;
    warn_of_secret_args(&settings);

    let key = lock_key(&settings);
    let locked = match &settings.lock.file {
        Some(file) => publish::load(file)?.get(&key).cloned(),
        None => None,
    };
    let uses = planning::images(&settings, &composed).map_err(CommandError::user)?;
    if let Some(what) = settings.answer.print {
        let pins = bases::from_lock(&uses, locked.as_ref());
        let from_pins = locked
            .as_ref()
            .map(|entry| locked::from_entry(&settings, entry));
        let plan = match from_pins.transpose()?.flatten() {
            Some(locked) => locked.plan,
            None => planning::plan(&settings, &composed, &uses, &pins)?,
        };
        return print(what, &plan, locked.as_ref(), &settings);
    }

    let registry = Registry::new(registry_options(&settings));
    let mut bases = bases::resolve(
        &uses,
        locked.as_ref(),
        &settings.lock,
        settings.build.pull,
        &registry,
    )
    .await?;
    bases.tell_moved();
    let locker = Locker {
        settings: &settings,
        host: &host,
        composed: &composed,
        bases: &bases,
        as_of: None,
    };
    if settings.answer.dry_run && !locker.fits_or_pins_nothing(locked.as_ref())? {
        locker.refuse_locked(locked.as_ref())?;
        return output::answer("would pin packages anew, and build");
    }
    let build = locker.pins_of(locked.as_ref(), &registry).await?;
    let build = build.as_ref();
    if let (Some(_), [_, _, ..]) = (build, settings.build.platforms.as_slice()) {
        return Err(CommandError::user(format!(
            "a locked image is built for one platform at a time, not for {}",
            settings.build.platforms.join(" and ")
        ))
        .hint("give one --platform, and a tag for each"));
    }
    if let (Some(mirror), Some(build)) = (&settings.mirror, build)
        && let Some(platform) = build.platforms.keys().next()
    {
        mirror::stand_ins(&registry, mirror, &mut bases, platform).await?;
    }
    let from_pins = build.map(|build| locked::plan(&settings, build, &bases));
    let from_pins = from_pins.transpose()?;
    let open = match &from_pins {
        Some(_) => None,
        None => Some(planning::plan(&settings, &composed, &uses, &bases)?),
    };
    let job = Job {
        settings: &settings,
        plan: match (&from_pins, &open) {
            (Some(locked), _) => &locked.plan,
            (None, open) => open.as_ref().expect("one of them is there"),
        },
        composed: from_pins.as_ref().map_or(&composed, |l| &l.composed),
        uses: from_pins.as_ref().map_or(&uses, |l| &l.uses),
        pinned: from_pins.as_ref().zip(build),
        registry: &registry,
        host: &host,
        key: &key,
    };
    if settings.answer.dry_run {
        bases.refuse_unpinned()?;
        return job.dry_run(locked.as_ref());
    }
    job.build(locked.as_ref(), &mut bases).await
}

/// One build with all that was resolved for it.
struct Job<'a> {
    settings: &'a ImageSettings,
    plan: &'a BuildPlan,
    composed: &'a compose::Composed,
    uses: &'a [crate::pin::ImageUse],
    /// What it is built from, where packages are pinned.
    pinned: Option<(&'a LockedPlan, &'a LockedBuild)>,
    registry: &'a Registry,
    host: &'a HostSettings,
    key: &'a ImageKey,
}

impl Job<'_> {
    async fn build(&self, locked: Option<&LockedImage>, bases: &mut Bases) -> CommandResult {
        let context = context::Before::look(self.settings, self.plan)?;
        let inputs = input_digests::inputs(self.plan, self.composed, context.digest());
        let skip = skip::Skip::new(self, &inputs);
        if let Some(answer) = skip.answer(locked).await? {
            self.note("nothing changed since the lock: not built again (--no-skip builds)");
            return answer.print(&self.settings.answer);
        }

        let cancel = interrupt::token()?;
        let ssh = builder::SshAgents::start(&self.plan.ssh)?;
        let Connection { builder, how } = consent::connect(&self.settings.build).await?;
        bases.accept_local(&builder).await?;
        bases.check_platforms(self.uses, &builder.target_platforms(self.plan))?;
        if let Some((locked, pins)) = self.pinned {
            let fetch = Fetch {
                settings: self.settings,
                host: self.host,
                registry: self.registry,
                builder: &builder,
            };
            fetch.provide(locked, pins).await?;
        }
        if self.settings.build.push {
            // A refusal is better known before a long build than after it.
            for tag in &self.settings.tags {
                self.registry.check_push(tag).await?;
            }
        }
        self.note(&format!("building on {how}"));
        let terminal = output::Terminal::new(self.settings.answer.progress);
        let reporter: &dyn Reporter = &terminal;
        let mut progress = reporter.begin_solve(self.titles());
        let nothing = HostSettings::default();
        let build = BuildInputs {
            plan: self.plan,
            transfer_key: context.transfer_key(),
            host: match self.pinned {
                Some((locked, _)) if locked.offline => &nothing,
                _ => self.host,
            },
            ssh: ssh.sockets(),
            insecure: &self.settings.insecure,
            events: progress.sender(),
            cancel: cancel.clone(),
            asks_packages: self.lists_packages() && !skip::changed(locked, &inputs).is_empty(),
        };
        let steps = progress.local_steps();
        let (built, pushed) = progress
            .during(async {
                let built = self.solve(&builder, &build, locked, &steps).await;
                let pushed = match &built {
                    Ok(_)
                        if self.settings.build.push
                            && builder.is_classic()
                            && self.plan.repack.is_none() =>
                    {
                        let tags = &self.settings.tags;
                        docker_push::push(&builder, self.registry, tags, &steps, &cancel)
                            .await
                            .map(Some)
                    }
                    Ok(built) => Ok(built.digest()),
                    Err(_) => Ok(None),
                };
                (built, pushed)
            })
            .await;
        let trace = progress.finish().await;
        let built = built.map_err(|error| error.explain(&trace, self.plan))?;
        let pushed = pushed?;
        for warning in &trace.warnings {
            output::warning(&answer::lint(warning, &self.plan.dockerfile.name));
        }

        let confirmed = match self.settings.build.push {
            true => {
                let tags = self.settings.tags.as_slice();
                Some(publish::confirm(self.registry, tags, pushed.as_deref()).await?)
            }
            false => None,
        };
        if let Some(confirmed) = &confirmed {
            publish::check_run(self.settings, confirmed)?;
        }
        let packages = self.packages(&builder, &built, &skip, locked, build).await;
        let mut inputs = inputs.clone();
        inputs.context = context.unchanged()?;
        let entry = publish::Entry {
            settings: self.settings,
            key: self.key,
            inputs: inputs.clone(),
            bases,
            builder: builder.name_and_version(),
            confirmed: confirmed.as_ref(),
            packages: packages.clone(),
            build: self.pinned.map(|(_, build)| build.clone()),
        };
        let lock = entry.write_lock()?;
        let run = match &confirmed {
            Some(confirmed) => {
                Some(publish::bind(self.settings, self.registry, confirmed, lock.as_ref()).await?)
            }
            None => None,
        };
        skip.remember(&inputs, &built, confirmed.as_ref(), packages);
        self.say_where(&built, &builder);
        self.say_written(run.as_deref());
        Answer::built(self.settings, &built, confirmed.as_ref(), run).print(&self.settings.answer)
    }

    /// Builds; with `--locked`, only once the packages are seen to be the lock's.
    async fn solve(
        &self,
        builder: &Builder,
        build: &BuildInputs<'_>,
        locked: Option<&LockedImage>,
        steps: &LocalSteps,
    ) -> Result<BuildOutput, BuildError> {
        let listed = locked.and_then(|locked| locked.packages.as_ref());
        let listed = listed.filter(|_| self.pinned.is_none());
        if let Some(old) = listed.filter(|_| self.settings.lock.mode > LockMode::Free)
            && let Some(new) = builder.packages(build).await?
        {
            let moved = moved::packages(old, &new);
            if !moved.is_empty() {
                return Err(CommandError::difference(format!(
                    "--locked: the packages would change:\n  {}",
                    moved.join("\n  ")
                ))
                .hint("to take the new ones, build once without --locked and commit mlbuild.lock")
                .into());
            }
        }
        match self.plan.repack {
            Some(repack) => packing::build(self, builder, build, repack, steps).await,
            None => builder.build(build).await,
        }
    }

    /// Whether the lock gets the image's packages.
    fn lists_packages(&self) -> bool {
        self.settings.lock.file.is_some() && self.settings.lock.mode <= LockMode::Free
    }

    /// The packages of the image: those that are known where the image is, else asked of it.
    ///
    /// That they can't be listed is no failure of the build.
    async fn packages(
        &self,
        builder: &Builder,
        built: &BuildOutput,
        skip: &skip::Skip<'_>,
        locked: Option<&LockedImage>,
        build: BuildInputs<'_>,
    ) -> Option<LockedPackages> {
        if !self.lists_packages() {
            return None;
        }
        if let Some(known) = skip.packages_of(built) {
            return known;
        }
        let old = locked.and_then(|locked| locked.packages.clone());
        let is_locked = |config: &String| {
            locked.is_some_and(|l| {
                l.platforms
                    .values()
                    .any(|p| p.config.to_string() == *config)
            })
        };
        if old.is_some() && built.config_digest.as_ref().is_some_and(is_locked) {
            return old;
        }
        let new = match built.packages.clone() {
            Some(answered) => answered,
            None => {
                let (events, mut unread) = mpsc::channel(64);
                tokio::spawn(async move { while unread.recv().await.is_some() {} });
                let quiet = BuildInputs { events, ..build };
                builder.packages(&quiet).await.ok().flatten()
            }
        };
        if let (Some(old), Some(new), false) = (&old, &new, self.settings.lock.upgrade.is_empty()) {
            for line in moved::packages(old, new) {
                output::note(&line);
            }
        }
        new
    }

    /// The steps of a composed image have titles.
    fn titles(&self) -> Titles {
        if self.composed.template.is_some() && self.composed.path.is_none() {
            Box::new(titles::titles(&self.composed.text))
        } else {
            Box::new(|_| None)
        }
    }

    /// What would happen, without a builder.
    fn dry_run(&self, locked: Option<&LockedImage>) -> CommandResult {
        let context = context::Before::look(self.settings, self.plan)?;
        let inputs = input_digests::inputs(self.plan, self.composed, context.digest());
        let changed = skip::changed(locked, &inputs);
        Answer::dry_run(self.plan, &changed).print(&self.settings.answer)
    }

    /// Where an image without a registry is to be found.
    fn say_where(&self, built: &BuildOutput, builder: &Builder) {
        if !self.settings.build.push
            && built.docker_id.is_none()
            && self.settings.build.outputs.is_empty()
        {
            output::warning(&format!(
                "the image is in the cache of {} only; push it (--push), load it (--load) or write it (-o)",
                builder.client().endpoint()
            ));
        }
    }

    /// What was written beside the image.
    fn say_written(&self, run: Option<&str>) {
        let lock = &self.settings.lock;
        if let Some(file) = lock.file.as_ref().filter(|_| lock.mode == LockMode::Free) {
            let name = file.strip_prefix(&self.settings.project).unwrap_or(file);
            self.note(&format!("locked in {}", name.display()));
        }
        if let Some(run) = run {
            self.note(&format!("run {run} is bound to it in {FOLDER_NAME}/"));
        }
    }

    fn note(&self, text: &str) {
        let terminal = output::Terminal::new(self.settings.answer.progress);
        let reporter: &dyn Reporter = &terminal;
        reporter.detail(text);
    }
}

fn print(
    what: Print,
    plan: &BuildPlan,
    locked: Option<&LockedImage>,
    settings: &ImageSettings,
) -> CommandResult {
    match what {
        Print::Dockerfile if plan.dockerfile.text.is_empty() => Err(CommandError::user(
            "the Dockerfile lies in the remote context; only the builder reads it",
        )),
        Print::Dockerfile => output::answer(&plan.dockerfile.text),
        Print::Plan => {
            let text = serde_json::to_string_pretty(plan).expect("a plan is plain data");
            output::answer(&redact_json(&text))
        }
        Print::Lock => match locked {
            Some(entry) => {
                let mut one = mlbuild_manifests::LockFile::default();
                one.insert(entry.clone());
                output::answer(&one.to_toml())
            }
            None => Err(CommandError::user(format!(
                "{} has no entry for {}",
                settings
                    .lock
                    .file
                    .as_ref()
                    .map_or("the lock".into(), |file| file.display().to_string()),
                settings.tags[0]
            ))
            .hint("build the image once: the same command without --print")),
        },
    }
}

fn warn_of_secret_args(settings: &ImageSettings) {
    for name in settings
        .build
        .args
        .iter()
        .filter(|(name, value)| is_secret(name, value))
        .map(|(name, _)| name)
    {
        output::warning(&format!(
            "the build argument {name} ends up in the image's history if the Dockerfile uses it; \
             use --secret id={name},env={name}"
        ));
    }
}

pub(super) fn registry_options(settings: &ImageSettings) -> RegistryOptions {
    RegistryOptions {
        insecure: settings.insecure.iter().cloned().collect(),
        mirrors: settings.mirrors.clone(),
        ..RegistryOptions::default()
    }
}

/// Name, tag and stage: what tells entries of one lock apart.
pub(super) fn lock_key(settings: &ImageSettings) -> ImageKey {
    let reference: &Reference = &settings.tags[0];
    ImageKey {
        name: format!("{}/{}", reference.registry(), reference.repository()),
        tag: reference.tag().map(str::to_owned),
        target: settings.build.target.clone(),
    }
}
