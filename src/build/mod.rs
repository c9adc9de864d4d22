//! From a description to a pushed, locked image.
//!
//! Compose, pin the bases, see whether anything changed, build, let the registry confirm, write
//! down. What is built is decided in [`crate::planning`], what its packages are in [`crate::lock`];
//! each further step is a file beside this one.

pub(crate) mod assembled;
mod docker_push;
mod error;
mod job;
mod moved;
mod outcome;
mod packages;
mod packing;
mod publish;
pub mod repack;
mod sif;
mod skip;
mod unlocked;

use mlbuild_manifests::LockFile;
use mlbuild_manifests::lock::{ImageKey, LockedBuild, LockedImage};
use mlbuild_secrets::is_secret;

pub use error::BuildError;
pub use outcome::{Action, BuildOutcome, DryRun};

use self::job::Job;
use self::sif::SifOutputs;
use crate::assembly;
use crate::host::{self, HostSettings};
use crate::lock::file;
use crate::lock::locker::Locker;
use crate::lock::together::pins_of_others;
use crate::pin::ImageUse;
use crate::plan::BuildPlan;
use crate::planning::bases::{self, Bases};
use crate::planning::compose::{self, Composed};
use crate::planning::explain::{Choice, Explained};
use crate::planning::locked::{self, LockedPlan};
use crate::planning::{build_plan, lock_key, origins, registry_options, sent};
use crate::registry::Registry;
use crate::reporter::{Event, Reporter};
use crate::settings::{self, BuildRequest, ImageSettings, Method};

/// Makes an image, unless it is there already.
///
/// # Errors
/// Where the settings contradict each other, a base or a builder can't be reached, a step fails, or
/// the registry has something else in the end.
///
/// # Panics
/// On a runtime of tokio with one thread: files are read and written while others go on.
pub async fn run(
    request: &BuildRequest,
    reporter: &dyn Reporter,
) -> Result<BuildOutcome, BuildError> {
    let mut settings = settings::resolve(request)?;
    settings.check_trust(reporter)?;
    let sifs = SifOutputs::take(&mut settings)?;
    let outcome = make(&mut settings, reporter).await?;
    if let Some(sifs) = sifs {
        sifs.write(&settings, reporter)?;
    }
    Ok(outcome)
}

/// Makes it; where packages turned out to need a compiler, once more with them in the stage that has one.
async fn make(
    settings: &mut ImageSettings,
    reporter: &dyn Reporter,
) -> Result<BuildOutcome, BuildError> {
    loop {
        let error = match make_once(settings, reporter).await {
            Err(error) => error,
            made => return made,
        };
        let BuildError::Builder(cause) = &error else {
            return Err(error);
        };
        let new = settings.compile(&cause.uncompiled());
        if new.is_empty() {
            return Err(error);
        }
        let names = new.join(", ");
        let names_quoted = new.join("\", \"");
        reporter.note(format!(
            "{names}: no wheel fits this Python, and the image has no compiler: built once more with it in a builder \
             stage. Written into mlbuild.toml, the next build begins so: [image] compile = [\"{names_quoted}\"]"
        ));
    }
}

async fn make_once(
    settings: &ImageSettings,
    reporter: &dyn Reporter,
) -> Result<BuildOutcome, BuildError> {
    let start = Start::read(settings, reporter)?;
    let registry = Registry::new(registry_options(settings));
    let mut bases = start.bases(&registry).await?;
    let made_by = start.made_by(&bases)?;
    let chosen = start.choose(&mut bases, &registry, made_by.method).await?;
    if let Chosen::Open(plan) = &chosen
        && let Some(outcome) = start
            .assemble_unlocked(plan, &made_by, &mut bases, &registry)
            .await?
    {
        return Ok(outcome);
    }
    let job = start.job(&chosen, &registry);
    sent::tell(job.plan, start.is_composed(), reporter)?;
    job.run(None, start.locked.as_ref(), &mut bases).await
}

