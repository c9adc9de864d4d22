//! A run's code, brought back: a branch `mlbuild/RUN` at its commit, with its patch applied.
//!
//! First everything is looked at and nothing changed; what fails after that is undone. A
//! working tree with changes of its own is left alone.

mod error;

use std::path::{Path, PathBuf};

use mlbuild_manifests::RunId;
use mlbuild_manifests::run_record::GitState;

use super::git::{Git, GitError};
use super::remotes::{Remotes, without_log_in};
use super::status::Status;
use error::knows;

pub use error::CheckoutError;

/// What to bring back, and where.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// A folder in a clone of the repository.
    pub here: &'a Path,
    /// The run.
    pub id: &'a RunId,
    /// Its code's state.
    pub state: &'a GitState,
    /// Its patch.
    pub patch: Option<&'a [u8]>,
    /// A folder for a worktree of its own; `None`: the tree that is here.
    pub worktree: Option<&'a Path>,
}

/// A checkout that was looked at and can be carried out.
#[derive(Debug)]
pub struct Checkout<'a> {
    wanted: Wanted<'a>,
    git: Git,
    commit: String,
    branch: String,
    /// What a person should know of it.
    pub notes: Vec<String>,
}

/// The code as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedOut {
    /// The branch.
    pub branch: String,
    /// Top of the tree.
    pub top: PathBuf,
    /// The project in it.
    pub project: PathBuf,
}

impl<'a> Wanted<'a> {
    /// Sees whether it can be done. Fetches the commit where it isn't here; changes nothing else.
    ///
    /// # Errors
    /// Where it can't.
    pub fn look(self) -> Result<Checkout<'a>, CheckoutError> {
        let top = Git::at(self.here).text(&["rev-parse", "--show-toplevel"])?;
        let git = Git::at(Path::new(&top));
        let commit = self.state.commit.clone();
        let commit = commit.ok_or_else(|| CheckoutError::NoCommit(self.id.clone()))?;
        let branch = format!("mlbuild/{}", self.id);
        let reference = format!("refs/heads/{branch}");
        if git.is_ok(&["show-ref", "--verify", "--quiet", &reference])? {
            return Err(CheckoutError::BranchExists(branch));
        }
        match self.worktree {
            Some(folder) => {
                let is_free = match folder.read_dir() {
                    Ok(mut entries) => entries.next().is_none(),
                    Err(_) => folder.symlink_metadata().is_err(),
                };
                if !is_free {
                    return Err(CheckoutError::WorktreeTaken(folder.to_path_buf()));
                }
            }
            None => {
                let status = Status::read(&git)?;
                if status.is_dirty() {
                    let changed = status.tracked.into_iter().chain(status.untracked);
                    return Err(CheckoutError::Dirty(changed.collect()));
                }
            }
        }
        let notes = have_commit(&git, &commit, self.state)?;
        if let Some(patch) = self.patch {
            check_patch(&git, &commit, patch)?;
        }
        Ok(Checkout {
            wanted: self,
            git,
            commit,
            branch,
            notes,
        })
    }
}

impl Checkout<'_> {
    /// Makes the branch, checks it out and applies the patch; undoes all of it where a step fails.
    ///
    /// # Errors
    /// Where git fails.
    pub fn carry_out(self) -> Result<CheckedOut, CheckoutError> {
        let top = match self.wanted.worktree {
            Some(folder) => self.in_worktree(folder)?,
            None => self.in_place()?,
        };
        let project = match &self.wanted.state.folder {
            Some(folder) => top.join(folder),
            None => top.clone(),
        };
        Ok(CheckedOut {
            branch: self.branch,
            top,
            project,
        })
    }

    fn in_worktree(&self, folder: &Path) -> Result<PathBuf, CheckoutError> {
        // Git would take a relative path from the repository's top.
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
        let path = folder.to_string_lossy();
        let add = [
            "worktree",
            "add",
            "-q",
            "-b",
            &self.branch,
            &path,
            &self.commit,
        ];
        let was_there = folder.exists();
        let undo = || {
            // Twice: what git was making when it was ended is locked, and may not be whole.
            let force = ["worktree", "remove", "--force", "--force", &path];
            if self.git.text(&force).is_err() && !was_there {
                let _ = std::fs::remove_dir_all(&folder);
                let _ = self.git.text(&force);
            }
            let _ = self.git.text(&["branch", "-q", "-D", &self.branch]);
        };
        if let Err(error) = self.git.text(&add) {
            undo();
            return Err(error.into());
        }
        self.apply(&Git::at(&folder)).inspect_err(|_| undo())?;
        Ok(folder.canonicalize().unwrap_or(folder))
    }

    fn in_place(&self) -> Result<PathBuf, CheckoutError> {
        let before = match self.git.text(&["symbolic-ref", "-q", "--short", "HEAD"]) {
            // A HEAD that somebody wrote may name a branch that `git switch` takes for a flag.
            Ok(branch) if !branch.starts_with('-') => {
                vec!["switch".to_owned(), "-q".to_owned(), branch]
            }
            _ => {
                let commit = self.git.text(&["rev-parse", "HEAD"])?;
                vec!["switch".into(), "-q".into(), "--detach".into(), commit]
            }
        };
        // A hook may fail when all is done: undo what was done, whatever it was.
        let undo = || {
            let _ = self.git.text(&before);
            let _ = self.git.text(&["branch", "-q", "-D", &self.branch]);
        };
        let switch = [
            "switch",
            "-q",
            "--no-track",
            "-c",
            &self.branch,
            &self.commit,
        ];
        if let Err(error) = self.git.text(&switch) {
            undo();
            return Err(error.into());
        }
        // The tree was clean, and a patch is applied as a whole or not at all.
        self.apply(&self.git).inspect_err(|_| undo())?;
        Ok(self.git.folder().to_path_buf())
    }

    fn apply(&self, git: &Git) -> Result<(), CheckoutError> {
        let Some(patch) = self.wanted.patch else {
            return Ok(());
        };
        let mut args = vec!["apply", "--binary", "--whitespace=nowarn"];
        if moves_submodules(patch) {
            // Which commit a submodule stands at is said in the index only.
            args.push("--index");
        }
        args.push("-");
        git.bytes(&args, patch)
            .map_err(|error| does_not_apply(&self.commit, error))?;
        Ok(())
    }
}

