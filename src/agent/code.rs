//! The code of a job, in a folder.

use std::fs;
use std::path::Path;

use mlbuild_manifests::atomic::workshop;

use super::error::JobError;
use super::state::Agent;
use crate::queue::{Source, archive};
use crate::records::{Git, GitError};

/// The code in a folder; whole or not at all.
pub(super) fn fetch(agent: &Agent, source: &Source, code: &Path) -> Result<(), JobError> {
    if code.exists() {
        return Ok(());
    }
    let parent = code.parent().unwrap_or(code);
    let temporary = tempfile::Builder::new()
        .prefix(".code-")
        .tempdir_in(workshop(parent))
        .map_err(unwritable(parent))?;
    match source {
        Source::Folder { digest, .. } => {
            let bytes = agent.store.archive(digest)?;
            archive::unpack(digest, &bytes, temporary.path())?;
        }
        Source::Git { url, commit, .. } => check_out(url, commit, temporary.path())?,
        Source::Image { .. } => {}
    }
    fs::rename(temporary.keep(), code).map_err(unwritable(code))
}

/// That a file or folder can't be written.
pub(super) fn unwritable(path: &Path) -> impl Fn(std::io::Error) -> JobError + '_ {
    |source| JobError::Unwritable {
        path: path.to_owned(),
        source,
    }
}

fn check_out(url: &str, commit: &str, folder: &Path) -> Result<(), JobError> {
    let git = Git::at(folder).never_prompting();
    let failed = |source: GitError| JobError::CheckOut {
        url: url.to_owned(),
        source,
    };
    git.text(&["init", "--quiet"]).map_err(failed)?;
    git.text(&["remote", "add", "--", "origin", url])
        .map_err(failed)?;
    // Not every server hands out a single commit.
    if git
        .text(&["fetch", "--quiet", "--depth=1", "origin", commit])
        .is_err()
    {
        git.text(&["fetch", "--quiet", "--tags", "origin"])
            .map_err(failed)?;
    }
    git.text(&["checkout", "--quiet", "--detach", commit])
        .map_err(failed)?;
    Ok(())
}