/// Does all but the build.
///
/// # Errors
/// As [`run`], as far as no builder is needed.
pub async fn dry_run(
    request: &BuildRequest,
    reporter: &dyn Reporter,
) -> Result<DryRun, BuildError> {
    let settings = settings::resolve(request)?;
    settings.check_trust(reporter)?;
    let start = Start::read(&settings, reporter)?;
    let registry = Registry::new(registry_options(&settings));
    let mut bases = start.bases(&registry).await?;
    let made_by = start.made_by(&bases)?;
    let locker = start.locker(&bases, &registry, made_by.method);
    if !locker.fits_or_pins_nothing(start.locked.as_ref())? {
        locker.refuse_locked(start.locked.as_ref())?;
        return Ok(DryRun::PinsAnew);
    }
    let chosen = start.choose(&mut bases, &registry, made_by.method).await?;
    bases.refuse_unpinned()?;
    if let Chosen::Open(plan) = &chosen
        && made_by.method != Method::Buildkit
        && start.was_assembled()
    {
        let kept = start.locker(&bases, &registry, made_by.method);
        let Some(build) = kept.kept_of_this_build().await? else {
            return Ok(DryRun::Planned {
                changed: vec!["its packages have to be looked for".to_owned()],
                plan: plan.clone(),
            });
        };
        let plans = locked::plans(&settings, &build, &bases, reporter)?;
        let chosen = Chosen::Pinned(plans, Box::new(build));
        return start.job(&chosen, &registry).dry_run(start.locked.as_ref());
    }
    let job = start.job(&chosen, &registry);
    sent::tell(job.plan, start.is_composed(), reporter)?;
    job.dry_run(start.locked.as_ref())
}

/// What a build would ask a builder for. Bases that the lock doesn't pin have no digest in it:
/// nothing is looked up.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The plan.
    pub plan: BuildPlan,
    /// The lock's entry for the image.
    pub locked: Option<LockedImage>,
    /// The image's first name.
    pub image: String,
    /// Path of the lock; `None` where none is kept.
    pub lock: Option<String>,
}

/// Plans a build from the project's files alone, without a network.
///
/// # Errors
/// Where the settings contradict each other, or a file can't be read.
pub fn plan(request: &BuildRequest, reporter: &dyn Reporter) -> Result<Planned, BuildError> {
    let settings = &settings::resolve(request)?;
    let start = Start::read(settings, reporter)?;
    let pins = bases::from_lock(&start.uses, start.locked.as_ref());
    let entry = start.locked.as_ref();
    let from_pins = entry.map(|entry| locked::from_entry(settings, entry, reporter));
    let plan = match from_pins
        .transpose()?
        .unwrap_or_default()
        .into_iter()
        .next()
    {
        Some(locked) => locked.plan,
        None => build_plan::plan(settings, &start.composed, &start.uses, &pins)?,
    };
    let lock = settings.lock.file.as_ref();
    Ok(Planned {
        plan,
        locked: start.locked,
        image: settings.tags[0].to_string(),
        lock: lock.map(|file| file.display().to_string()),
    })
}

/// Says of each decision about an image where it comes from, without a network and a builder.
///
/// # Errors
/// As [`plan`].
pub fn explain(request: &BuildRequest, reporter: &dyn Reporter) -> Result<Vec<Choice>, BuildError> {
    let settings = &settings::resolve(request)?;
    let start = Start::read(settings, reporter)?;
    let pins = bases::from_lock(&start.uses, start.locked.as_ref());
    let plan = build_plan::plan(settings, &start.composed, &start.uses, &pins)?;
    let explained = Explained {
        request,
        settings,
        composed: &start.composed,
        uses: &start.uses,
        plan: &plan,
    };
    let made_by = start.made_by(&pins)?;
    let maker = match made_by.method {
        Method::Buildkit => "BuildKit",
        Method::Assemble => "mlbuild, of wheels",
        Method::Auto => "mlbuild, else BuildKit",
    };
    let other = match &start.locked {
        _ if made_by.reason.is_some() => made_by.reason.unwrap_or_default(),
        Some(LockedImage { build: Some(_), .. }) => "the lock's image was made so".to_owned(),
        _ if !start.is_composed() => "its Dockerfile or template is your own".to_owned(),
        _ if settings.build.builder.is_some() => "its builder is named".to_owned(),
        _ => "default".to_owned(),
    };
    let mut choices = explained.choices();
    choices.push(explained.made_by(maker, &other));
    Ok(choices)
}

/// Writes `Dockerfile.cpu` and `Dockerfile.gpu` into the project; gives their paths.
///
/// # Errors
/// Where one can't be composed or written; then neither is changed.
pub fn write_dockerfiles(
    request: &BuildRequest,
    replace: bool,
    reporter: &dyn Reporter,
) -> Result<Vec<String>, BuildError> {
    let settings = settings::resolve(&BuildRequest {
        always_compose: true,
        ..request.clone()
    })?;
    settings.check_trust(reporter)?;
    let host = host::of_this_machine(settings.build.host_network_settings);
    Ok(compose::write_variants(
        &settings, &host, replace, reporter,
    )?)
}

/// What is known before anything is looked up.
struct Start<'a> {
    settings: &'a ImageSettings,
    reporter: &'a dyn Reporter,
    host: HostSettings,
    composed: Composed,
    uses: Vec<ImageUse>,
    key: ImageKey,
    /// The lock's entry for the image.
    locked: Option<LockedImage>,
    /// What it pins for the project's other images.
    others: Vec<LockedBuild>,
}

