//! One build with all that was resolved for it: skip, connect, solve, confirm, write down.

use mlbuild_manifests::lock::{ImageKey, Inputs, LockedBuild, LockedImage};
use mlbuild_manifests::run_record::FOLDER_NAME;
use mlbuild_progress::{LocalSteps, Titles, Warning};
use mlbuild_templates::reference;
use oci_spec::distribution::Reference;

use super::outcome::{BuildOutcome, DryRun};
use super::packages::Listing;
use super::publish::{self, Confirmed};
use super::skip::Skip;
use super::{BuildError, docker_push, moved, packing};
use crate::assembly::Assembly;
use crate::builder::{
    self, BuildInputs, BuildOutput, Builder, Connection, SolveRequest, SshAgents,
};
use crate::host::HostSettings;
use crate::lock::provide::Fetch;
use crate::pin::ImageUse;
use crate::plan::BuildPlan;
use crate::planning::bases::Bases;
use crate::planning::compose::Composed;
use crate::planning::context::Before;
use crate::planning::input_digests::{self, changed};
use crate::planning::locked::LockedPlan;
use crate::planning::{origins, titles};
use crate::registry::Registry;
use crate::reporter::{Event, Reporter};
use crate::settings::{ImageSettings, LockMode, Method};

/// One build with all that was resolved for it.
pub(super) struct Job<'a> {
    pub(super) settings: &'a ImageSettings,
    pub(super) reporter: &'a dyn Reporter,
    pub(super) plan: &'a BuildPlan,
    pub(super) composed: &'a Composed,
    pub(super) uses: &'a [ImageUse],
    /// What it is built from, where packages are pinned: a plan for each platform.
    pub(super) pinned: Option<(&'a [LockedPlan], &'a LockedBuild)>,
    pub(super) registry: &'a Registry,
    pub(super) host: &'a HostSettings,
    pub(super) key: &'a ImageKey,
    /// Whether the pins are for this build alone: the lock doesn't get them.
    pub(super) is_unlocked: bool,
}

