//! The image once more, from what its lock says and nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mlbuild_manifests::LockedImage;
use mlbuild_manifests::lock::LockedBuild;
use mlbuild_progress::LocalSteps;
use oci_spec::image::Digest;
use tempfile::TempDir;

use super::error::VerifyError;
use crate::assembly::Assembly;
use crate::build::BuildError;
use crate::build::assembled::{self, Assembling, Destination};
use crate::build::repack::{self, Purpose, Repacked};
use crate::builder::{self, BuildInputs, Builder, Connection, SolveRequest};
use crate::host::{self, HostSettings};
use crate::image_source::{self, Opened};
use crate::lock::provide::Fetch;
use crate::plan::{BuildPlan, NoCache};
use crate::planning::locked::{self, LockedPlan};
use crate::planning::{PlanningError, bases, build_plan, compose, context, input_digests, titles};
use crate::registry::Registry;
use crate::reporter::Reporter;
use crate::settings::ImageSettings;

/// The image as it was made here.
pub struct Rebuilt {
    /// Its manifests, by platform.
    pub manifests: BTreeMap<String, Digest>,
    /// Who made it.
    pub builder: String,
    made: Made,
}

enum Made {
    /// With mlbuild's own bytes.
    Packed(Box<Repacked>),
    /// As the builder made it.
    Exported(
        PathBuf,
        #[expect(dead_code, reason = "it goes when this goes")] TempDir,
    ),
}

/// Rebuilds what an entry describes; of an image that mlbuild assembles for several platforms only those of
/// `asked`, where that names some.
///
/// # Errors
/// [`crate::error::ErrorKind::Difference`] where the project isn't the one that the entry is of; those
/// of a build.
pub async fn rebuild(
    settings: &ImageSettings,
    registry: &Registry,
    entry: &LockedImage,
    asked: &[String],
    reporter: &dyn Reporter,
) -> Result<Rebuilt, VerifyError> {
    let host = host::of_this_machine(settings.build.host_network_settings);
    let from_pins = locked::from_entry(settings, entry, reporter)?;
    let open;
    let (plan, composed) = match from_pins.first() {
        Some(locked) => (locked.plan.clone(), &locked.composed),
        None => {
            open = compose::dockerfile(settings, &host, reporter)?;
            let uses = build_plan::images(settings, &open).map_err(PlanningError::from)?;
            let pins = bases::from_lock(&uses, Some(entry));
            let plan = build_plan::plan(settings, &open, &uses, &pins)?;
            (plan, &open)
        }
    };
    let build = entry.build.as_ref();
    let is_assembled = build.is_some_and(LockedBuild::is_assembled);
    let context = context::Before::look(settings, &plan)?;
    let plans = from_pins.iter().map(|locked| &locked.plan);
    let digest = context.digest();
    let inputs = input_digests::inputs_of_all(plans, composed, digest.as_ref(), is_assembled);
    let inputs = inputs
        .unwrap_or_else(|| input_digests::inputs(&plan, composed, digest.clone(), is_assembled));
    let changed = input_digests::changed(Some(entry), &inputs);
    if !changed.is_empty() && !is_of_more_platforms(settings, entry, digest.as_ref(), reporter)? {
        return Err(VerifyError::OtherProject { changed });
    }
    if let Some(build) = build.filter(|_| is_assembled) {
        let one = |locked| Assembling {
            settings,
            host: &host,
            registry,
            locked,
            build,
            is_fixed: true,
            same: None,
            taken: None,
            reporter,
        };
        let all: Vec<_> = from_pins.iter().map(one).collect();
        return assemble(all, asked, reporter).await;
    }
    if from_pins.len() > 1 {
        let platforms = plan.platforms;
        return Err(BuildError::SeveralPlatforms {
            platforms,
            why: None,
        }
        .into());
    }
    let job = Rebuilding {
        settings,
        registry,
        entry,
        host: &host,
        locked: from_pins.first(),
        reporter,
    };
    let text = composed.template.as_ref().map(|_| composed.text.as_str());
    job.run(plan, text, context.transfer_key()).await
}

/// Whether an entry is of the project as it is for all platforms that it has pins for: the image may be for some of
/// those.
fn is_of_more_platforms(
    settings: &ImageSettings,
    entry: &LockedImage,
    context: Option<&Digest>,
    reporter: &dyn Reporter,
) -> Result<bool, VerifyError> {
    let Some(build) = entry.build.as_ref().filter(|b| b.platforms.len() > 1) else {
        return Ok(false);
    };
    let mut for_all = settings.clone();
    for_all.build.platforms = build.platforms.keys().cloned().collect();
    let plans = locked::from_entry(&for_all, entry, reporter)?;
    let inputs = plans.first().and_then(|first| {
        let each = plans.iter().map(|locked| &locked.plan);
        input_digests::inputs_of_all(each, &first.composed, context, build.is_assembled())
    });
    Ok(inputs.is_some_and(|inputs| input_digests::changed(Some(entry), &inputs).is_empty()))
}

