//! The code's state as git knows it: commit, branch, remote, and what was changed since.
//!
//! Nothing of the repository is changed for it: what isn't tracked is put into an index of
//! our own, in a temporary file.

use std::path::{Path, PathBuf};
use std::thread;

use mlbuild_manifests::digest::sha256;
use mlbuild_manifests::run_record::GitState;

use super::git::{Git, GitError};
use super::patch::{self, Kept, MAX_FILE};
use super::remotes::Remotes;
use super::status::{Status, without_records};
use crate::env_vars::{GIT_DIR, GIT_WORK_TREE};

/// Most files that aren't tracked and still go into a patch.
const MAX_UNTRACKED: usize = 1000;
/// Most paths that are named as left out.
const MAX_NAMED: usize = 20;

/// The code's state, and what was changed beyond the commit.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// What the record says of it.
    pub state: GitState,
    /// The changes as `git apply` takes them; `None` where there are none.
    pub patch: Option<Vec<u8>>,
}

impl Snapshot {
    /// Looks at the repository that `project` is in. `None`: it is in none.
    ///
    /// # Errors
    /// Where git isn't installed, or can't read the repository.
    pub fn take(project: &Path) -> Result<Option<Self>, GitError> {
        let here = Git::at(project);
        let question = [
            "rev-parse",
            "--show-toplevel",
            "--git-path",
            "index",
            "--absolute-git-dir",
            "--show-prefix",
        ];
        // At once: starting git takes longer than its answers do.
        let (place, status, remotes) = thread::scope(|scope| {
            let status = scope.spawn(|| Status::read(&here));
            let remotes = scope.spawn(|| Remotes::read(&here));
            let place = here.text(&question);
            let told = "asking git doesn't panic";
            (
                place,
                status.join().expect(told),
                remotes.join().expect(told),
            )
        });
        let place = match place {
            Ok(place) => place,
            Err(GitError::NotARepository(_)) => return Ok(None),
            Err(other) => return Err(other),
        };
        let (mut status, remotes) = (status?, remotes?);
        let mut lines = place.lines();
        let top = PathBuf::from(lines.next().unwrap_or_default());
        // Told from where git was asked.
        let index = project.join(lines.next().unwrap_or_default());
        let git_dir = PathBuf::from(lines.next().unwrap_or_default());
        let folder = lines.next().unwrap_or_default().trim_end_matches('/');
        if !is_own_tree(project, &top, &git_dir) {
            return Err(GitError::Elsewhere(top));
        }

        let git = here.moved_to(&top);
        let remote = remotes.of_branch(status.branch.as_deref());
        let mut state = GitState {
            remote: remote.cloned(),
            commit: status.commit.take(),
            branch: status.branch.take(),
            folder: (!folder.is_empty()).then(|| folder.to_owned()),
            dirty: status.is_dirty(),
            ..GitState::default()
        };
        let patch = if state.dirty {
            let Kept { patch, left_out } = changes(&git, &index, &state, status)?;
            state.left_out = shortened(left_out);
            (!patch.is_empty()).then_some(patch)
        } else {
            None
        };
        state.changes = patch.as_deref().map(sha256);
        Ok(Some(Snapshot { state, patch }))
    }
}

/// Whether a working tree is where the repository is: its configuration can name any folder, whose
/// files would then be recorded. What the user's environment says is obeyed.
fn is_own_tree(project: &Path, top: &Path, git_dir: &Path) -> bool {
    if [GIT_DIR, GIT_WORK_TREE]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
    {
        return true;
    }
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let own = top.join(".git");
    // A file there is of a submodule or of a further working tree, and leads to the repository.
    whole(project).starts_with(whole(top)) && (own.is_file() || whole(&own) == whole(git_dir))
}

