//! Pinned packages that this machine doesn't have yet: from whoever has them, checked by hash.

use mlbuild_manifests::lock::{LockedBuild, Pins};

use super::ask::Question;
use crate::cli::image::locked::{LockedPlan, store_error};
use crate::cli::output;
use crate::engine::Builder;
use crate::error::{CommandError, CommandResult};
use crate::host::HostSettings;
use crate::inputs::{Store, read_fetched};
use crate::pin::ImageUse;
use crate::settings::ImageSettings;

/// Makes the folder that a locked build mounts. What is missing is fetched by hash.
///
/// # Errors
/// [`crate::error::Turn::Difference`] for a file that isn't the pinned one, both hashes shown;
/// where nobody has a file any more, its name.
pub async fn provide(
    settings: &ImageSettings,
    host: &HostSettings,
    builder: &Builder,
    locked: &LockedPlan,
    build: &LockedBuild,
) -> CommandResult {
    let pins = &build.platforms[&locked.platform];
    let missing = locked.view.missing().len();
    if missing > 0 {
        output::note(&format!("fetching {missing} pinned packages"));
        let request = locked.composed.request.as_ref();
        let question = Question {
            settings,
            host,
            request: request.expect("a composed image has one"),
            base: &base(&locked.uses, &locked.plan)?,
            platform: &locked.platform,
        };
        fetch(&question, builder, pins).await?;
    }
    locked.view.make().map(drop).map_err(store_error)
}

/// The base that packages are installed on, with its digest.
///
/// # Errors
/// Where it isn't pinned.
pub fn base(uses: &[ImageUse], plan: &crate::plan::BuildPlan) -> CommandResult<String> {
    let reference = uses
        .iter()
        .find(|used| used.is_base)
        .map(|used| &used.reference);
    let reference = reference.ok_or_else(|| CommandError::user("the image has no base"))?;
    match plan.bases.get(reference).and_then(Option::as_ref) {
        Some(digest) => Ok(format!("{reference}@{digest}")),
        None if reference.contains('@') => Ok(reference.clone()),
        None => Err(CommandError::difference(format!(
            "the lock has no pin for the base {reference}"
        ))
        .hint("pin it: mlbuild lock, with the image's flags")),
    }
}

/// Asks the sources of the base image, with this machine's settings.
async fn fetch(question: &Question<'_>, builder: &Builder, pins: &Pins) -> CommandResult {
    let store = Store::open().map_err(store_error)?;
    let lacks = |sha256: &str, size| !store.has(sha256, size);
    let mut apt = String::new();
    // Python's packages are looked for where the distribution's are installed.
    let python_lacks = pins.python_files().any(|f| lacks(&f.sha256, f.size));
    for deb in &pins.apt {
        if python_lacks || lacks(&deb.sha256, deb.size) {
            apt.push_str(&format!("{} {}\n", deb.file(), deb.path));
        }
    }
    let mut python = String::new();
    for file in pins.python_files().filter(|f| lacks(&f.sha256, f.size)) {
        let is_uv = pins.uv.as_ref() == Some(file);
        let (folder, kind) = (
            if is_uv { "uv" } else { "wheels" },
            if file.source { "source" } else { "wheel" },
        );
        python.push_str(&format!(
            "{folder}\t{}\t{}\t{}\t{kind}\n",
            file.name, file.version, file.sha256
        ));
    }
    let answer = question
        .ask(builder, &[("apt.pins", apt), ("python.pins", python)])
        .await?;
    let gone = read_fetched(answer.path(), pins, &store).map_err(store_error)?;
    if gone.is_empty() {
        return Ok(());
    }
    Err(CommandError::work(format!(
        "no source of this machine has these pinned packages any more:\n  {}",
        gone.join("\n  ")
    ))
    .hint("a lock made with --vendor keeps its packages beside the image; or take newer ones: mlbuild lock --upgrade"))
}