/// Puts the image together once more: no builder is needed where its packages are at hand.
async fn assemble(
    all: Vec<Assembling<'_>>,
    asked: &[String],
    reporter: &dyn Reporter,
) -> Result<Rebuilt, VerifyError> {
    // All of them are looked at: they share bytecode, which is kept by the first one's base.
    let assemblies = assembled::look(&all).await?;
    let assemblies = assemblies.map_err(|reason| BuildError::NotAssembled {
        reason,
        lacks_pins: false,
    })?;
    put_together(all, assemblies, asked, reporter).await
}

/// The same of what was looked up.
///
/// # Errors
/// Those of a build.
pub async fn put_together(
    all: Vec<Assembling<'_>>,
    assemblies: Vec<Assembly>,
    asked: &[String],
    reporter: &dyn Reporter,
) -> Result<Rebuilt, VerifyError> {
    let is_asked = |one: &Assembling<'_>| asked.is_empty() || asked.contains(&one.locked.platform);
    let both = all.into_iter().zip(assemblies);
    let (all, assemblies): (Vec<_>, Vec<_>) = both.filter(|(one, _)| is_asked(one)).unzip();
    let prepared = assembled::prepare_all(&all, &assemblies, Destination::Here).await?;
    reporter.note("assembling it again");
    let make = || assembled::make_all(&all, &assemblies, &prepared);
    let made = tokio::task::block_in_place(make)?;
    Ok(Rebuilt {
        manifests: made.packed.manifests(),
        builder: format!("mlbuild {}", env!("CARGO_PKG_VERSION")),
        made: Made::Packed(Box::new(made.packed)),
    })
}

struct Rebuilding<'a> {
    settings: &'a ImageSettings,
    registry: &'a Registry,
    entry: &'a LockedImage,
    host: &'a HostSettings,
    locked: Option<&'a LockedPlan>,
    reporter: &'a dyn Reporter,
}

impl Rebuilding<'_> {
    async fn run(
        &self,
        mut plan: BuildPlan,
        text: Option<&str>,
        transfer_key: &str,
    ) -> Result<Rebuilt, VerifyError> {
        plan.no_cache = NoCache::All;
        plan.cache_from.clear();
        plan.cache_to.clear();
        plan.outputs.clear();
        let cancel = self.reporter.cancellation();
        let ssh = builder::SshAgents::start(&plan.ssh)?;
        let Connection { builder, how } =
            builder::connect_or_start(&self.settings.build, self.reporter).await?;
        if let (Some(locked), Some(build)) = (self.locked, &self.entry.build) {
            let fetch = Fetch {
                settings: self.settings,
                host: self.host,
                registry: self.registry,
                builder: &builder,
                reporter: self.reporter,
            };
            fetch.provide(locked, build).await?;
        }
        self.reporter.note(format!("rebuilding on {how}"));
        let titles = match text {
            Some(text) => Box::new(titles::titles(text)),
            None => builder::untitled(),
        };
        let nothing = HostSettings::default();
        let request = SolveRequest {
            plan: &plan,
            transfer_key,
            // Nothing of this machine may reach a build from pins.
            host: match self.locked {
                Some(locked) if locked.offline => &nothing,
                _ => self.host,
            },
            ssh: ssh.sockets(),
            insecure: &self.settings.insecure,
            asks_packages: false,
            cancel,
        };
        let builder = &builder;
        let solved = request.solve(self.reporter, titles, |inputs, steps| async move {
            self.make(builder, &inputs, &steps).await
        });
        let (made, _) = solved.await?;
        let manifests = match &made {
            Made::Packed(packed) => packed.manifests(),
            Made::Exported(path, _) => {
                let opened = image_source::on_disk("the rebuilt image", path)?;
                let named = opened.images.iter();
                let digest = |i: &image_source::OpenedImage| i.image.manifest.digest().clone();
                named
                    .map(|(name, image)| (name.clone(), digest(image)))
                    .collect()
            }
        };
        let (name, version) = builder.name_and_version();
        Ok(Rebuilt {
            manifests,
            builder: format!("{name} {version}"),
            made,
        })
    }

    async fn make(
        &self,
        builder: &Builder,
        build: &BuildInputs<'_>,
        steps: &LocalSteps,
    ) -> Result<Made, BuildError> {
        let Some(repack) = build.plan.repack else {
            let folder = repack::work_folder()?;
            let (_, path) = builder
                .export(build, folder.path(), BTreeMap::new())
                .await?;
            return Ok(Made::Exported(path, folder));
        };
        let (_, packed) = {
            let purpose = Purpose::Comparing;
            repack::build(builder, build, self.registry, repack, purpose, steps).await?
        };
        Ok(Made::Packed(Box::new(packed)))
    }
}

impl Rebuilt {
    /// The image, to be read.
    ///
    /// # Errors
    /// Where it can't be.
    pub fn open(&self, registry: &Registry) -> Result<Opened, VerifyError> {
        match &self.made {
            Made::Packed(packed) => Ok(packed.open("rebuilt", registry)?),
            Made::Exported(path, _) => Ok(image_source::on_disk("rebuilt", path)?),
        }
    }
}