/// The patch from the commit (or from nothing) to the working tree.
fn changes(git: &Git, index: &Path, state: &GitState, status: Status) -> Result<Kept, GitError> {
    let temporary = |source| GitError::Io {
        command: "diff".to_owned(),
        source,
    };
    let folder = tempfile::tempdir().map_err(temporary)?;
    let own = folder.path().join("index");
    let git = &git.with_index(&own);
    let base = match &state.commit {
        Some(commit) => commit.clone(),
        None => git.text(&["hash-object", "-t", "tree", "--stdin"])?,
    };
    // A copy knows which files are unchanged; with conflicts in it, it can't be compared.
    if status.has_conflicts {
        git.bytes(&["read-tree", base.as_str()], b"")?;
    } else if index.exists() {
        copy_with_time(index, &own).map_err(temporary)?;
    }

    let mut left_out: Vec<String> = Vec::new();
    let new = choose_untracked(git, status.untracked, &mut left_out);
    for path in &status.submodules {
        left_out.push(format!("{path}: changes inside a submodule"));
    }
    if !new.is_empty() {
        intend_to_add(git, &new)?;
    }
    let records = without_records();
    let places = [base.as_str(), "--", ":/", records.as_str()];
    let args = DIFF.iter().chain(&places);
    let mut args: Vec<String> = args.map(|&arg| arg.to_owned()).collect();
    for path in status.tracked.iter().filter(|path| !is_small(git, path)) {
        left_out.push(format!("{path}: {}", too_large()));
        args.push(format!(":(top,exclude,literal){path}"));
    }
    let mut kept = patch::keep(&git.bytes(&args, b"")?);
    kept.left_out.splice(0..0, left_out);
    Ok(kept)
}

/// A diff that says the same whatever the person's configuration of git is.
const DIFF: [&str; 12] = [
    "diff",
    "--binary",
    "--full-index",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--no-renames",
    "--unified=3",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--submodule=short",
    "--ignore-submodules=dirty",
];

/// The files that aren't tracked and belong into the patch; why others don't goes to `left_out`.
fn choose_untracked(git: &Git, untracked: Vec<String>, left_out: &mut Vec<String>) -> Vec<String> {
    let mut new = Vec::new();
    for path in untracked {
        if path.ends_with('/') {
            left_out.push(format!("{path}: it is a repository of its own"));
        } else if mlbuild_secrets::is_secret_file(&path) {
            left_out.push(format!("{path}: {}", patch::SECRET_NAME));
        } else if !is_small(git, &path) {
            left_out.push(format!("{path}: {}", too_large()));
        } else if new.len() >= MAX_UNTRACKED {
            left_out.push(format!(
                "{path}: more than {MAX_UNTRACKED} files aren't tracked"
            ));
        } else {
            new.push(path);
        }
    }
    new
}

/// Has the index name files that aren't tracked, so that the diff shows them as new.
fn intend_to_add(git: &Git, new: &[String]) -> Result<(), GitError> {
    let paths = new.join("\0");
    git.bytes(
        &[
            "--literal-pathspecs",
            "add",
            "--intent-to-add",
            "--pathspec-from-file=-",
            "--pathspec-file-nul",
        ],
        paths.as_bytes(),
    )?;
    Ok(())
}

fn is_small(git: &Git, path: &str) -> bool {
    let found = git.folder().join(path).symlink_metadata();
    found.map_or(0, |found| found.len()) <= MAX_FILE
}

fn too_large() -> String {
    format!("it is larger than {} MiB", MAX_FILE >> 20)
}

/// Git looks into a file that was changed in the second in which the index was written: a copy
/// must have the time of what it is a copy of.
fn copy_with_time(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::copy(from, to)?;
    let modified = from.metadata()?.modified()?;
    std::fs::File::options()
        .write(true)
        .open(to)?
        .set_modified(modified)
}

/// A list that a person can read.
fn shortened(mut left_out: Vec<String>) -> Vec<String> {
    let more = left_out.len().saturating_sub(MAX_NAMED);
    if more > 0 {
        left_out.truncate(MAX_NAMED);
        left_out.push(format!("and {more} more"));
    }
    left_out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_left_out_files_are_counted() {
        let all: Vec<String> = (0..50).map(|n| format!("{n}: why")).collect();
        let short = shortened(all);
        assert_eq!(
            (short.len(), short.last().unwrap().as_str()),
            (21, "and 30 more")
        );
    }
}
