//! Records that are attached to an image, taken over into the project's folder.

use std::path::Path;

use mlbuild_manifests::RunRecord;
use mlbuild_manifests::run_record::RunRecordError;
use oci_spec::distribution::Reference;

use super::RunsError;
use super::attached::{self, Attached};
use crate::records::Store;
use crate::registry::Registry;
use crate::reporter::Reporter;

/// What was taken over.
#[derive(Debug)]
pub struct Pulled {
    /// Ids of the runs whose records are new, or say more than before.
    pub written: Vec<String>,
    /// How many runs that were asked for are attached to the image.
    pub attached: usize,
}

/// Takes over the records that are attached to an image: those of runs whose ids begin with
/// `prefix`.
///
/// # Errors
/// Where the image isn't there, no such run is attached to it, or a record can't be written.
pub async fn pull(
    project: &Path,
    image: &Reference,
    prefix: Option<&str>,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<Pulled, RunsError> {
    let store = Store::of(project);
    let found = attached::find(registry, image, prefix.unwrap_or_default(), reporter).await?;
    if let Some(run) = prefix.filter(|_| found.is_empty()) {
        return Err(RunsError::NotAttached {
            run: run.to_owned(),
            image: image.to_string(),
        });
    }
    let mut written = Vec::new();
    for run in &found {
        if write(store.folder(), run)? {
            written.push(run.record.id.to_string());
        }
    }
    Ok(Pulled {
        written,
        attached: found.len(),
    })
}

/// Writes a record unless the one here says as much; true if it was written.
fn write(folder: &Path, run: &Attached) -> Result<bool, RunRecordError> {
    let Attached { record, patch } = run;
    // Format 1 holds it in the record.
    let has_file = record.git.as_ref().is_some_and(|git| git.changes.is_some());
    let patch = patch.as_deref().filter(|_| has_file);
    match RunRecord::find(folder, &record.id)? {
        Some(old) if old == *record || old.status() >= record.status() => Ok(false),
        Some(old) if old.command.is_some() => {
            record.check(folder)?;
            record.replace(folder).map(|()| true)
        }
        _ => record.clone().start(folder, patch).map(|_| true),
    }
}
