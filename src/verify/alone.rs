//! An assembled image once more without its project: its packages are made of what the lock beside it pins, the
//! environment and the user of its base. The code and what was set over the base are taken as the image has
//! them, which is said. Nothing that only the image or the lock names is asked for anything, and nothing that
//! is made here is kept for other images.

use std::collections::{BTreeMap, BTreeSet};

use mlbuild_manifests::LockedImage;
use mlbuild_manifests::lock::LockedBuild;
use oci_spec::distribution::Reference;

use super::error::VerifyError;
use super::rebuild::{self, Rebuilt};
use super::target::Target;
use super::{claims, code};
use crate::assemble::AssembleError;
use crate::assembly::{
    Assembly, BASE_DIGEST, BASE_NAME, CopyStep, Looking, NOTE, Recipe, user_layer,
};
use crate::build::BuildError;
use crate::build::assembled::{Assembling, Taken};
use crate::host;
use crate::lock::{Fit, file, fit};
use crate::plan::Repack;
use crate::planning::locked;
use crate::rebase::source::{self, KnownPlaces, OldImage};
use crate::registry::{Registry, RegistryError};
use crate::reporter::Reporter;
use crate::settings::{self, BuildRequest, ImageSettings};

/// Where bases are that need no registry of their own.
const USUAL_REGISTRY: &str = "docker.io";

/// Whether an image is to be proved without its project: mlbuild assembled it of pinned packages, and no lock here is
/// of it. A lock that can't be read is of none.
pub fn is_meant(settings: &ImageSettings, target: &Target) -> bool {
    let entry = &target.entry;
    let digests = target.digests();
    let is_its = |here: &LockedImage| match fit(here, &digests) {
        Fit::Named => true,
        // Made before anything was pushed.
        Fit::Unnamed => here.inputs == entry.inputs && here.build == entry.build,
        Fit::Other => false,
    };
    let lock = settings.lock.file.as_deref().filter(|path| path.exists());
    let lock = lock.and_then(|path| file::load(path).ok());
    let is_here = lock.is_some_and(|lock| lock.get(&entry.key()).is_some_and(is_its));
    entry.build.as_ref().is_some_and(LockedBuild::is_assembled) && !is_here
}