impl Job<'_> {
    /// Builds, unless nothing changed since the lock; assembles the image where `looked` has what was
    /// looked up for that.
    pub(super) async fn run(
        &self,
        looked: Option<Vec<Assembly>>,
        locked: Option<&LockedImage>,
        bases: &mut Bases,
    ) -> Result<BuildOutcome, BuildError> {
        origins::check_plan(self.plan, self.settings.build.base_registries.as_deref())?;
        let method = self.method()?;
        // The base of an image that didn't change isn't looked at.
        let mut assembly = looked;
        if method == Some(Method::Auto) && assembly.is_none() {
            let was = self.pinned.is_some_and(|(_, build)| build.is_assembled());
            if let Some(outcome) = self.unchanged(locked, was).await? {
                return Ok(outcome);
            }
            assembly = self.assembly(Method::Auto).await?;
        }
        let context = Before::look(self.settings, self.plan)?;
        let is_assembled = method == Some(Method::Assemble) || assembly.is_some();
        let inputs = self.inputs(&context, is_assembled);
        let skip = Skip::new(self, &inputs);
        if let Some(outcome) = skip.outcome(locked).await? {
            self.reporter.event(Event::Unchanged);
            return Ok(outcome);
        }
        publish::check_writable(self.settings)?;
        if method == Some(Method::Assemble) && assembly.is_none() {
            assembly = self.assembly(Method::Assemble).await?;
        }
        if let Some(assembly) = &assembly {
            return self
                .assemble(assembly, locked, &context, &inputs, &skip, bases)
                .await;
        }

        self.make_on_builder(locked, bases, &context, &inputs, &skip)
            .await
    }

    /// Has a builder make it.
    async fn make_on_builder(
        &self,
        locked: Option<&LockedImage>,
        bases: &mut Bases,
        context: &Before,
        inputs: &Inputs,
        skip: &Skip<'_>,
    ) -> Result<BuildOutcome, BuildError> {
        self.refuse_several()?;
        let cancel = self.reporter.cancellation();
        let ssh = SshAgents::start(&self.plan.ssh)?;
        let builder = self.connect(bases).await?;
        let nothing = HostSettings::default();
        let request = SolveRequest {
            plan: self.plan,
            transfer_key: context.transfer_key(),
            host: match self.pinned {
                Some(([locked, ..], _)) if locked.offline => &nothing,
                _ => self.host,
            },
            ssh: ssh.sockets(),
            insecure: &self.settings.insecure,
            asks_packages: self.lists_packages() && !changed(locked, inputs).is_empty(),
            cancel,
        };
        let (built, pushed) = self.solve(&builder, &request, locked).await?;
        let confirmed = self.confirm(pushed.as_deref()).await?;
        let listing = Listing {
            skip,
            locked,
            request: &request,
            upgrades: !self.settings.lock.upgrade.is_empty(),
            reporter: self.reporter,
        };
        let (packages, packages_moved) = if self.lists_packages() {
            listing.of(&builder, &built).await
        } else {
            (None, Vec::new())
        };
        let inputs = Inputs {
            context: context.unchanged()?,
            ..inputs.clone()
        };
        let entry = publish::Entry {
            settings: self.settings,
            key: self.key,
            inputs: inputs.clone(),
            bases,
            builder: builder.name_and_version(),
            confirmed: confirmed.as_ref(),
            packages: packages.clone(),
            build: self.pinned.map(|(_, build)| built_by_builder(build)),
        };
        let run_id = self.write(&entry, confirmed.as_ref()).await?;
        skip.remember(&inputs, &built, confirmed.as_ref(), packages);
        self.tell(&built, &builder, run_id.as_deref());
        Ok(BuildOutcome {
            run_id,
            packages_moved,
            ..BuildOutcome::built(self.settings, built, confirmed.as_ref())
        })
    }

    /// The image that is there, where nothing changed since it was made in this way.
    pub(super) async fn unchanged(
        &self,
        locked: Option<&LockedImage>,
        is_assembled: bool,
    ) -> Result<Option<BuildOutcome>, BuildError> {
        let context = Before::look(self.settings, self.plan)?;
        let inputs = self.inputs(&context, is_assembled);
        let outcome = Skip::new(self, &inputs).outcome(locked).await?;
        if outcome.is_some() {
            self.reporter.event(Event::Unchanged);
        }
        Ok(outcome)
    }

    fn inputs(&self, context: &Before, is_assembled: bool) -> Inputs {
        let context = context.digest();
        let of_pins = self.pinned.and_then(|(plans, _)| {
            let plans = plans.iter().map(|locked| &locked.plan);
            input_digests::inputs_of_all(plans, self.composed, context.as_ref(), is_assembled)
        });
        of_pins.unwrap_or_else(|| {
            input_digests::inputs(self.plan, self.composed, context, is_assembled)
        })
    }

    /// A builder mounts the packages of one platform.
    fn refuse_several(&self) -> Result<(), BuildError> {
        match self.pinned {
            Some(([_, _, ..], _)) => Err(BuildError::SeveralPlatforms {
                platforms: self.plan.platforms.clone(),
                why: None,
            }),
            _ => Ok(()),
        }
    }

    /// What would happen, without a builder.
    pub(super) fn dry_run(&self, locked: Option<&LockedImage>) -> Result<DryRun, BuildError> {
        let context = Before::look(self.settings, self.plan)?;
        let is_assembled = match self.method()? {
            None => false,
            Some(Method::Auto) => self.pinned.is_some_and(|(_, build)| build.is_assembled()),
            Some(_) => true,
        };
        let inputs = self.inputs(&context, is_assembled);
        Ok(DryRun::Planned {
            changed: changed(locked, &inputs),
            plan: Box::new(self.plan.clone()),
        })
    }

    /// A builder for these bases and platforms, with the packages that the build mounts at hand, and
    /// a registry that takes the image.
    async fn connect(&self, bases: &mut Bases) -> Result<Builder, BuildError> {
        let Connection { builder, how } =
            builder::connect_or_start(&self.settings.build, self.reporter).await?;
        bases.accept_local(&builder, self.reporter).await?;
        bases.check_platforms(self.uses, &builder.target_platforms(self.plan))?;
        if let Some(([locked], pins)) = self.pinned {
            let fetch = Fetch {
                settings: self.settings,
                host: self.host,
                registry: self.registry,
                builder: &builder,
                reporter: self.reporter,
            };
            fetch.provide(locked, pins).await?;
        }
        // A refusal is better known before a long build than after it.
        self.check_push().await?;
        self.reporter.detail(format!("building on {how}"));
        Ok(builder)
    }

    /// Refuses a registry that won't take the image.
    pub(super) async fn check_push(&self) -> Result<(), BuildError> {
        if self.settings.build.push {
            for tag in &self.settings.tags {
                self.registry.check_push(tag).await?;
            }
        }
        Ok(())
    }

    /// Builds, and pushes where the builder can't; gives the digest that was pushed too.
    async fn solve(
        &self,
        builder: &Builder,
        request: &SolveRequest<'_>,
        locked: Option<&LockedImage>,
    ) -> Result<(BuildOutput, Option<String>), BuildError> {
        let by_docker = self.settings.build.push && builder.is_classic();
        let solved = request
            .solve(self.reporter, self.titles(), |build, steps| async move {
                let built = self.build(builder, &build, locked, &steps).await?;
                let pushed = if by_docker && self.plan.repack.is_none() {
                    let tags = &self.settings.tags;
                    let cancel = &request.cancel;
                    let push = docker_push::push(builder, self.registry, tags, &steps, cancel);
                    Some(push.await?)
                } else {
                    built.digest()
                };
                Ok::<_, BuildError>((built, pushed))
            })
            .await;
        let ((built, pushed), trace) = solved?;
        for warning in &trace.warnings {
            let name = &self.plan.dockerfile.name;
            self.reporter.warning(lint(warning, name));
        }
        Ok((built, pushed))
    }

    /// Builds; with a lock that must not change, only once the packages are seen to be its own.
    async fn build(
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
                return Err(BuildError::PackagesMoved { moved });
            }
        }
        match self.plan.repack {
            Some(repack) => {
                let before = published_before(locked);
                packing::build(self, builder, build, repack, before.as_ref(), steps).await
            }
            None => Ok(builder.build(build).await?),
        }
    }

    /// Whether the lock gets the image's packages.
    pub(super) fn lists_packages(&self) -> bool {
        self.settings.lock.file.is_some() && self.settings.lock.mode <= LockMode::Free
    }

    /// The steps of a composed image have titles.
    fn titles(&self) -> Titles {
        if self.composed.template.is_some() && self.composed.path.is_none() {
            Box::new(titles::titles(&self.composed.text))
        } else {
            builder::untitled()
        }
    }

    /// What the registry has now, where the image was pushed.
    pub(super) async fn confirm(
        &self,
        pushed: Option<&str>,
    ) -> Result<Option<Confirmed>, BuildError> {
        if !self.settings.build.push {
            return Ok(None);
        }
        let confirmed = publish::confirm(self.registry, &self.settings.tags, pushed).await?;
        publish::check_run(self.settings, &confirmed)?;
        Ok(Some(confirmed))
    }

    /// Writes the lock, and binds the run; gives the run's id.
    ///
    /// # Errors
    /// [`BuildError::Unwritten`] where the image is in the registry already.
    pub(super) async fn write(
        &self,
        entry: &publish::Entry<'_>,
        confirmed: Option<&Confirmed>,
    ) -> Result<Option<String>, BuildError> {
        let Some(confirmed) = confirmed else {
            return entry.write_lock().map(|_| None);
        };
        let bound = async {
            let lock = entry.write_lock()?;
            publish::bind(
                self.settings,
                self.registry,
                confirmed,
                lock.as_ref(),
                self.reporter,
            )
            .await
        };
        bound
            .await
            .map(Some)
            .map_err(|source| BuildError::Unwritten {
                image: confirmed.pinned(),
                source: Box::new(source),
            })
    }

    /// Where an image without a registry is to be found, and what was written beside it.
    fn tell(&self, built: &BuildOutput, builder: &Builder, run: Option<&str>) {
        if !self.settings.build.push
            && built.docker_id.is_none()
            && self.settings.build.outputs.is_empty()
        {
            let endpoint = builder.client().endpoint().to_string();
            self.reporter.event(Event::InCacheOnly(endpoint));
        }
        self.tell_papers(run);
    }

    /// What was written beside the image.
    pub(super) fn tell_papers(&self, run: Option<&str>) {
        let lock = &self.settings.lock;
        if let Some(file) = lock.file.as_ref().filter(|_| lock.mode == LockMode::Free) {
            let name = file.strip_prefix(&self.settings.project).unwrap_or(file);
            self.reporter
                .detail(format!("locked in {}", name.display()));
        }
        if let Some(run) = run {
            self.reporter
                .detail(format!("run {run} is bound to it in {FOLDER_NAME}/"));
        }
    }
}

/// The image that was pushed when the lock was written, with its digest.
pub(super) fn published_before(locked: Option<&LockedImage>) -> Option<Reference> {
    let published = locked?.published.as_ref()?;
    let tagged = reference::parse(&published.reference).ok()?;
    Some(tagged.clone_with_digest(published.digest.to_string()))
}

/// The pins as the lock has them of an image that a builder made.
fn built_by_builder(build: &LockedBuild) -> LockedBuild {
    let mut build = build.clone();
    build.method = None;
    build.bytecode = false;
    for pins in build.platforms.values_mut() {
        pins.layers.clear();
    }
    build
}

/// A finding of BuildKit's linter in one line.
fn lint(warning: &Warning, dockerfile: &str) -> String {
    match &warning.source {
        Some(source) => format!("{dockerfile}:{}: {}", source.first_line, warning.short),
        None => warning.short.clone(),
    }
}
