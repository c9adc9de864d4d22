//! Records that are attached to an image, taken over into the project's folder.

use std::path::Path;

use mlbuild_manifests::RunRecord;
use mlbuild_manifests::held::HeldFolder;
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
/// `prefix`. `may_lead_out`: whether the folder of records may be a link out of the project, which somebody
/// agreed to.
///
/// # Errors
/// Where the image isn't there, no such run is attached to it, or a record can't be written.
pub async fn pull(
    project: &Path,
    image: &Reference,
    prefix: Option<&str>,
    may_lead_out: bool,
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
    // Held: what was asked for may have taken a while.
    let folder = (!found.is_empty()).then(|| hold(project, store.folder(), may_lead_out));
    let Some(folder) = folder.transpose()? else {
        return Ok(Pulled {
            written,
            attached: 0,
        });
    };
    for run in &found {
        if write(&folder, run)? {
            written.push(run.record.id.to_string());
        }
    }
    Ok(Pulled {
        written,
        attached: found.len(),
    })
}

fn hold(project: &Path, folder: &Path, may_lead_out: bool) -> Result<HeldFolder, RunRecordError> {
    let held = if may_lead_out {
        std::fs::create_dir_all(folder).and_then(|()| HeldFolder::open(folder))
    } else {
        HeldFolder::inside(project, folder)
    };
    held.map_err(|source| RunRecordError::Write {
        path: folder.to_owned(),
        source,
    })
}

/// Writes a record unless the one here says as much; true if it was written.
fn write(folder: &HeldFolder, run: &Attached) -> Result<bool, RunRecordError> {
    let Attached { record, patch } = run;
    // Format 1 holds it in the record.
    let has_file = record.git.as_ref().is_some_and(|git| git.changes.is_some());
    let patch = patch.as_deref().filter(|_| has_file);
    match RunRecord::find(&folder.at(), &record.id)? {
        Some(old) if old == *record || old.status() >= record.status() => Ok(false),
        Some(old) if old.command.is_some() => {
            record.check(&folder.at())?;
            record.replace_in(folder).map(|()| true)
        }
        _ => record.clone().start_in(folder, patch).map(|_| true),
    }
}
