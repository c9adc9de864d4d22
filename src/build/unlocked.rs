//! Assembling an image that no lock has pins of: its packages are looked for, for this build alone.

use mlbuild_templates::PackageRequest;
use mlbuild_templates::spec::PythonEnvironment;

use super::assembled::check_plan;
use super::{BuildError, BuildOutcome, Chosen, Start};
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
        bases: &mut Bases,
        registry: &Registry,
    ) -> Result<Option<BuildOutcome>, BuildError> {
        let (settings, method) = (self.settings, self.settings.build.method);
        if method == Method::Buildkit || settings.lock.mode > LockMode::Free {
            return Ok(None);
        }
        let auto = method == Method::Auto;
        let refused = |reason: String| {
            if auto {
                self.reporter.note(format!("built by BuildKit: {reason}"));
                return Ok(None);
            }
            let lacks_pins = false;
            Err(BuildError::NotAssembled { reason, lacks_pins })
        };
        if let Err(reason) = self.check_request(auto).and_then(|()| check_plan(open)) {
            return refused(reason);
        }
        if auto && bases.has_unpinned() {
            return refused("its base is in no registry".to_owned());
        }
        bases.refuse_unpinned()?;
        let found = match Box::pin(self.locker(bases, registry).of_this_build()).await {
            Ok(found) => found,
            Err(error @ LockingError::Builder(BuilderError::Cancelled)) => {
                return Err(error.into());
            }
            Err(error) if auto => {
                let text = error.to_string();
                let first = text.lines().next().unwrap_or_default();
                return refused(format!("its packages can't be pinned: {first}"));
            }
            Err(error) => return Err(error.into()),
        };
        let plan = locked::plan(settings, &found.build, bases, self.reporter)?;
        let chosen = Chosen::Pinned(Box::new(plan), Box::new(found.build));
        let job = Job {
            is_unlocked: true,
            ..self.job(&chosen, registry)
        };
        let mut looked = None;
        if auto {
            looked = job.assembly(Method::Auto).await?;
            if looked.is_none() {
                return Ok(None);
            }
        }
        if let Some(time) = found.kept_since {
            self.reporter
                .note(format!("the packages are those that were found at {time}"));
        }
        sent::tell(job.plan, true, self.reporter)?;
        let locked = self.locked.as_ref();
        job.run(looked, locked, bases).await.map(Some)
    }

    /// That no step has to be run, as far as that is known before packages are looked for. Only a base
    /// that is looked into says whether it holds the Debian packages: where a builder may make the image
    /// instead, that isn't waited for.
    fn check_request(&self, auto: bool) -> Result<(), String> {
        if !self.is_composed() {
            return Err("its Dockerfile or template is your own".to_owned());
        }
        let nothing = PackageRequest::default();
        let request = self.composed.request.as_ref().unwrap_or(&nothing);
        if let Some(first) = request.apt.first().filter(|_| auto) {
            return Err(format!(
                "the Debian package {first} may have to be installed"
            ));
        }
        if request.environment != Some(PythonEnvironment::Venv) {
            return Err("it has no environment of its own for packages".to_owned());
        }
        match self.settings.build.platforms.as_slice() {
            [_, _, ..] => Err("it is for several platforms".to_owned()),
            _ => Ok(()),
        }
    }
}
