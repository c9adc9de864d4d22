//! Why a run's code can't be brought back.

use std::path::PathBuf;

use mlbuild_manifests::RunId;

use crate::records::git::GitError;

/// Most paths that are named where a tree isn't clean.
const MOST_NAMED: usize = 5;

/// Why a run's code can't be brought back.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// Git isn't there, or failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The run was started before the first commit.
    #[error("run {0} was started before its repository had a commit: there is none to check out")]
    NoCommit(RunId),
    /// The branch is there.
    #[error("the branch {0} is there already")]
    BranchExists(String),
    /// The tree holds changes.
    #[error("the working tree holds changes that would be in the way: {}", named(.0))]
    Dirty(Vec<String>),
    /// The worktree's folder is in use.
    #[error("{}: it is there, and not an empty folder", .0.display())]
    WorktreeTaken(PathBuf),
    /// This is a clone of something else.
    #[error(
        "commit {commit} isn't here, and the run's repository isn't one that this one knows: it \
         came from {recorded}, and this one {}", knows(.here)
    )]
    OtherRepository {
        /// The commit.
        commit: String,
        /// Where the run's repository came from.
        recorded: String,
        /// The remotes of this one.
        here: Vec<String>,
    },
    /// The commit can't be had.
    #[error("commit {commit} isn't here, and {why}")]
    NoSuchCommit {
        /// The commit.
        commit: String,
        /// What was tried.
        why: String,
    },
    /// The patch doesn't fit.
    #[error("the run's patch doesn't apply to commit {commit}: {said}")]
    PatchDoesNotApply {
        /// The commit.
        commit: String,
        /// What git said.
        said: String,
    },
}

fn named(paths: &[String]) -> String {
    let first = paths[..paths.len().min(MOST_NAMED)].join(", ");
    match paths.len().saturating_sub(MOST_NAMED) {
        0 => first,
        more => format!("{first}, and {more} more"),
    }
}

pub(super) fn knows(remotes: &[String]) -> String {
    if remotes.is_empty() {
        "has no remote".to_owned()
    } else {
        format!("has {}", remotes.join(", "))
    }
}
