//! Two runs of a project beside each other.

use std::path::Path;

use mlbuild_manifests::{LockedImage, RunId, RunRecord};
use serde::Serialize;

use super::RunsError;
use super::attached;
use crate::records::{self, Difference, Git, Side, Store, entry_of};
use crate::registry::Registry;
use crate::reporter::Reporter;
use crate::runtime::shell_line;

/// What changed from one run to another.
#[derive(Debug, Serialize)]
pub struct RunComparison {
    /// The first run.
    pub old: RunId,
    /// The second run.
    pub new: RunId,
    /// All that differs, those of one area together.
    pub differences: Vec<Difference>,
    /// What git says of their two commits, where both are here: `2 files changed, 3 insertions(+)`.
    pub between_commits: Option<String>,
}

/// Compares two runs, each named by its id or the beginning of it. The registry is asked for entries
/// of locks that this machine lacks.
///
/// # Errors
/// Where a run isn't known or its record can't be read.
pub async fn compare(
    project: &Path,
    old: &str,
    new: &str,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<RunComparison, RunsError> {
    let store = Store::of(project);
    let (old, new) = (store.find(old)?, store.find(new)?);
    let locks = (
        lock(&old, project, registry).await,
        lock(&new, project, registry).await,
    );
    let is_known = |record: &RunRecord, found: bool| found || record.lock.is_none();
    for (record, found) in [(&old, locks.0.is_some()), (&new, locks.1.is_some())] {
        if !is_known(record, found) && old.lock != new.lock {
            reporter.note(format!(
                "packages aren't compared: neither mlbuild.lock, nor its history, nor the registry has the entry of {}",
                record.id
            ));
        }
    }
    let differences = records::compare(
        Side {
            record: &old,
            lock: locks.0.as_ref(),
        },
        Side {
            record: &new,
            lock: locks.1.as_ref(),
        },
        shell_line,
    );
    Ok(RunComparison {
        between_commits: commits_between(project, &old, &new),
        old: old.id,
        new: new.id,
        differences,
    })
}

/// The lock's entry of a run: from this machine, else from the registry.
async fn lock(record: &RunRecord, project: &Path, registry: &Registry) -> Option<LockedImage> {
    match entry_of(record, project) {
        Some(entry) => Some(entry),
        None => attached::lock_entry(registry, record).await,
    }
}

fn commits_between(project: &Path, old: &RunRecord, new: &RunRecord) -> Option<String> {
    let commit = |record: &RunRecord| record.git.as_ref()?.commit.clone();
    let (old, new) = (commit(old)?, commit(new)?);
    if old == new {
        return None;
    }
    let summary = Git::at(project).text(&["diff", "--shortstat", &old, &new, "--"]);
    summary
        .ok()
        .map(|summary| summary.trim().to_owned())
        .filter(|summary| !summary.is_empty())
}
