//! A run's code: looked at, then brought back.

use std::path::{Path, PathBuf};

use mlbuild_manifests::RunRecord;

use crate::error::{CommandError, CommandResult};
use crate::records::GitError;
use crate::records::checkout::{Checkout, CheckoutError, Wanted};
use crate::reporter::Reporter;

/// Code that can be brought back.
pub struct Code<'a> {
    checkout: Checkout<'a>,
    left_out: &'a [String],
}

/// The code as it is now.
pub struct Restored {
    /// The branch that was made.
    pub branch: Option<String>,
    /// The project's folder.
    pub project: PathBuf,
}

/// Sees whether a run's code can be had. `None`: the run was in no repository.
///
/// # Errors
/// Where it can't.
pub fn look<'a>(
    record: &'a RunRecord,
    patch: Option<&'a [u8]>,
    project: &'a Path,
    worktree: Option<&'a Path>,
    reporter: &dyn Reporter,
) -> CommandResult<Option<Code<'a>>> {
    let Some(state) = &record.git else {
        if worktree.is_some() {
            return Err(CommandError::user(format!(
                "--worktree: run {} recorded no code: it was in no git repository",
                record.id
            )));
        }
        if record.command.is_some() {
            reporter.note("the run was in no git repository: its code isn't recorded");
        }
        return Ok(None);
    };
    let wanted = Wanted {
        here: project,
        id: &record.id,
        state,
        patch,
        worktree,
    };
    let checkout = wanted.look().map_err(|error| sorted(error, &wanted))?;
    Ok(Some(Code {
        checkout,
        left_out: &state.left_out,
    }))
}

impl Code<'_> {
    /// Makes the branch and applies the patch.
    ///
    /// # Errors
    /// Where git fails; then everything is as it was.
    pub fn bring_back(self, reporter: &dyn Reporter) -> CommandResult<Restored> {
        for note in &self.checkout.notes {
            reporter.warning(note);
        }
        let made = self.checkout.carry_out().map_err(CommandError::work)?;
        reporter.note(format!(
            "on branch {} in {}",
            made.branch,
            made.top.display()
        ));
        if made.top.join(".gitmodules").exists() {
            reporter.note("it has submodules: git submodule update --init --recursive");
        }
        if !self.left_out.is_empty() {
            reporter.warning(format!(
                "the run had changes that weren't recorded: {}",
                self.left_out.join("; ")
            ));
        }
        Ok(Restored {
            branch: Some(made.branch),
            project: made.project,
        })
    }
}

/// The code as it is, with no branch made.
pub fn left_alone(project: &Path) -> Restored {
    Restored {
        branch: None,
        project: project.to_path_buf(),
    }
}

/// What kind of error it is, and what to type next.
fn sorted(error: CheckoutError, wanted: &Wanted<'_>) -> CommandError {
    let remote = wanted.state.remote.as_deref();
    let elsewhere = format!("mlbuild restore {} --worktree ../{0}", wanted.id);
    let made = match &error {
        CheckoutError::Git(GitError::NotInstalled | GitError::Io { .. }) => {
            return CommandError::environment(error)
                .hint("install git; or the image and the command only: --no-code");
        }
        _ => CommandError::user(&error),
    };
    match &error {
        CheckoutError::Git(GitError::NotARepository(_)) => made.hint(match remote {
            Some(remote) => format!("git clone {remote}, and restore in there"),
            None => "the image and the command only: --no-code".to_owned(),
        }),
        CheckoutError::BranchExists(branch) => made
            .hint(format!("git switch {branch}, if it is this run's"))
            .hint(format!(
                "to make it anew: git branch -m {branch} {branch}-old"
            )),
        CheckoutError::Dirty(_) => made
            .hint("put them away: git stash --include-untracked")
            .hint(format!("or leave them, and restore beside: {elsewhere}")),
        CheckoutError::WorktreeTaken(_) => made.hint("name another folder"),
        CheckoutError::OtherRepository { recorded, .. } => made
            .hint(format!("git clone {recorded}, and restore in there"))
            .hint(format!("or, if it moved: git remote add run {recorded}")),
        CheckoutError::NoSuchCommit { .. } => {
            made.hint("push it from the repository that the run was started in (git push)")
        }
        CheckoutError::NoCommit(id) => made
            .hint(format!(
                "all its files: mlbuild runs show {id} --patch | git apply"
            ))
            .hint("the image and the command only: --no-code"),
        CheckoutError::PatchDoesNotApply { .. } | CheckoutError::Git(_) => made,
    }
}
