//! A build from a lock's pins: does the lock fit the project, and what is then built from what.

use mlbuild_manifests::lock::{LockedBuild, LockedImage, Pins};
use mlbuild_templates::PackageRequest;
use oci_spec::image::Digest;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::bases::Bases;
use super::compose::{self, Composed};
use super::planning;
use crate::error::{CommandError, CommandResult};
use crate::inputs::{Store, StoreError, View};
use crate::pin::ImageUse;
use crate::plan::{BuildPlan, Compression, Context, Repack};
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
}

/// The plan of a locked build: everything comes from the entry and the project's settings, nothing
/// from this machine. `None` for a Dockerfile of the user's own, whose packages can't be pinned.
///
/// # Errors
/// Where the entry has no pins for the platform, its epoch lies in the future, or the settings
/// can't be composed.
pub fn from_entry(
    settings: &ImageSettings,
    entry: &LockedImage,
) -> CommandResult<Option<LockedPlan>> {
    let Some(build) = &entry.build else {
        return Ok(None);
    };
    let pins = entry.bases.iter().map(|b| (b.reference.clone(), b.clone()));
    let bases = Bases {
        pins: pins.collect(),
        ..Bases::default()
    };
    plan(settings, build, &bases)
}

/// As [`from_entry`], for pins that may not be in a lock yet.
///
/// # Errors
/// As [`from_entry`].
pub fn plan(
    settings: &ImageSettings,
    build: &LockedBuild,
    bases: &Bases,
) -> CommandResult<Option<LockedPlan>> {
    check_epoch(build.epoch)?;
    let (platform, pins) = pins(settings, build)?;
    let store = Store::open().map_err(store_error)?;
    let view = View::of(&store, pins);
    let Some(composed) = compose::locked(settings, &view.folder())? else {
        return Ok(None);
    };
    let uses = planning::images(settings, &composed).map_err(CommandError::user)?;
    let mut plan = planning::plan(settings, &composed, &uses, bases)?;
    plan.same_bits = true;
    plan.source_date_epoch = Some(build.epoch);
    let compression = Compression::new(&build.compression, Some(build.level));
    plan.repack = Some(Repack {
        epoch: build.epoch,
        compression: compression.map_err(|why| CommandError::user(format!("the lock: {why}")))?,
    });
    plan.platforms = vec![platform.to_owned()];
    // A proxy or a log-in can't reach a step without a network, and must not shape it.
    plan.run.network = None;
    Ok(Some(LockedPlan {
        platform: platform.to_owned(),
        composed,
        uses,
        plan,
        view,
    }))
}

/// The pins of the platform that is built.
fn pins<'a>(
    settings: &ImageSettings,
    build: &'a LockedBuild,
) -> CommandResult<(&'a str, &'a Pins)> {
    let has: Vec<&str> = build.platforms.keys().map(String::as_str).collect();
    let wanted = match (settings.build.platforms.as_slice(), has.as_slice()) {
        ([one], _) => one.as_str(),
        ([], [only]) => only,
        ([], _) => planning::NATIVE,
        (several, _) => {
            return Err(CommandError::user(format!(
                "a locked image is built for one platform at a time, not for {}",
                several.join(" and ")
            ))
            .hint("give one --platform"));
        }
    };
    let found = build.platforms.get_key_value(wanted);
    found
        .map(|(name, pins)| (name.as_str(), pins))
        .ok_or_else(|| {
            let has = if has.is_empty() {
                "none".to_owned()
            } else {
                has.join(", ")
            };
            CommandError::difference(format!(
                "the lock has packages for {has}, and this build is for {wanted}"
            ))
            .hint(format!(
                "pin those too: mlbuild lock --platform {wanted}, with the image's other flags"
            ))
        })
}

/// Times are only held down to the epoch: one to come would hold nothing.
fn check_epoch(epoch: i64) -> CommandResult {
    let now = jiff::Timestamp::now().as_second();
    match epoch > now {
        true => Err(CommandError::user(format!(
            "the lock's epoch {epoch} lies in the future: this machine's clock says {now}"
        ))
        .hint("set the clock, or pin anew: mlbuild lock --upgrade")),
        false => Ok(()),
    }
}

/// Names what is asked for: base, packages, and contents of the files that say which. The same
/// for everybody who has the same project.
///
/// # Errors
/// Where such a file can't be read.
pub fn request_digest(
    settings: &ImageSettings,
    request: &PackageRequest,
    bases: &Bases,
) -> CommandResult<Digest> {
    let mut hash = Sha256::new();
    let pins: Vec<_> = bases
        .pins
        .iter()
        .map(|(name, pin)| (name, pin.digest.to_string()))
        .collect();
    hash.update(json!({ "request": request, "bases": pins }).to_string());
    for (name, content) in files(settings, request)? {
        hash.update(format!(
            "\0{name}\0{}\0",
            hex::encode(Sha256::digest(content))
        ));
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
) -> CommandResult<Vec<(String, Vec<u8>)>> {
    let Context::Folder { path } = &settings.context else {
        return match request.files.is_empty() {
            true => Ok(Vec::new()),
            false => Err(CommandError::user(
                "packages can be pinned only for a project that is a folder of this machine",
            )
            .hint("check the project out, and name its folder")),
        };
    };
    let read = |name: &String| {
        let file = path.join(name);
        let content = std::fs::read(&file)
            .map_err(|error| CommandError::user(format!("{}: {error}", file.display())))?;
        Ok((name.clone(), content))
    };
    request.files.iter().map(read).collect()
}

/// What is wrong with the store, for people.
pub fn store_error(error: StoreError) -> CommandError {
    match &error {
        StoreError::Refused(_) => CommandError::difference(&error)
            .hint("nothing was built; if the lock is right, whoever served that file is wrong"),
        _ => CommandError::environment(&error),
    }
}
