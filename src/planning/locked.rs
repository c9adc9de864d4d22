//! A build from a lock's pins: does the lock fit the project, and what is then built from what.

use mlbuild_manifests::lock::{LockedBuild, LockedImage};
use mlbuild_templates::PackageRequest;
use oci_spec::image::Digest;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::PlanningError;
use super::bases::Bases;
use super::build_plan;
use super::compose::{self, Composed};
use crate::host;
use crate::package_store::{Store, View};
use crate::pin::ImageUse;
use crate::plan::{BuildPlan, Compression, Context, Repack};
use crate::reporter::Reporter;
use crate::settings::ImageSettings;

/// What is built from a lock entry's pins, for one platform.
pub struct LockedPlan {
    /// The platform, `linux/amd64`.
    pub platform: String,
    /// The Dockerfile in its locked form.
    pub composed: Composed,
    /// The images that it names.
    pub uses: Vec<ImageUse>,
    /// The build. Its inputs have to be provided before it runs.
    pub plan: BuildPlan,
    /// The packages that it mounts.
    pub view: View,
    /// The base that they are installed on, with its digest.
    pub base: Option<String>,
    /// The same as it is pinned, also where a copy stands in for it.
    pub pinned_base: Option<String>,
    /// True if no step may see anything of this machine: the build then gets an empty
    /// [`crate::host::HostSettings`]. False for a Dockerfile of the user's own.
    pub offline: bool,
}

/// The plans of a locked build, one for each platform: everything comes from the entry and the project's
/// settings, nothing from this machine. A Dockerfile of the user's own fetches itself what it installs: then
/// bases, times and modes alone are held. None for an entry without a build.
///
/// # Errors
/// Where the entry has no pins for a platform, its epoch lies in the future, or the settings
/// can't be composed.
pub fn from_entry(
    settings: &ImageSettings,
    entry: &LockedImage,
    reporter: &dyn Reporter,
) -> Result<Vec<LockedPlan>, PlanningError> {
    let Some(build) = &entry.build else {
        return Ok(Vec::new());
    };
    let pins = entry.bases.iter().map(|b| (b.reference.clone(), b.clone()));
    let bases = Bases {
        pins: pins.collect(),
        ..Bases::default()
    };
    plans(settings, build, &bases, reporter)
}

/// As [`from_entry`], for pins that may not be in a lock yet: a plan for each platform, at least one, in the
/// order of their names.
///
/// # Errors
/// As [`from_entry`].
pub fn plans(
    settings: &ImageSettings,
    build: &LockedBuild,
    bases: &Bases,
    reporter: &dyn Reporter,
) -> Result<Vec<LockedPlan>, PlanningError> {
    let all = platforms(settings, build)?;
    plans_for(settings, build, bases, &all, reporter)
}

/// As [`plans`], for these platforms, which there are pins for.
///
/// # Errors
/// As [`from_entry`].
pub fn plans_for(
    settings: &ImageSettings,
    build: &LockedBuild,
    bases: &Bases,
    platforms: &[&str],
    reporter: &dyn Reporter,
) -> Result<Vec<LockedPlan>, PlanningError> {
    check_epoch(build.epoch)?;
    let one = |platform: &&str| plan(settings, build, bases, (platform, platforms), reporter);
    platforms.iter().map(one).collect()
}

