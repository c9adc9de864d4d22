//! Looking for packages: on this machine where the base's layers say enough, else inside the base, on a
//! builder.

use jiff::Timestamp;
use mlbuild_progress::printable;
use mlbuild_templates::PackageRequest;

use super::locker::Locker;
use super::{LockingError, searches};
use crate::builder::{self, Builder, BuilderError, Connection};
use crate::known_base;
use crate::package_store::{Answer, Store};
use crate::planning::build_plan::NATIVE;
use crate::planning::locked::files;
use crate::resolve::{NotResolved, ResolveQuestion, check_request};
use crate::settings::Method;

/// The builder of a search, which is connected to once it is needed.
#[derive(Default)]
pub(super) struct SearchBuilder(Option<Connection>);

impl SearchBuilder {
    /// The builder.
    pub(super) async fn get(&mut self, locker: &Locker<'_>) -> Result<&Builder, BuilderError> {
        let found = match self.0.take() {
            Some(found) => found,
            None => builder::connect_or_start(&locker.settings.build, locker.reporter).await?,
        };
        Ok(&self.0.insert(found).builder)
    }
}

impl Locker<'_> {
    /// The platforms of a build: those that are asked for, else that of a builder that is there. One that is
    /// certainly assembled is for this machine's.
    pub(super) async fn platforms_of_build(&self) -> Result<Vec<String>, LockingError> {
        let build = &self.settings.build;
        if !build.platforms.is_empty() {
            return Ok(build.platforms.clone());
        }
        let mut names = Vec::new();
        if build.method != Method::Assemble {
            match builder::connect_quietly(build).await {
                Ok(found) => names = found.builder.target_platforms(&self.plan()?),
                Err(BuilderError::Cancelled) => return Err(BuilderError::Cancelled.into()),
                Err(_) => {}
            }
        }
        if names.is_empty() {
            names.push(NATIVE.to_owned());
        }
        Ok(names)
    }

    /// Looks for the packages of one platform.
    pub(super) async fn search(
        &self,
        builder: &mut SearchBuilder,
        platform: &str,
        as_of: Option<Timestamp>,
    ) -> Result<Answer, LockingError> {
        if let Some(answer) = Box::pin(self.search_here(platform, as_of)).await? {
            return Ok(answer);
        }
        self.search_in_base(builder.get(self).await?, platform, as_of)
            .await
    }

    /// What is found on this machine; `None` where the base has to be asked. Why it is, is said, unless what
    /// is asked for says it.
    async fn search_here(
        &self,
        platform: &str,
        as_of: Option<Timestamp>,
    ) -> Result<Option<Answer>, LockingError> {
        let nothing = PackageRequest::default();
        let request = self.composed.request.as_ref().unwrap_or(&nothing);
        if self.settings.build.method == Method::Buildkit || check_request(request).is_err() {
            if request.by_pip && request.environment.is_some() {
                self.say("pip resolves them");
            }
            return Ok(None);
        }
        let Some(base) = self.base()? else {
            return Ok(None);
        };
        let store = Store::open()?;
        let Some(facts) = self.facts(&base, platform).await else {
            return Ok(None);
        };
        let known = searches::known_wheels(&base, platform, &store);
        let cancel = self.reporter.cancellation();
        let question = ResolveQuestion {
            request,
            files: files(self.settings, request)?,
            as_of: as_of.map(|time| time.to_string()),
            host: self.host,
            facts: &facts,
            complete: known.complete(),
            store: &store,
            cancel: cancel.clone(),
        };
        let mut progress = self.reporter.begin_solve(builder::untitled());
        let steps = progress.local_steps();
        let work = async {
            let step = steps.begin("looking for packages");
            let answer = question.answer().await;
            step.done();
            answer
        };
        let answer = progress.during(work).await;
        progress.finish().await;
        match answer {
            Ok(pins) => Ok(Some(Answer {
                pins,
                newest: 0,
                has_libraries: true,
            })),
            Err(NotResolved::Cancelled) => Err(BuilderError::Cancelled.into()),
            Err(NotResolved::Store(error)) => Err(error.into()),
            Err(NotResolved::Elsewhere(why)) => {
                self.say(&why);
                Ok(None)
            }
        }
    }

    fn say(&self, why: &str) {
        let why = printable::line(why);
        self.reporter
            .note(format!("packages are looked for in the base: {why}"));
    }

    /// What is known of the base; `None` where its layers can't be read, or say that packages can't be put on
    /// it. Layers that nobody has read yet are read where the image is put on them by this program anyway.
    async fn facts(&self, base: &str, platform: &str) -> Option<crate::assemble::BaseFacts> {
        let pins = [(base.to_owned(), None)].into();
        let found = known_base::look_up_kept(self.registry, &pins, platform).await;
        let base = match found {
            Ok(mut found) => found.pop()?,
            Err(error) => {
                self.say(&error.to_string());
                return None;
            }
        };
        let facts = match base.kept_facts() {
            Some(facts) => facts,
            None if self.reads_base => match base.facts(self.registry).await {
                Ok(facts) => facts,
                Err(error) => {
                    self.say(&error.to_string());
                    return None;
                }
            },
            None => return None,
        };
        // Whoever puts the image together says it, too.
        facts.ok()
    }
}
