//! An assembled image once more without its project: its packages are made of what the lock beside it pins, the
//! environment and the user of its base. The code and what was set over the base are taken as the image has
//! them, which is said.

use mlbuild_manifests::LockedImage;
use mlbuild_manifests::lock::LockedBuild;
use oci_spec::distribution::Reference;
use serde_json::Value;

use super::error::VerifyError;
use super::rebuild::{self, Rebuilt};
use super::target::Target;
use crate::assemble::{AssembleError, USER_LAYER};
use crate::assembly::{Assembly, PREFIX, Recipe};
use crate::build::BuildError;
use crate::build::assembled::{Assembling, Taken};
use crate::host;
use crate::lock::file;
use crate::plan::Repack;
use crate::planning::locked;
use crate::rebase::source::{self, KnownPlaces, OldImage};
use crate::registry::{Registry, RegistryError};
use crate::reporter::Reporter;
use crate::runs::attached;
use crate::settings::{self, BuildRequest, ImageSettings};

/// Where bases are that need no registry of their own.
const USUAL_REGISTRY: &str = "docker.io";

/// Whether an image is to be proved without its project: mlbuild assembled it of pinned packages, and no lock here is
/// of it.
///
/// # Errors
/// A lock that can't be read.
pub fn is_meant(settings: &ImageSettings, entry: &LockedImage) -> Result<bool, VerifyError> {
    let is_assembled = entry.build.as_ref().is_some_and(LockedBuild::is_assembled);
    let lock = settings.lock.file.as_deref().filter(|path| path.exists());
    let is_here = match lock {
        Some(path) => file::load(path)?.get(&entry.key()).is_some(),
        None => false,
    };
    Ok(is_assembled && !is_here)
}

/// Puts it together once more; says what was taken as it is.
///
/// # Errors
/// An image that isn't what it says; a base or a package that nobody has; those of a build.
pub async fn rebuild(
    request: &BuildRequest,
    target: &Target,
    asked: &[String],
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<(Rebuilt, Vec<String>), VerifyError> {
    let entry = &target.entry;
    let not_pinned = || VerifyError::NotPinned {
        key: entry.key(),
        image: Box::new(target.image.clone()),
    };
    let build = entry.build.as_ref().ok_or_else(not_pinned)?;
    let folder = tempfile::tempdir().map_err(BuildError::WorkFolder)?;
    let settings = settings::resolve(&BuildRequest {
        project: folder.path().display().to_string(),
        base: entry.bases.first().map(|base| base.reference.clone()),
        tags: vec![entry.key().to_string()],
        platforms: target.manifests.keys().cloned().collect(),
        builder: request.builder.clone(),
        tls: request.tls.clone(),
        start_builder: request.start_builder,
        insecure_registries: request.insecure_registries.clone(),
        no_lock: true,
        ..BuildRequest::default()
    })?;
    let named = request.base.as_deref().map(RegistryError::reference);
    let named = named.transpose()?;
    let known = KnownPlaces {
        old_base: None,
        registries: [
            target.image.registry(),
            named.as_ref().map_or(USUAL_REGISTRY, Reference::registry),
        ],
    };
    let source = source::read(registry, &target.image, &known).await?;
    let plans = locked::from_entry(&settings, entry, reporter)?;
    let host = host::of_this_machine(settings.build.host_network_settings);
    let (mut assemblies, mut taken) = (Vec::<Assembly>::new(), Vec::new());
    for plan in &plans {
        let old = source
            .images
            .iter()
            .find(|old| old.platform == plan.platform);
        let old = old.ok_or_else(|| VerifyError::OtherProject {
            changed: vec![format!("the lock has packages for {}", plan.platform)],
        })?;
        let repack = plan.plan.repack.ok_or_else(not_pinned)?;
        let mut assembly = assembly(old, repack, registry).await?;
        let version = &assembly.facts.venv.version;
        let mut same = assemblies
            .iter()
            .filter(|one| one.facts.venv.version == *version);
        if let Some(first) = same.next() {
            assembly.compiler.clone_from(&first.compiler);
        }
        assemblies.push(assembly);
        taken.push(Taken {
            code: old.code().clone(),
            place: old.reference.clone(),
            annotations: old.annotations.clone(),
        });
    }
    let all = plans.iter().zip(&taken).map(|(locked, taken)| Assembling {
        settings: &settings,
        host: &host,
        registry,
        locked,
        build,
        is_fixed: true,
        same: None,
        taken: Some(taken),
        reporter,
    });
    let all: Vec<_> = all.collect();
    let made = rebuild::put_together(all, assemblies, asked, reporter).await?;
    Ok((
        made,
        told(&source.images, &target.image, registry, reporter).await,
    ))
}

/// What an image is put together from, by what it says of itself and what its base holds.
async fn assembly(
    old: &OldImage,
    repack: Repack,
    registry: &Registry,
) -> Result<Assembly, VerifyError> {
    let of_build = |error: AssembleError| VerifyError::from(BuildError::from(error));
    let base = old.base.clone();
    let facts = base.facts(registry).await.map_err(BuildError::from)?;
    let facts = facts.map_err(of_build)?;
    let unfit = |why| {
        VerifyError::from(BuildError::NotAssembled {
            reason: why,
            lacks_pins: false,
        })
    };
    let compression = crate::assembly::layers_of(repack.compression).map_err(unfit)?;
    let user = old.account.as_ref().map(|account| {
        let about = format!("{USER_LAYER}{}", account.name);
        let entries = account.layer(&facts, old.epoch)?;
        Ok((about, entries))
    });
    Ok(Assembly {
        compiler: base.pack.image.config.digest().to_string(),
        recipe: Recipe {
            settings: old.note.settings.over(&base.pack.config),
            changes: None,
            workdir: PREFIX.to_owned(),
            copies: Vec::new(),
            account: old.account.clone(),
        },
        user: user.transpose().map_err(of_build)?,
        repack,
        compression,
        facts,
        base,
    })
}

/// What wasn't made again, and where it is known to be from.
async fn told(
    images: &[OldImage],
    image: &Reference,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Vec<String> {
    let bytes: u64 = images.iter().map(|old| old.code().layer.blob.size()).sum();
    let code = format!("the code ({bytes} bytes packed)");
    let set = images.iter().map(|old| {
        let settings = serde_json::to_value(&old.note.settings).unwrap_or_default();
        let names = settings.as_object().into_iter().flatten();
        let names = names.filter(|(_, value)| **value != Value::Null);
        names
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
            .join(", ")
    });
    let set = set.max().unwrap_or_default();
    let mut taken = vec![code, format!("what is set over the base ({set})")];
    let runs = attached::find(registry, image, "", reporter).await;
    let mut commits = runs.iter().flatten().filter_map(|run| {
        let git = run.record.git.as_ref()?;
        let place = git
            .remote
            .as_deref()
            .unwrap_or("a repository without a remote");
        Some(format!("{} of {place}", git.commit.as_deref()?))
    });
    if let Some(commit) = commits.next_back() {
        taken[0] = format!("{}, of a run at the commit {commit}", taken[0]);
    }
    taken
}
