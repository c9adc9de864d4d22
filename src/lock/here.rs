//! Looking for packages: on this machine where the base's layers say enough, else inside the base, on a
//! builder.

use jiff::Timestamp;
use mlbuild_manifests::lock::PinnedFile;
use mlbuild_progress::printable;
use mlbuild_templates::PackageRequest;

use super::locker::Locker;
use super::{LockingError, searches};
use crate::assemble::BaseFacts;
use crate::builder::{self, Builder, BuilderError, Connection};
use crate::known_base::{self, KnownBaseError};
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

/// What packages are looked for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The platform.
    pub(super) platform: &'a str,
    /// The time as of which they are looked for.
    pub(super) as_of: Option<Timestamp>,
    /// Those of another platform, or of another image, whose versions are taken where they can be.
    pub(super) like: &'a [PinnedFile],
}

/// Where packages are found.
pub(super) enum Here {
    /// On this machine.
    Found(Box<Answer>),
    /// In the base alone, for this reason, where it is worth a word.
    Elsewhere(Option<String>),
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
        if self.method != Method::Assemble {
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
        asked: Asked<'_>,
    ) -> Result<Answer, LockingError> {
        let why = match Box::pin(self.search_here(asked)).await? {
            Here::Found(answer) => return Ok(*answer),
            Here::Elsewhere(why) => why,
        };
        if let Some(why) = &why {
            let why = printable::line(why);
            let text = format!("packages are looked for in the base: {why}");
            self.reporter.note(text);
        }
        let found = builder.get(self).await;
        let runs = |builder: &&Builder| {
            let known = builder.info().platforms();
            known.is_empty() || known.contains(&asked.platform)
        };
        let is_foreign =
            asked.platform != NATIVE && !matches!(&found, Err(BuilderError::Cancelled));
        match why {
            // A base of another machine can't be asked.
            Some(why) if is_foreign && !found.as_ref().is_ok_and(runs) => {
                Err(LockingError::OtherMachine {
                    platform: asked.platform.to_owned(),
                    why: printable::line(&why).into_owned(),
                })
            }
            _ => self.search_in_base(found?, asked).await,
        }
    }

    /// What is found on this machine, or why the base has to be asked.
    pub(super) async fn search_here(&self, asked: Asked<'_>) -> Result<Here, LockingError> {
        let platform = asked.platform;
        let nothing = PackageRequest::default();
        let request = self.composed.request.as_ref().unwrap_or(&nothing);
        if self.method == Method::Buildkit || check_request(request).is_err() {
            let is_said = request.by_pip && request.environment.is_some();
            return Ok(Here::Elsewhere(
                is_said.then(|| "pip resolves them".to_owned()),
            ));
        }
        let Some(base) = self.base()? else {
            return Ok(Here::Elsewhere(None));
        };
        let store = Store::open()?;
        let facts = match self.facts(&base, platform).await {
            Ok(facts) => facts,
            Err(NoFacts::Unknown(why)) => return Ok(Here::Elsewhere(why)),
            // A builder may find packages for it; that image isn't the one that is asked for.
            Err(NoFacts::Unfit(reason)) if self.method == Method::Assemble => {
                return Err(LockingError::NotAssembled { reason });
            }
            Err(NoFacts::Unfit(why)) => return Ok(Here::Elsewhere(Some(why))),
        };
        let known = searches::known_wheels(&base, platform, &store);
        let cancel = self.reporter.cancellation();
        let question = ResolveQuestion {
            request,
            files: files(self.settings, request)?,
            as_of: asked.as_of.map(|time| time.to_string()),
            like: asked.like,
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
            Ok(pins) => Ok(Here::Found(Box::new(Answer {
                pins,
                newest: 0,
                has_libraries: true,
            }))),
            Err(NotResolved::Cancelled) => Err(BuilderError::Cancelled.into()),
            Err(NotResolved::Store(error)) => Err(error.into()),
            // A builder may find the same; it doesn't put the image together.
            Err(NotResolved::BadWheel(why)) if self.method == Method::Assemble => {
                Err(LockingError::BadWheel(printable::line(&why).into_owned()))
            }
            Err(NotResolved::Elsewhere(why) | NotResolved::BadWheel(why)) => {
                Ok(Here::Elsewhere(Some(why)))
            }
        }
    }

    /// What is known of the base. Layers that nobody has read yet are read where the image is put on them by this
    /// program anyway, and where a base of another machine can't be asked.
    async fn facts(&self, base: &str, platform: &str) -> Result<BaseFacts, NoFacts> {
        let pins = [(base.to_owned(), None)].into();
        let found = known_base::look_up_kept(self.registry, &pins, platform).await;
        let unknown = |error: KnownBaseError| NoFacts::Unknown(Some(error.to_string()));
        let base = found.map_err(unknown)?.pop();
        let base = base.ok_or(NoFacts::Unknown(None))?;
        let facts = match base.kept_facts() {
            Some(facts) => facts,
            None if self.reads_base || platform != NATIVE => {
                base.facts(self.registry).await.map_err(unknown)?
            }
            None => return Err(NoFacts::Unknown(None)),
        };
        facts.map_err(|error| NoFacts::Unfit(error.to_string()))
    }
}

/// Why nothing is known of a base that packages can be looked for with.
enum NoFacts {
    /// Its layers aren't read, for a reason that may be worth a word.
    Unknown(Option<String>),
    /// Nothing can be put on it.
    Unfit(String),
}
