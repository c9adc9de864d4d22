//! Where a run's record is: in the project's folder, or attached to an image.

use std::path::Path;

use mlbuild_manifests::LockFile;
use mlbuild_manifests::lock::FILE_NAME;
use oci_spec::distribution::Reference;

use super::RestoreArgs;
use crate::cli::output;
use crate::cli::runs::attached::{self, Attached};
use crate::error::{CommandError, CommandResult};
use crate::records::{Store, StoreError};
use crate::registry::{Registry, RegistryError};

/// The word that stands for the images of `mlbuild.lock`.
const REGISTRY: &str = "registry";

/// Finds a run's record and its patch.
///
/// # Errors
/// Where it is nowhere, there are several, or it can't be used.
pub async fn find(
    args: &RestoreArgs,
    project: &Path,
    registry: &Registry,
) -> CommandResult<Attached> {
    let store = Store::of(project);
    let unknown = match args.from.as_deref() {
        Some(REGISTRY) => None,
        Some(image) => {
            let image = RegistryError::reference(image)?;
            let found = attached::find(registry, &image, &args.run).await?;
            return only(&args.run, found, &[image]);
        }
        None => match store.find(&args.run) {
            Ok(record) => {
                let patch = record
                    .load_patch(store.folder())
                    .map_err(CommandError::user)?;
                return Ok(Attached { record, patch });
            }
            Err(error @ StoreError::Unknown { .. }) => Some(error),
            Err(other) => return Err(other.into()),
        },
    };
    let images = locked_images(project)?;
    if images.is_empty() {
        return Err(match unknown {
            Some(unknown) => CommandError::from(unknown).hint("or name its image: --from IMAGE"),
            None => CommandError::user(format!(
                "--from {REGISTRY}: {FILE_NAME} names no image that was pushed"
            ))
            .hint("name one: --from IMAGE"),
        });
    }
    let mut found = Vec::new();
    for image in &images {
        match attached::find(registry, image, &args.run).await {
            Ok(more) => found.extend(more),
            Err(error) => output::warning(&format!("{image} wasn't asked: {}", error.message())),
        }
    }
    only(&args.run, found, &images)
}

/// The images that the project's lock says were pushed.
fn locked_images(project: &Path) -> CommandResult<Vec<Reference>> {
    let lock = LockFile::load(&project.join(FILE_NAME)).map_err(CommandError::user)?;
    let mut images = Vec::new();
    for published in lock.images().filter_map(|image| image.published.as_ref()) {
        let reference = RegistryError::reference(&published.reference)?;
        images.push(reference.clone_with_digest(published.digest.to_string()));
    }
    Ok(images)
}

fn only(typed: &str, mut found: Vec<Attached>, images: &[Reference]) -> CommandResult<Attached> {
    if let Some(at) = found.iter().position(|run| run.record.id.as_str() == typed) {
        return Ok(found.swap_remove(at));
    }
    found.dedup_by(|a, b| a.record.id == b.record.id);
    match found.len() {
        1 => Ok(found.swap_remove(0)),
        0 => {
            let images: Vec<String> = images.iter().map(ToString::to_string).collect();
            Err(CommandError::user(format!(
                "no run `{typed}` is recorded here or attached to {}",
                images.join(", ")
            ))
            .hint("name the image that it ran: --from IMAGE"))
        }
        _ => Err(StoreError::Ambiguous {
            typed: typed.to_owned(),
            candidates: found.iter().map(|run| run.record.id.to_string()).collect(),
        }
        .into()),
    }
}