/// Puts it together once more; says what was taken as it is.
///
/// # Errors
/// An image or a lock that isn't what it says; a base or a package that nobody has; those of a build.
pub async fn rebuild(
    request: &BuildRequest,
    target: &Target,
    asked: &[String],
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<(Rebuilt, Vec<String>), VerifyError> {
    let entry = &target.entry;
    let unproved = |why: String| VerifyError::Unproved {
        image: Box::new(target.image.clone()),
        why,
    };
    let build = entry.build.as_ref().ok_or_else(|| VerifyError::NotPinned {
        key: entry.key(),
        image: Box::new(target.image.clone()),
    })?;
    let checked = claims::check_index(registry, &target.image).await?;
    checked.map_err(unproved)?;
    claims::check_pins(build).map_err(unproved)?;
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
    let base = claims::one_base(entry, &source.images).map_err(unproved)?;
    let folder = tempfile::tempdir().map_err(BuildError::WorkFolder)?;
    let settings = settings(request, target, folder.path(), &base)?;
    let plans = locked::from_entry(&settings, entry, reporter)?;
    let host = host::of_this_machine(settings.build.host_network_settings);
    let (mut assemblies, mut taken) = (Vec::<Assembly>::new(), Vec::new());
    for plan in &plans {
        let mut images = source.images.iter();
        let old = images.find(|old| old.platform == plan.platform);
        let old = old.ok_or_else(|| unproved(format!("it has nothing for {}", plan.platform)))?;
        let repack = plan.plan.repack;
        let repack = repack.ok_or_else(|| unproved("its bytes aren't mlbuild's".to_owned()))?;
        let mut assembly = assembly(old, repack, registry).await?;
        assembly.share_compiler(&assemblies);
        let looking = Looking {
            settings: &settings,
            registry,
            locked: plan,
            build,
            is_fixed: true,
        };
        looking.check(&assembly.facts).map_err(unproved)?;
        let code = tokio::task::block_in_place(|| code::again(old, &assembly, registry))?;
        assemblies.push(assembly);
        taken.push(Taken {
            code: code.map_err(unproved)?,
            place: old.reference.clone(),
            annotations: others(old),
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
    let is_asked = |old: &&OldImage| asked.is_empty() || asked.contains(&old.platform);
    let proved: Vec<&OldImage> = source.images.iter().filter(is_asked).collect();
    Ok((made, told(&proved, &base)))
}

/// Settings of a build of nothing: no project, no lock, and nothing that the lock beside the image names but what was
/// compared with the image itself.
fn settings(
    request: &BuildRequest,
    target: &Target,
    nothing: &std::path::Path,
    base: &str,
) -> Result<ImageSettings, VerifyError> {
    let (host, name) = (target.image.registry(), target.image.repository());
    Ok(settings::resolve(&BuildRequest {
        project: nothing.display().to_string(),
        base: Some(base.to_owned()),
        // Where its packages may lie: beside it, whatever name the lock has.
        tags: vec![format!("{host}/{name}")],
        platforms: target.manifests.keys().cloned().collect(),
        builder: request.builder.clone(),
        tls: request.tls.clone(),
        start_builder: request.start_builder,
        insecure_registries: request.insecure_registries.clone(),
        no_lock: true,
        ..BuildRequest::default()
    })?)
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
    let user = user_layer(old.account.as_ref(), &facts, repack.epoch).map_err(of_build)?;
    let copies = old.note.folders.iter().map(|folder| CopyStep {
        sources: Vec::new(),
        destination: folder.clone(),
    });
    Ok(Assembly {
        compiler: base.pack.image.config.digest().to_string(),
        recipe: Recipe {
            settings: old.note.settings.over(&base.pack.config),
            changes: Some(old.note.settings.clone()),
            workdir: String::new(),
            copies: copies.collect(),
            account: old.account.clone(),
        },
        user,
        repack,
        compression,
        facts,
        base,
    })
}

/// Annotations that say nothing of the base.
fn others(old: &OldImage) -> BTreeMap<String, String> {
    let all = old.annotations.clone().into_iter();
    let is_other = |name: &str| ![NOTE, BASE_NAME, BASE_DIGEST].contains(&name);
    all.filter(|(name, _)| is_other(name)).collect()
}

/// What wasn't made again.
fn told(images: &[&OldImage], base: &str) -> Vec<String> {
    let codes = images.iter().flat_map(|old| old.codes());
    let bytes: u64 = codes.map(|code| code.layer.blob.size()).sum();
    let folders: BTreeSet<&String> = images.iter().flat_map(|old| &old.note.folders).collect();
    let mut set: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (kind, names) in images.iter().flat_map(|old| old.note.settings.names()) {
        set.entry(kind).or_default().extend(names);
    }
    let set = set
        .iter()
        .map(|(kind, names)| format!("{kind} {}", words(names)));
    let set: Vec<String> = set.collect();
    let mut taken = vec![
        format!("the code ({bytes} bytes packed, in {})", words(folders)),
        format!("what is set over the base ({})", set.join(", ")),
        "which packages there are, by their hashes in the lock beside it".to_owned(),
        format!("which base it has ({base})"),
    ];
    let users = images.iter().filter_map(|old| old.account.as_ref());
    let users: BTreeSet<String> = users
        .map(|user| format!("{} {}:{}", user.name, user.uid, user.gid))
        .collect();
    if !users.is_empty() {
        taken.push(format!("who its user is ({})", words(&users)));
    }
    let names: BTreeSet<String> = images
        .iter()
        .flat_map(|old| others(old).into_keys())
        .collect();
    if !names.is_empty() {
        taken.push(format!("annotations ({})", words(&names)));
    }
    taken
}

/// Names of a stranger's, which may hold anything.
fn words<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names = names.into_iter();
    let names: Vec<String> = names.map(|name| name.escape_debug().to_string()).collect();
    names.join(" ")
}
