//! A run's code: looked at, then brought back.

use std::path::{Path, PathBuf};

use mlbuild_manifests::RunRecord;

use super::error::RestoreError;
use crate::records::checkout::{Checkout, Wanted};
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
) -> Result<Option<Code<'a>>, RestoreError> {
    let Some(state) = &record.git else {
        if worktree.is_some() {
            return Err(RestoreError::NoCode {
                run: record.id.to_string(),
            });
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
    let checkout = wanted.look().map_err(|source| RestoreError::Code {
        run: record.id.to_string(),
        remote: state.remote.clone(),
        source,
    })?;
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
    pub fn bring_back(self, reporter: &dyn Reporter) -> Result<Restored, RestoreError> {
        for note in &self.checkout.notes {
            reporter.warning(note);
        }
        let made = self.checkout.carry_out().map_err(RestoreError::CheckOut)?;
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
