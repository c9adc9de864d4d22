//! Assembling an image that no lock has pins of: its packages are looked for, for this build alone.

use mlbuild_manifests::lock::{LockedBuild, LockedPackages, PythonPackage};
use mlbuild_wheels::WheelName;

use super::assembled::{OWN_NAME, taker};
use super::{BuildError, BuildOutcome, Chosen, Start, moved};
use crate::assembly::{self, Assembly};
use crate::build::job::Job;
use crate::builder::BuilderError;
use crate::lock::LockingError;
use crate::plan::BuildPlan;
use crate::planning::bases::Bases;
use crate::planning::{locked, sent};
use crate::registry::Registry;
use crate::settings::{LockMode, Method};

impl Start<'_> {
    /// Makes the image without a builder for its steps; `None` where one has to make it, which is said.
    pub(super) async fn assemble_unlocked(
        &self,
        open: &BuildPlan,
        made_by: &assembly::Chosen,
        bases: &mut Bases,
        registry: &Registry,
    ) -> Result<Option<BuildOutcome>, BuildError> {
        let settings = self.settings;
        let auto = made_by.method == Method::Auto;
        let fixed = settings.lock.mode > LockMode::Free;
        // One that must not change is made as it was.
        if made_by.method == Method::Buildkit || (fixed && !(auto && self.was_assembled())) {
            let reason = made_by.reason.as_ref().filter(|_| !fixed);
            return Ok(reason.and_then(|reason| self.by_builder(reason)));
        }
        if let Err(reason) = self.may_be_assembled(open, made_by.method, bases).await {
            return self.refused(reason, auto && !fixed);
        }
        if auto && let Some(outcome) = self.still_as_built(open, registry).await? {
            return Ok(Some(outcome));
        }
        bases.refuse_unpinned()?;
        let locker = self.locker(bases, registry, made_by.method);
        let found = match Box::pin(locker.of_this_build()).await {
            Ok(Ok(found)) => found,
            Ok(Err(reason)) => return self.refused(reason, !fixed),
            Err(error @ LockingError::Builder(BuilderError::Cancelled)) => {
                return Err(error.into());
            }
            Err(error) if auto && !fixed => {
                let text = error.to_string();
                let first = text.lines().next().unwrap_or_default();
                return Ok(self.by_builder(&format!("its packages can't be pinned: {first}")));
            }
            Err(error) => return Err(error.into()),
        };
        let plans = locked::plans(settings, &found.build, bases, self.reporter)?;
        let chosen = Chosen::Pinned(plans, Box::new(found.build));
        let job = Job {
            is_unlocked: true,
            ..self.job(&chosen, registry)
        };
        let mut looked = None;
        if auto {
            let method = if fixed {
                Method::Assemble
            } else {
                Method::Auto
            };
            looked = job.assembly(method).await?;
            if looked.is_none() {
                return Ok(None);
            }
        }
        if let (true, Some(looked), Some((_, build))) = (fixed, &looked, job.pinned) {
            self.refuse_moved(build, looked)?;
        }
        if let Some(time) = found.kept_since {
            self.reporter
                .note(format!("the packages are those that were found at {time}"));
        }
        sent::tell(job.plan, true, self.reporter)?;
        let locked = self.locked.as_ref();
        job.run(looked, locked, bases).await.map(Some)
    }

    /// Why it isn't assembled: said, where a builder may make it instead.
    fn refused(
        &self,
        reason: String,
        by_builder: bool,
    ) -> Result<Option<BuildOutcome>, BuildError> {
        if by_builder {
            return Ok(self.by_builder(&reason));
        }
        let lacks_pins = false;
        Err(BuildError::NotAssembled { reason, lacks_pins })
    }

    fn by_builder<T>(&self, reason: &str) -> Option<T> {
        self.reporter.note(format!("built by BuildKit: {reason}"));
        None
    }

    /// Whether the lock is of an image that was put together.
    pub(super) fn was_assembled(&self) -> bool {
        let builder = self.locked.as_ref().and_then(|old| old.builder.as_ref());
        builder.is_some_and(|builder| builder.name == OWN_NAME)
    }

    /// What is known before packages are looked for.
    async fn may_be_assembled(
        &self,
        open: &BuildPlan,
        method: Method,
        bases: &Bases,
    ) -> Result<(), String> {
        assembly::check(self.settings, &self.composed, open, method)?;
        if method != Method::Auto {
            return Ok(());
        }
        if bases.has_unpinned() {
            return Err("its base is in no registry".to_owned());
        }
        taker::check(self.settings, open).await
    }

    /// An image that a builder made, where nothing changed since: it isn't made anew for another way to
    /// make it.
    async fn still_as_built(
        &self,
        open: &BuildPlan,
        registry: &Registry,
    ) -> Result<Option<BuildOutcome>, BuildError> {
        if self.locked.is_none() || self.was_assembled() {
            return Ok(None);
        }
        let chosen = Chosen::Open(Box::new(open.clone()));
        let job = self.job(&chosen, registry);
        job.unchanged(self.locked.as_ref(), false).await
    }

    /// # Errors
    /// Where the lock lists other packages, and must not change.
    fn refuse_moved(&self, found: &LockedBuild, looked: &[Assembly]) -> Result<(), BuildError> {
        let listed = self.locked.as_ref().and_then(|old| old.packages.as_ref());
        let Some(old) = listed else {
            return Ok(());
        };
        let package = |name: &str, version: &str| PythonPackage {
            name: name.to_owned(),
            version: version.to_owned(),
            file: None,
            sha256: None,
            size: None,
        };
        let files = found.platforms.values();
        let files = files.flat_map(|pins| &pins.python_packages);
        let mut python: Vec<PythonPackage> = files
            .map(|file| package(&file.name, &file.version))
            .collect();
        // What the base's Python brings to an environment, where no other version is asked for.
        for bundled in looked.iter().flat_map(|one| &one.facts.bundled) {
            let Ok(wheel) = WheelName::parse(&bundled.file) else {
                continue;
            };
            if python.iter().all(|known| known.name != wheel.name) {
                python.push(package(&wheel.name, &wheel.version.to_string()));
            }
        }
        python.sort();
        python.dedup();
        // Debian packages are the base's, which is pinned.
        let apt = old.apt.clone();
        let moved = moved::packages(old, &LockedPackages { apt, python });
        match moved.is_empty() {
            true => Ok(()),
            false => Err(BuildError::PackagesMoved { moved }),
        }
    }
}