/// The plan for one of the platforms of an image.
fn plan(
    settings: &ImageSettings,
    build: &LockedBuild,
    bases: &Bases,
    (platform, all): (&str, &[&str]),
    reporter: &dyn Reporter,
) -> Result<LockedPlan, PlanningError> {
    let pins = &build.platforms[platform];
    let bases = &bases.of_platform(platform);
    let store = Store::open()?;
    let view = View::of(&store, pins);
    let (composed, offline) = match compose::locked(settings, &view.folder(), pins, reporter)? {
        Some(composed) => (composed, true),
        None => {
            let host = host::of_this_machine(settings.build.host_network_settings);
            (compose::dockerfile(settings, &host, reporter)?, false)
        }
    };
    let uses = build_plan::images(settings, &composed)?;
    let mut plan = build_plan::plan(settings, &composed, &uses, bases)?;
    plan.same_bits = true;
    plan.source_date_epoch = Some(build.epoch);
    let compression = Compression::of_lock(&build.compression, build.level);
    plan.repack = Some(Repack {
        epoch: build.epoch,
        compression: compression.map_err(|why| PlanningError::LockedCompression { why })?,
    });
    plan.platforms = all.iter().map(|&name| name.to_owned()).collect();
    if offline {
        // Its steps have none anyway; so the builder needs no entitlement for the host's.
        plan.run.network = None;
    }
    for (original, copy) in &bases.stand_ins {
        // Whoever asks for the base's own layers asks where they are.
        if plan.bases.remove(original).is_some() {
            plan.bases.insert(copy.clone(), None);
        }
    }
    let used = uses.iter().find(|used| used.is_base);
    let pinned = |used: &ImageUse| {
        let name = &used.reference;
        let with_digest = || Some(format!("{name}@{}", bases.pins.get(name)?.digest));
        match name.contains('@') {
            true => Some(name.clone()),
            false => with_digest(),
        }
    };
    let pinned_base = used.and_then(pinned);
    let base = used.and_then(|used| {
        if used.reference.contains('@') {
            Some(used.reference.clone())
        } else {
            bases.written(&used.reference)
        }
    });
    Ok(LockedPlan {
        platform: platform.to_owned(),
        composed,
        uses,
        plan,
        view,
        base,
        pinned_base,
        offline,
    })
}

/// The platforms that are built, in the order of their names: those that are asked for, else the one that
/// there are pins for, else this machine's.
///
/// # Errors
/// Where there are none for one of them.
pub fn platforms<'a>(
    settings: &'a ImageSettings,
    build: &'a LockedBuild,
) -> Result<Vec<&'a str>, PlanningError> {
    let has: Vec<&str> = build.platforms.keys().map(String::as_str).collect();
    let mut wanted = match (settings.build.platforms.as_slice(), has.as_slice()) {
        ([], [only]) => vec![*only],
        ([], _) => vec![build_plan::NATIVE],
        (asked, _) => asked.iter().map(String::as_str).collect(),
    };
    wanted.sort_unstable();
    match wanted.iter().find(|name| !has.contains(name)) {
        None => Ok(wanted),
        Some(missing) => Err(PlanningError::LockedPlatform {
            has: if has.is_empty() {
                "none".to_owned()
            } else {
                has.join(", ")
            },
            wanted: (*missing).to_owned(),
            all: has
                .iter()
                .chain(&wanted)
                .map(|&name| name.to_owned())
                .collect(),
        }),
    }
}

/// Times are only held down to the epoch: one to come would hold nothing.
fn check_epoch(epoch: i64) -> Result<(), PlanningError> {
    let now = jiff::Timestamp::now().as_second();
    if epoch > now {
        return Err(PlanningError::LockedEpoch { epoch, now });
    }
    Ok(())
}

/// Names what is asked for: base, packages, and contents of the files that say which. The same
/// for everybody who has the same project.
///
/// # Errors
/// Where such a file can't be read.
pub fn request_digest(
    settings: &ImageSettings,
    composed: &Composed,
    bases: &Bases,
) -> Result<Digest, PlanningError> {
    let mut hash = Sha256::new();
    let pins: Vec<_> = bases
        .pins
        .iter()
        .map(|(name, pin)| (name, pin.digest.to_string()))
        .collect();
    match &composed.request {
        Some(request) => {
            hash.update(json!({ "request": request, "bases": pins }).to_string());
            for (name, content) in files(settings, request)? {
                let content = hex::encode(Sha256::digest(content));
                hash.update(format!("\0{name}\0{content}\0"));
            }
        }
        None => {
            let text = hex::encode(Sha256::digest(&composed.text));
            hash.update(json!({ "dockerfile": text, "bases": pins }).to_string());
        }
    }
    let digest = format!("sha256:{}", hex::encode(hash.finalize()));
    Ok(digest.parse().expect("64 hex digits are a digest"))
}

/// The project's files that say which packages there are.
///
/// # Errors
/// Where one can't be read.
pub fn files(
    settings: &ImageSettings,
    request: &PackageRequest,
) -> Result<Vec<(String, Vec<u8>)>, PlanningError> {
    let Context::Folder { path } = &settings.context else {
        return if request.files.is_empty() {
            Ok(Vec::new())
        } else {
            Err(PlanningError::ProjectElsewhere)
        };
    };
    let read = |name: &String| {
        let file = path.join(name);
        let content = mlbuild_files::read(&file).map_err(|source| PlanningError::File {
            path: file.clone(),
            source,
        })?;
        Ok((name.clone(), content))
    };
    request.files.iter().map(read).collect()
}