/// What is built.
enum Chosen {
    /// From pinned packages: a plan for each platform, at least one.
    Pinned(Vec<LockedPlan>, Box<LockedBuild>),
    /// From whatever its steps fetch.
    Open(Box<BuildPlan>),
}

impl<'a> Start<'a> {
    fn read(settings: &'a ImageSettings, reporter: &'a dyn Reporter) -> Result<Self, BuildError> {
        let host = host::of_this_machine(settings.build.host_network_settings);
        let composed = compose::dockerfile(settings, &host, reporter)?;
        warn_of_secret_args(settings, reporter);
        let key = lock_key(settings);
        let lock = match &settings.lock.file {
            Some(path) => file::load(path)?,
            None => LockFile::default(),
        };
        let locked = lock.get(&key).cloned();
        let others = pins_of_others(settings, &lock);
        let uses = build_plan::images(settings, &composed)?;
        origins::check_uses(&uses, settings.build.base_registries.as_deref())?;
        Ok(Start {
            settings,
            reporter,
            host,
            composed,
            uses,
            key,
            locked,
            others,
        })
    }

    /// Whether the Dockerfile is a built-in template's.
    fn is_composed(&self) -> bool {
        self.composed.template.is_some() && self.composed.path.is_none()
    }

    async fn bases(&self, registry: &Registry) -> Result<Bases, BuildError> {
        let bases = bases::resolve(
            &self.uses,
            self.locked.as_ref(),
            &self.settings.lock,
            self.settings.build.pull,
            registry,
        );
        let bases = bases.await?;
        bases.tell_moved(self.reporter);
        Ok(bases)
    }

    /// What makes the image, as far as that is known before its packages are.
    fn made_by(&self, bases: &Bases) -> Result<assembly::Chosen, BuildError> {
        let open = || build_plan::plan(self.settings, &self.composed, &self.uses, bases);
        let pinned = self.locked.as_ref().and_then(|entry| entry.build.as_ref());
        Ok(assembly::choose(
            self.settings,
            &self.composed,
            open,
            pinned,
        )?)
    }

    fn locker<'b>(
        &'b self,
        bases: &'b Bases,
        registry: &'b Registry,
        method: Method,
    ) -> Locker<'b> {
        Locker {
            settings: self.settings,
            host: &self.host,
            composed: &self.composed,
            bases,
            as_of: None,
            like: &self.others,
            registry,
            reads_base: true,
            method,
            reporter: self.reporter,
        }
    }

    /// Pinned packages where the lock has some, pinned anew where they don't fit.
    async fn choose(
        &self,
        bases: &mut Bases,
        registry: &Registry,
        method: Method,
    ) -> Result<Chosen, BuildError> {
        let locker = self.locker(bases, registry, method);
        let Some(build) = locker.pins_of(self.locked.as_ref(), registry).await? else {
            let plan = build_plan::plan(self.settings, &self.composed, &self.uses, bases)?;
            return Ok(Chosen::Open(Box::new(plan)));
        };
        if let Some(mirror) = &self.settings.mirror {
            for platform in locked::platforms(self.settings, &build)? {
                bases
                    .use_mirror(registry, mirror, platform, self.reporter)
                    .await?;
            }
        }
        let plans = locked::plans(self.settings, &build, bases, self.reporter)?;
        Ok(Chosen::Pinned(plans, Box::new(build)))
    }

    fn job<'b>(&'b self, chosen: &'b Chosen, registry: &'b Registry) -> Job<'b> {
        let (plan, composed, uses, pinned) = match chosen {
            Chosen::Pinned(plans, build) => {
                let first = plans.first().expect("there is a platform");
                let pinned = Some((plans.as_slice(), &**build));
                (&first.plan, &first.composed, &first.uses, pinned)
            }
            Chosen::Open(plan) => (&**plan, &self.composed, &self.uses, None),
        };
        Job {
            settings: self.settings,
            reporter: self.reporter,
            plan,
            composed,
            uses,
            pinned,
            registry,
            host: &self.host,
            key: &self.key,
            is_unlocked: false,
        }
    }
}

fn warn_of_secret_args(settings: &ImageSettings, reporter: &dyn Reporter) {
    let args = settings.build.args.iter();
    for (name, _) in args.filter(|(name, value)| is_secret(name, value)) {
        reporter.event(Event::SecretArgument(name.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reporter::Silent;

    /// So a caller may spawn it.
    #[test]
    fn the_future_of_a_build_may_go_to_another_thread() {
        fn may_move(_future: impl Send) {}
        may_move(run(&BuildRequest::default(), &Silent));
    }
}
