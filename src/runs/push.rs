//! Records go where the images of their runs are.

use std::path::Path;

use mlbuild_manifests::RunRecord;
use serde::Serialize;

use super::RunsError;
use super::attached;
use crate::records::{Git, Store};
use crate::registry::Registry;
use crate::reporter::Reporter;

/// Whose records are attached.
#[derive(Debug, Clone, Default)]
pub struct PushRequest {
    /// Ids of runs, or their beginnings.
    pub runs: Vec<String>,
    /// All runs whose image was pushed, too.
    pub all_published: bool,
}

/// A record that was attached.
#[derive(Debug, Clone, Serialize)]
pub struct PushedRun {
    /// Id of the run.
    pub run: String,
    /// The image that has its record.
    pub image: String,
}

/// Attaches records of runs, with their patches, to the images of those runs.
///
/// # Errors
/// Where a run isn't known, its image was never pushed, or the registry doesn't take its record.
pub async fn push(
    project: &Path,
    request: &PushRequest,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<Vec<PushedRun>, RunsError> {
    let store = Store::of(project);
    let mut records = Vec::new();
    for run in &request.runs {
        records.push(store.find(run)?);
    }
    if request.all_published {
        let listing = store.all()?;
        for error in &listing.unreadable {
            reporter.warning(error.to_string());
        }
        let published = listing.records.into_iter();
        records.extend(published.filter(|record| record.image.is_published()));
    }
    let mut pushed = Vec::new();
    for record in &records {
        let patch = record.load_patch(store.folder())?;
        let image = attached::push(registry, record, patch.as_deref()).await?;
        warn_of_unpushed_commit(project, record, reporter);
        pushed.push(PushedRun {
            run: record.id.to_string(),
            image: image.to_string(),
        });
    }
    Ok(pushed)
}

/// The record is of no use elsewhere without its commit.
fn warn_of_unpushed_commit(project: &Path, record: &RunRecord, reporter: &dyn Reporter) {
    let Some(commit) = record.git.as_ref().and_then(|git| git.commit.as_ref()) else {
        return;
    };
    let holding = Git::at(project).text(&["branch", "--remotes", "--contains", commit]);
    if holding.is_ok_and(|branches| branches.is_empty()) {
        reporter.warning(format!(
            "commit {commit} of run {} is on no branch of a remote: push it too (git push), or \
             the run can't be restored elsewhere",
            record.id
        ));
    }
}
