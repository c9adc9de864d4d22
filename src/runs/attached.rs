//! Records in registries: documents that are attached to the images of their runs.

use std::collections::BTreeMap;

use mlbuild_manifests::digest::sha256;
use mlbuild_manifests::document::{
    Document, PATCH_MEDIA_TYPE, RUN_ARTIFACT_TYPE, RUN_ID_ANNOTATION,
};
use mlbuild_manifests::{LockedImage, RunRecord};
use mlbuild_templates::reference;
use oci_spec::distribution::Reference;
use oci_spec::image::Digest;

use super::{RunsError, needed};
use crate::lock::entries_beside;
use crate::records::{exact_image, has_checksum};
use crate::registry::{Registry, RegistryError};
use crate::reporter::Reporter;

/// A record that was attached to an image, with its patch.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The record.
    pub record: RunRecord,
    /// Its patch, as the record says it is.
    pub patch: Option<Vec<u8>>,
}

/// Attaches a run's record and patch to its image.
///
/// # Errors
/// Where the image was never pushed or is gone, or the registry doesn't take the record.
pub async fn push(
    registry: &Registry,
    record: &RunRecord,
    patch: Option<&[u8]>,
) -> Result<Reference, RunsError> {
    let reference = needed::published(record)?.ok_or_else(|| RunsError::NeverPushed {
        run: record.id.to_string(),
        image: record.image.reference.clone(),
    })?;
    let subject = registry.head(&reference).await?;
    let subject = subject.ok_or_else(|| RegistryError::NotFound {
        reference: reference.to_string(),
    })?;
    let document = record.to_json();
    let mut blobs = vec![(RUN_ARTIFACT_TYPE, document.as_slice())];
    blobs.extend(patch.map(|patch| (PATCH_MEDIA_TYPE, patch)));
    let named = BTreeMap::from([(RUN_ID_ANNOTATION.to_owned(), record.id.to_string())]);
    registry
        .attach_blobs(&reference, &subject, RUN_ARTIFACT_TYPE, &blobs, &named)
        .await?;
    Ok(reference)
}

/// The records that are attached to an image, one for each run, by id: those whose id
/// begins with `prefix`. A record that can't be read is named in a warning.
///
/// # Errors
/// Where the registry can't be asked, or doesn't have the image.
pub async fn find(
    registry: &Registry,
    image: &Reference,
    prefix: &str,
    reporter: &dyn Reporter,
) -> Result<Vec<Attached>, RunsError> {
    let resolved = registry.resolve(image, None).await?;
    let mut subjects: Vec<Digest> = vec![resolved.descriptor.digest().clone()];
    subjects.extend(resolved.manifests.iter().map(|(_, m)| m.digest().clone()));
    subjects.dedup();
    let mut found: BTreeMap<String, Attached> = BTreeMap::new();
    for subject in &subjects {
        let referrers = registry
            .referrers(image, subject, Some(RUN_ARTIFACT_TYPE))
            .await?;
        let may_be = |id: Option<&String>| id.is_none_or(|id| id.starts_with(prefix));
        for referrer in referrers
            .iter()
            .filter(|r| may_be(r.annotations.get(RUN_ID_ANNOTATION)))
        {
            let blobs = registry
                .pull_attached_blobs(image, &referrer.descriptor)
                .await?;
            match read(&blobs) {
                Ok(new) if new.record.id.as_str().starts_with(prefix) => {
                    let id = new.record.id.to_string();
                    let old = found.remove(&id);
                    found.insert(id, fuller(old, new));
                }
                Ok(_) => {}
                Err(why) => reporter.warning(format!("{}: {why}", referrer.descriptor.digest())),
            }
        }
    }
    Ok(found.into_values().collect())
}

/// The lock's entry that a run was started with, as it was attached to its image. `None`:
/// it isn't, or the registry can't be asked.
pub async fn lock_entry(registry: &Registry, record: &RunRecord) -> Option<LockedImage> {
    let checksum = record.lock.as_ref()?;
    let image = reference::parse(&exact_image(record)?).ok()?;
    let digest = record.image.pinned()?;
    let entries = entries_beside(registry, &image, digest).await.ok()?;
    let mut entries = entries.into_iter();
    entries.find(|entry| has_checksum(entry, checksum))
}

fn read(blobs: &[(String, Vec<u8>)]) -> Result<Attached, String> {
    let (_, document) = blobs.first().ok_or("it has no content")?;
    let record = RunRecord::from_json(document).map_err(|error| error.to_string())?;
    let git = record.git.clone().unwrap_or_default();
    let patch = match &git.changes {
        None => git.patch.map(String::into_bytes),
        Some(digest) => {
            let mut patches = blobs.iter().filter(|(kind, _)| kind == PATCH_MEDIA_TYPE);
            let patch = patches.next().map(|(_, bytes)| bytes.clone());
            let patch =
                patch.ok_or_else(|| format!("the patch of run {} is missing", record.id))?;
            if sha256(&patch) != *digest {
                return Err(format!(
                    "the patch of run {} isn't the recorded one",
                    record.id
                ));
            }
            Some(patch)
        }
    };
    Ok(Attached { record, patch })
}

/// The record that says more: a run is attached when it is bound, and again when it has ended.
fn fuller(old: Option<Attached>, new: Attached) -> Attached {
    let rank = |attached: &Attached| {
        let outcome = attached.record.outcome.as_ref();
        (attached.record.status(), outcome.and_then(|o| o.ended))
    };
    match old {
        Some(old) if rank(&old) >= rank(&new) => old,
        _ => new,
    }
}