/// True if a patch says at which commit a submodule stands.
fn moves_submodules(patch: &[u8]) -> bool {
    const LINE: &[u8] = b"+Subproject commit ";
    patch
        .split(|&b| b == b'\n')
        .any(|line| line.starts_with(LINE))
}

/// Makes sure that the commit is here; returns what a person should know.
fn have_commit(git: &Git, commit: &str, state: &GitState) -> Result<Vec<String>, CheckoutError> {
    let remotes = Remotes::read(git)?.addresses;
    let same = |address: &str| {
        let recorded = state.remote.as_deref().unwrap_or_default();
        plain(address) == plain(recorded)
    };
    let remote = remotes.iter().find(|(_, address)| same(address));
    let all = || {
        remotes
            .iter()
            .map(|(name, at)| format!("{name} = {at}"))
            .collect::<Vec<_>>()
    };
    if is_here(git, commit)? {
        return Ok(match &state.remote {
            Some(recorded) if remote.is_none() => vec![format!(
                "the run's repository came from {recorded}, and this one {}; its commit is here",
                knows(&all())
            )],
            _ => Vec::new(),
        });
    }
    let Some(recorded) = &state.remote else {
        return Err(CheckoutError::NoSuchCommit {
            commit: commit.to_owned(),
            why: "the run's repository had no remote to fetch it from".to_owned(),
        });
    };
    let Some((name, address)) = remote else {
        return Err(CheckoutError::OtherRepository {
            commit: commit.to_owned(),
            recorded: recorded.clone(),
            here: all(),
        });
    };
    // By its id, which not every server allows; then all there is.
    let is_shallow = git.text(&["rev-parse", "--is-shallow-repository"])? == "true";
    // Submodules are none of the run's, and their configurations are read by nobody.
    let fetch = ["fetch", "-q", "--no-recurse-submodules"];
    let unshallow = is_shallow.then_some("--unshallow");
    let mut said = Ok(String::new());
    for (option, what) in [(None, Some(commit)), (unshallow, None)] {
        let words = fetch.into_iter().chain(option);
        let words = words.chain(["--end-of-options", name]).chain(what);
        said = git.text(&words.collect::<Vec<_>>());
        if is_here(git, commit)? {
            return Ok(Vec::new());
        }
    }
    let why = match said {
        Ok(_) => format!("{name} ({address}) doesn't have it: it was never pushed, or is gone"),
        Err(error) => error.to_string(),
    };
    Err(CheckoutError::NoSuchCommit {
        commit: commit.to_owned(),
        why,
    })
}

fn is_here(git: &Git, commit: &str) -> Result<bool, GitError> {
    git.is_ok(&["cat-file", "-e", &format!("{commit}^{{commit}}")])
}

/// Addresses that differ in log-in and ending only are the same.
fn plain(address: &str) -> String {
    let address = without_log_in(address);
    let address = address.trim_end_matches('/');
    address.strip_suffix(".git").unwrap_or(address).to_owned()
}

/// Tries the patch on the commit in an index of our own.
fn check_patch(git: &Git, commit: &str, patch: &[u8]) -> Result<(), CheckoutError> {
    let folder = tempfile::tempdir().map_err(|source| GitError::Io {
        command: "apply".to_owned(),
        source,
    })?;
    let git = git.with_index(&folder.path().join("index"));
    git.text(&["read-tree", commit])?;
    git.bytes(&["apply", "--cached", "--check", "--binary", "-"], patch)
        .map_err(|error| does_not_apply(commit, error))?;
    Ok(())
}

fn does_not_apply(commit: &str, error: GitError) -> CheckoutError {
    match error {
        GitError::Failed { said, .. } => CheckoutError::PatchDoesNotApply {
            commit: commit.to_owned(),
            said: said.replace("error: ", ""),
        },
        other => other.into(),
    }
}
