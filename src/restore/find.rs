//! Where a run's record is: in the project's folder, or attached to an image.

use std::path::Path;

use mlbuild_manifests::LockFile;
use mlbuild_manifests::lock::FILE_NAME;
use oci_spec::distribution::Reference;

use super::error::RestoreError;
use super::{RecordSource, mlflow, wandb};
use crate::pull::origin::SifOrigin;
use crate::records::{Store, StoreError, exact_image};
use crate::registry::{Registry, RegistryError};
use crate::reporter::Reporter;
use crate::runs::attached::{self, Attached};

/// Finds a run's record and its patch.
///
/// # Errors
/// Where it is nowhere, there are several, or it can't be used.
pub async fn find(
    run: &str,
    source: &RecordSource,
    project: &Path,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<Attached, RestoreError> {
    let store = Store::of(project);
    let unknown = match source {
        RecordSource::LockedImages => None,
        RecordSource::Image(image) => {
            let image = RegistryError::reference(image)?;
            let found = attached::find(registry, &image, run, reporter).await?;
            return only(run, found, &[image]);
        }
        RecordSource::Sif(file) => return of_sif(file, run, &store, registry, reporter).await,
        RecordSource::WandbFile(file) => return wandb::read(file, run),
        RecordSource::Mlflow(name) => return mlflow::ask(name, project, registry, reporter).await,
        RecordSource::Wandb(name) => {
            let found = wandb::ask(name, project, reporter).await?;
            if store.load(found.record.id.as_str()).is_ok() {
                reporter.note(format!(
                    "mlbuild.runs has a record of {0}, too, which says more: restore `{0}` for that",
                    found.record.id
                ));
            }
            return Ok(found);
        }
        RecordSource::Anywhere => match store.find(run) {
            Ok(record) => {
                let patch = record
                    .load_patch(store.folder())
                    .map_err(RestoreError::Record)?;
                return Ok(Attached { record, patch });
            }
            Err(error @ StoreError::Unknown { .. }) => Some(error),
            Err(other) => return Err(other.into()),
        },
    };
    let images = locked_images(project)?;
    if images.is_empty() {
        return Err(match unknown {
            Some(unknown) => RestoreError::NotRecorded(unknown),
            None => RestoreError::NoPushedImage,
        });
    }
    let mut found = Vec::new();
    for image in &images {
        match attached::find(registry, image, run, reporter).await {
            Ok(more) => found.extend(more),
            Err(error) => reporter.warning(format!("{image} wasn't asked: {error}")),
        }
    }
    only(run, found, &images)
}

/// A run of the image that a file for Apptainer says it is of: the only one, where no id is named.
async fn of_sif(
    file: &Path,
    run: &str,
    store: &Store,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<Attached, RestoreError> {
    let origin = SifOrigin::read(file)?;
    reporter.note(format!(
        "{} says that it is {}",
        file.display(),
        origin.pinned()
    ));
    let mut found = Vec::new();
    for record in store.all()?.records {
        let named =
            exact_image(&record).and_then(|image| image.split_once('@').map(|(_, d)| d.to_owned()));
        let is_of = |digest: &str| {
            origin.image.digest() == Some(digest)
                || origin
                    .manifest
                    .as_ref()
                    .is_some_and(|manifest| manifest.as_ref() == digest)
        };
        if record.id.as_str().starts_with(run) && named.as_deref().is_some_and(is_of) {
            let patch = record
                .load_patch(store.folder())
                .map_err(RestoreError::Record)?;
            found.push(Attached { record, patch });
        }
    }
    match attached::find(registry, &origin.image, run, reporter).await {
        Ok(more) => found.extend(more),
        Err(error) if found.is_empty() => return Err(error.into()),
        Err(error) => reporter.warning(format!("{} wasn't asked: {error}", origin.pinned())),
    }
    found.sort_by(|a, b| a.record.id.as_str().cmp(b.record.id.as_str()));
    only(run, found, &[origin.image])
}

/// The images that the project's lock says were pushed.
fn locked_images(project: &Path) -> Result<Vec<Reference>, RestoreError> {
    let lock = LockFile::load(&project.join(FILE_NAME))?;
    let mut images = Vec::new();
    for published in lock.images().filter_map(|image| image.published.as_ref()) {
        let reference = RegistryError::reference(&published.reference)?;
        images.push(reference.clone_with_digest(published.digest.to_string()));
    }
    Ok(images)
}

fn only(
    typed: &str,
    mut found: Vec<Attached>,
    images: &[Reference],
) -> Result<Attached, RestoreError> {
    if let Some(at) = found.iter().position(|run| run.record.id.as_str() == typed) {
        return Ok(found.swap_remove(at));
    }
    found.dedup_by(|a, b| a.record.id == b.record.id);
    match found.len() {
        1 => Ok(found.swap_remove(0)),
        0 => {
            let images: Vec<String> = images.iter().map(ToString::to_string).collect();
            Err(RestoreError::NotAttached {
                run: typed.to_owned(),
                images,
            })
        }
        _ => Err(StoreError::Ambiguous {
            typed: typed.to_owned(),
            candidates: found.iter().map(|run| run.record.id.to_string()).collect(),
        }
        .into()),
    }
}
