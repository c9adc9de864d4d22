//! A build without a builder: what is asked for, the image, and where it goes.

use mlbuild_manifests::lock::{ASSEMBLE, Inputs, LockedBuild, LockedImage};
use mlbuild_progress::LocalSteps;
use oci_spec::distribution::Reference;

use super::taker::{self, Docker};
use super::{Assembling, Destination, Made, OWN_NAME, Prepared, SameInputs, places};
use crate::assembly::Assembly;
use crate::build::BuildError;
use crate::build::job::{Job, published_before};
use crate::build::outcome::BuildOutcome;
use crate::build::publish;
use crate::build::skip::Skip;
use crate::builder::{self, BuildOutput, BuilderError};
use crate::planning::bases::Bases;
use crate::planning::context::Before;
use crate::registry::RegistryError;
use crate::settings::{LockMode, Method};

impl Job<'_> {
    /// What the image is to be assembled from; `None` where a builder makes it, as the method lets it.
    pub(in crate::build) async fn assembly(
        &self,
        method: Method,
    ) -> Result<Option<Vec<Assembly>>, BuildError> {
        let looked = match self.assembling(None).as_slice() {
            [] => Err("its packages aren't pinned".to_owned()),
            all => super::look(all).await?,
        };
        match looked {
            // Who takes an image without pins was looked at before its packages were looked for.
            Ok(assemblies) if method != Method::Auto || self.is_unlocked => Ok(Some(assemblies)),
            Ok(assemblies) => match taker::check(self.settings, self.plan).await {
                Ok(()) => Ok(Some(assemblies)),
                Err(reason) => self.by_builder(reason),
            },
            Err(reason) if method == Method::Auto => self.by_builder(reason),
            Err(reason) => Err(BuildError::NotAssembled {
                reason,
                lacks_pins: self.pinned.is_none(),
            }),
        }
    }

    /// Says why a builder makes the image.
    ///
    /// # Errors
    /// Where it is for several platforms: the packages of a lock are mounted for one.
    fn by_builder<T>(&self, reason: String) -> Result<Option<T>, BuildError> {
        if !self.is_unlocked && self.plan.platforms.len() > 1 {
            return Err(BuildError::SeveralPlatforms {
                platforms: self.plan.platforms.clone(),
                why: Some(reason),
            });
        }
        self.reporter.note(format!("built by BuildKit: {reason}"));
        Ok(None)
    }

    /// Whether the lock or what is asked for says that the image is assembled, or may be. A lock
    /// that must not change is of an image that was made one way.
    pub(in crate::build) fn method(&self) -> Result<Option<Method>, BuildError> {
        let asked = self.settings.build.method;
        let fixed = self.settings.lock.mode > LockMode::Free;
        match self.pinned {
            Some((_, build)) if fixed && build.is_assembled() => Ok(Some(Method::Assemble)),
            Some(_) if fixed && asked == Some(Method::Assemble) => Err(BuildError::NotAssembled {
                reason: "the lock is of an image that a builder makes".to_owned(),
                lacks_pins: true,
            }),
            Some(_) if fixed => Ok(None),
            Some((_, build)) if asked.is_none() => Ok(build.is_assembled().then_some(Method::Auto)),
            // Whether it can be assembled without pins in the lock has been looked at by now.
            None if asked != Some(Method::Assemble) => Ok(None),
            _ => Ok(asked.filter(|asked| *asked != Method::Buildkit)),
        }
    }

    /// For each platform, where packages are pinned.
    fn assembling<'b>(&'b self, same: Option<&'b SameInputs>) -> Vec<Assembling<'b>> {
        let pinned = self.pinned.into_iter();
        let each = pinned.flat_map(|(plans, build)| plans.iter().map(move |plan| (plan, build)));
        let one = |(locked, build)| Assembling {
            settings: self.settings,
            host: self.host,
            registry: self.registry,
            locked,
            build,
            // Whether packages had bytecode is said by pins alone.
            is_fixed: !self.is_unlocked && self.settings.lock.mode > LockMode::Free,
            same,
            taken: None,
            reporter: self.reporter,
        };
        each.map(one).collect()
    }

    /// Makes the image, and everything that a build does after it. `locked`: the lock's
    /// entry before it.
    pub(in crate::build) async fn assemble(
        &self,
        assemblies: &[Assembly],
        locked: Option<&LockedImage>,
        context: &Before,
        inputs: &Inputs,
        skip: &Skip<'_>,
        bases: &Bases,
    ) -> Result<BuildOutcome, BuildError> {
        let before = published_before(locked);
        let same = locked
            .filter(|entry| skip.same_bases(entry))
            .zip(before.clone());
        let same = same.and_then(|(entry, image)| SameInputs::of(entry, inputs, image));
        let assembling = self.assembling(same.as_ref());
        self.reporter
            .note("assembled from its wheels: no step has to be run");
        let docker = taker::docker(self.settings, self.plan).await?;
        if let Some(docker) = &docker {
            docker.check_platforms(self.plan.platforms.len()).await?;
        }
        let destination = self.destination(docker.is_some());
        let prepare = async { super::prepare_all(&assembling, assemblies, destination).await };
        let check = async {
            match destination {
                Destination::Registries(_) => Ok(()),
                Destination::Here => self.check_push().await,
            }
        };
        let (prepared, ()) = tokio::try_join!(prepare, check)?;
        let work = (&assembling[..], assemblies, &prepared[..], before.as_ref());
        let (made, built) = match self.with_progress(work, docker.as_ref()).await {
            // A layer that the registry had a moment ago, or doesn't lend: it is made here.
            Err(BuildError::Registry(error))
                if prepared.iter().any(|one| !one.elsewhere.is_empty())
                    && matches!(*error, RegistryError::NotMounted { .. }) =>
            {
                drop(prepared);
                let here = Destination::Here;
                let prepared = super::prepare_all(&assembling, assemblies, here).await?;
                let work = (&assembling[..], assemblies, &prepared[..], before.as_ref());
                self.with_progress(work, docker.as_ref()).await?
            }
            other => other?,
        };
        let confirmed = self.confirm(built.digest().as_deref()).await?;
        let inputs = Inputs {
            context: context.unchanged()?,
            ..inputs.clone()
        };
        let packages = self.lists_packages().then(|| made.packages.clone());
        let entry = publish::Entry {
            settings: self.settings,
            key: self.key,
            inputs: inputs.clone(),
            bases,
            builder: (OWN_NAME.to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            confirmed: confirmed.as_ref(),
            packages: packages.clone(),
            build: self.assembled_build(&made),
        };
        let run_id = self.write(&entry, confirmed.as_ref()).await?;
        skip.remember(&inputs, &built, confirmed.as_ref(), packages);
        self.tell_papers(run_id.as_deref());
        Ok(BuildOutcome {
            run_id,
            ..BuildOutcome::built(self.settings, built, confirmed.as_ref())
        })
    }

    /// The pins as the lock has them of such an image; none where it has none.
    fn assembled_build(&self, made: &Made) -> Option<LockedBuild> {
        let (_, build) = self.pinned.filter(|_| !self.is_unlocked)?;
        let mut build = build.clone();
        build.method = Some(ASSEMBLE.to_owned());
        build.bytecode = made.has_bytecode;
        for (platform, layers) in &made.layers {
            if let Some(pins) = build.platforms.get_mut(platform) {
                pins.layers.clone_from(layers);
            }
        }
        Some(build)
    }

    /// Where the image goes: what only a registry gets needn't be here.
    fn destination(&self, is_loaded: bool) -> Destination<'_> {
        let is_written = self.plan.outputs.iter().any(|out| out.kind == "oci");
        if self.settings.build.push && !is_loaded && !is_written {
            Destination::Registries(&self.settings.tags)
        } else {
            Destination::Here
        }
    }

    async fn with_progress(
        &self,
        work: AssemblyWork<'_>,
        docker: Option<&Docker>,
    ) -> Result<(Made, BuildOutput), BuildError> {
        let cancel = self.reporter.cancellation();
        let mut progress = self.reporter.begin_solve(builder::untitled());
        let steps = progress.local_steps();
        let work = async move {
            tokio::select! {
                biased;
                done = self.make_and_deliver(work, docker, steps) => done,
                () = cancel.cancelled() => Err(BuilderError::Cancelled.into()),
            }
        };
        let done = progress.during(work).await;
        progress.finish().await;
        done
    }

    async fn make_and_deliver(
        &self,
        (assembling, assemblies, prepared, before): AssemblyWork<'_>,
        docker: Option<&Docker>,
        steps: LocalSteps,
    ) -> Result<(Made, BuildOutput), BuildError> {
        let step = steps.begin("assembling the image");
        let make = || super::make_all(assembling, assemblies, prepared);
        let made = match tokio::task::block_in_place(make) {
            Ok(made) => made,
            Err(error) => {
                step.failed(&error.to_string());
                return Err(error);
            }
        };
        step.done();
        let (plan, packed) = (self.plan, &made.packed);
        let mut output = packed.output();
        for out in plan.outputs.iter().filter(|out| out.kind == "oci") {
            packed.write(self.registry, &plan.tags, out)?;
        }
        if let Some(docker) = docker {
            let docker = docker.api()?;
            output.docker_id = packed
                .load(self.registry, docker, &plan.tags, &steps)
                .await?;
        }
        if self.settings.build.push {
            packed
                .push(self.registry, &self.settings.tags, before, &steps)
                .await?;
            places::note(&made.digests, &self.settings.tags);
        }
        Ok((made, output))
    }
}

/// What is put together, of what, each for every platform, and the image that was there before it.
type AssemblyWork<'a> = (
    &'a [Assembling<'a>],
    &'a [Assembly],
    &'a [Prepared],
    Option<&'a Reference>,
);
