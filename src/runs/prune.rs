//! Records of runs, removed with their patches.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use mlbuild_manifests::run_record::RunSummary;
use mlbuild_manifests::{RunId, RunRecord};

use super::{RunState, RunsError};
use crate::records::Store;
use crate::reporter::Reporter;

/// Which records are removed: those that all conditions hold for.
#[derive(Debug, Clone, Default)]
pub struct PruneRequest {
    /// Runs from before this time.
    pub older_than: Option<Timestamp>,
    /// Runs that got this far. Those that may still run are removed only where this says
    /// [`RunState::Started`].
    pub state: Option<RunState>,
    /// The newest of them, so many, are kept.
    pub keep: usize,
    /// Removes nothing.
    pub is_dry_run: bool,
}

/// Removes records; returns the ids of their runs, newest first. A record that can't be read is kept,
/// with a warning.
///
/// # Errors
/// Where the folder can't be read, or a file can't be removed.
pub fn prune(
    project: &Path,
    request: &PruneRequest,
    reporter: &dyn Reporter,
) -> Result<Vec<String>, RunsError> {
    let store = Store::of(project);
    let listing = store.summaries()?;
    for error in &listing.unreadable {
        reporter.warning(format!("kept: {error}"));
    }
    let mut records = listing.records;
    records.retain(|record| request.wants(record));
    records.sort_by(|a, b| b.when().cmp(&a.when()).then_with(|| b.id.cmp(&a.id)));
    let removed = records.split_off(request.keep.min(records.len()));
    for record in removed.iter().filter(|_| !request.is_dry_run) {
        remove(store.folder(), record)?;
    }
    Ok(removed.into_iter().map(|record| record.id).collect())
}

impl PruneRequest {
    fn wants(&self, run: &RunSummary) -> bool {
        let by_state = match self.state {
            Some(state) => state.is_of(run),
            None => !RunState::Started.is_of(run),
        };
        by_state && self.older_than.is_none_or(|time| run.when() < time)
    }
}

/// The record first: a patch that no record names does no harm, a record without its patch does.
fn remove(folder: &Path, run: &RunSummary) -> Result<(), RunsError> {
    let fail = |path: PathBuf| move |source: io::Error| RunsError::Remove { path, source };
    let id: RunId = run
        .id
        .parse()
        .map_err(|error: mlbuild_manifests::RunIdError| RunsError::Id(error.to_string()))?;
    let path = RunRecord::path(folder, &id);
    std::fs::remove_file(&path).map_err(fail(path))?;
    let patch = RunRecord::patch_path(folder, &id);
    match std::fs::remove_file(&patch) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fail(patch)(error)),
        _ => Ok(()),
    }
}
