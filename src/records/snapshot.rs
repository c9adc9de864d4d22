//! The code's state as git knows it: commit, branch, remote, and what was changed since.
//!
//! Nothing of the repository is changed for it: what isn't tracked is put into an index of
//! our own, in a temporary file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mlbuild_manifests::run_record::{FOLDER_NAME, GitState, sha256};
use url::Url;

use super::git::{Git, GitError};
use super::patch::{self, Kept, MAX_FILE};

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
            "--show-prefix",
        ];
        let answer = match here.text(&question) {
            Ok(answer) => answer,
            Err(GitError::NotARepository(_)) => return Ok(None),
            Err(other) => return Err(other),
        };
        let mut lines = answer.lines();
        let top = PathBuf::from(lines.next().unwrap_or_default());
        // Told from where git was asked.
        let index = project.join(lines.next().unwrap_or_default());
        let folder = lines.next().unwrap_or_default().trim_end_matches('/');

        let git = Git::at(&top);
        let mut status = Status::read(&git)?;
        let mut state = GitState {
            remote: remote(&git, status.branch.as_deref())?,
            commit: status.commit.take(),
            branch: status.branch.take(),
            folder: (!folder.is_empty()).then(|| folder.to_owned()),
            dirty: status.is_dirty(),
            ..GitState::default()
        };
        let patch = match state.dirty {
            true => {
                let Kept { patch, left_out } = changes(&git, &index, &state, status)?;
                state.left_out = shortened(left_out);
                (!patch.is_empty()).then_some(patch)
            }
            false => None,
        };
        state.changes = patch.as_deref().map(sha256);
        Ok(Some(Snapshot { state, patch }))
    }
}

/// Where the records are kept doesn't belong to the code's state: each run adds to it.
fn without_records() -> String {
    format!(":(top,exclude,glob)**/{FOLDER_NAME}/**")
}

/// What `git status` says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Status {
    pub(super) commit: Option<String>,
    pub(super) branch: Option<String>,
    /// Tracked files that were changed, added or deleted.
    pub(super) tracked: Vec<String>,
    pub(super) untracked: Vec<String>,
    /// Submodules with changes inside.
    submodules: Vec<String>,
    has_conflicts: bool,
}

impl Status {
    /// Asks git, which must be at the repository's top.
    pub(super) fn read(git: &Git) -> Result<Self, GitError> {
        let records = without_records();
        let answer = git.bytes(
            &[
                "status",
                "--porcelain=v2",
                "--branch",
                "-z",
                "--no-renames",
                "--untracked-files=all",
                "--ignore-submodules=none",
                "--",
                ":/",
                &records,
            ],
            b"",
        )?;
        Ok(Self::parse(&answer))
    }

    /// Reads `git status --porcelain=v2 --branch -z --no-renames`.
    fn parse(answer: &[u8]) -> Self {
        let mut status = Self::default();
        for line in answer.split(|&b| b == 0) {
            let line = String::from_utf8_lossy(line);
            let (kind, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match kind {
                "#" => match rest.split_once(' ') {
                    Some(("branch.oid", oid)) if oid != "(initial)" => {
                        status.commit = Some(oid.to_owned());
                    }
                    Some(("branch.head", name)) if name != "(detached)" => {
                        status.branch = Some(name.to_owned());
                    }
                    _ => {}
                },
                // Each kind has its number of fields before the path.
                "1" | "u" => {
                    let fields = if kind == "u" { 10 } else { 8 };
                    let Some(path) = rest.splitn(fields, ' ').nth(fields - 1) else {
                        continue;
                    };
                    status.has_conflicts |= kind == "u";
                    let submodule = rest.split(' ').nth(1).unwrap_or_default();
                    if submodule.ends_with("U") || submodule.get(2..3) == Some("M") {
                        status.submodules.push(path.to_owned());
                    }
                    status.tracked.push(path.to_owned());
                }
                "?" => status.untracked.push(rest.to_owned()),
                _ => {}
            }
        }
        status
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.tracked.is_empty() || !self.untracked.is_empty()
    }
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
    let small = |path: &str| {
        let size = git
            .folder()
            .join(path)
            .symlink_metadata()
            .map_or(0, |m| m.len());
        size <= MAX_FILE
    };
    let too_large = format!("it is larger than {} MiB", MAX_FILE >> 20);
    let mut new = Vec::new();
    for path in status.untracked {
        if path.ends_with('/') {
            left_out.push(format!("{path}: it is a repository of its own"));
        } else if patch::is_secret_name(&path) {
            left_out.push(format!("{path}: {}", patch::SECRET_NAME));
        } else if !small(&path) {
            left_out.push(format!("{path}: {too_large}"));
        } else if new.len() >= MAX_UNTRACKED {
            left_out.push(format!(
                "{path}: more than {MAX_UNTRACKED} files aren't tracked"
            ));
        } else {
            new.push(path);
        }
    }
    for path in &status.submodules {
        left_out.push(format!("{path}: changes inside a submodule"));
    }
    if !new.is_empty() {
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
    }
    let mut args: Vec<String> = [
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
        &base,
        "--",
        ":/",
        &without_records(),
    ]
    .map(str::to_owned)
    .to_vec();
    for path in status.tracked.iter().filter(|path| !small(path)) {
        left_out.push(format!("{path}: {too_large}"));
        args.push(format!(":(top,exclude,literal){path}"));
    }
    let mut kept = patch::keep(&git.bytes(&args, b"")?);
    kept.left_out.splice(0..0, left_out);
    Ok(kept)
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

/// The address of the branch's remote, else of `origin`, else of the first one.
fn remote(git: &Git, branch: Option<&str>) -> Result<Option<String>, GitError> {
    let remotes = remotes(git)?;
    let of_branch = match branch {
        // Fails where the branch follows none.
        Some(branch) => git
            .text(&["config", &format!("branch.{branch}.remote")])
            .ok(),
        None => None,
    };
    let chosen = of_branch
        .and_then(|name| remotes.get(&name))
        .or_else(|| remotes.get("origin"))
        .or_else(|| remotes.values().next());
    Ok(chosen.cloned())
}

/// The remotes of a repository, by name, without log-ins in their addresses.
pub(super) fn remotes(git: &Git) -> Result<BTreeMap<String, String>, GitError> {
    let pattern = r"^remote\..*\.url$";
    let answer = match git.bytes(&["config", "-z", "--get-regexp", pattern], b"") {
        Ok(answer) => answer,
        // There is none.
        Err(GitError::Failed { .. }) => return Ok(BTreeMap::new()),
        Err(other) => return Err(other),
    };
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let remotes = answer.split('\0').filter_map(|entry| {
        let (key, url) = entry.split_once('\n')?;
        let name = key.strip_prefix("remote.")?.strip_suffix(".url")?;
        Some((name.to_owned(), without_log_in(url)))
    });
    Ok(remotes.collect())
}

/// An address without what logs in: tokens stand in user names, passwords and queries.
pub(super) fn without_log_in(address: &str) -> String {
    let Ok(mut url) = Url::parse(address) else {
        // `git@host:path`, or a path: neither holds a password.
        return address.to_owned();
    };
    if !url.has_host() {
        return address.to_owned();
    }
    let _ = url.set_password(None);
    if matches!(url.scheme(), "http" | "https") {
        let _ = url.set_username("");
    }
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
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
    fn addresses_lose_their_log_ins() {
        for (with, without) in [
            (
                "https://ann:token@git.example/a/b.git",
                "https://git.example/a/b.git",
            ),
            (
                "https://token@git.example/a/b.git?private_token=x",
                "https://git.example/a/b.git",
            ),
            ("ssh://git@git.example/a/b", "ssh://git@git.example/a/b"),
            ("git@git.example:a/b.git", "git@git.example:a/b.git"),
            ("../origin.git", "../origin.git"),
            ("file:///srv/origin.git", "file:///srv/origin.git"),
        ] {
            assert_eq!(without_log_in(with), without);
        }
    }

    #[test]
    fn a_status_is_read_field_by_field() {
        let answer = "# branch.oid abc\0# branch.head main\0# branch.ab +1 -0\0\
            1 .M N... 100644 100644 100644 aa bb a file\0\
            1 .M S.MU 160000 160000 160000 aa bb sub\0\
            1 .M SC.. 160000 160000 160000 aa bb moved\0\
            u UU N... 100644 100644 100644 100644 aa bb cc both ways\0\
            ? new file\0? nested/\0";
        let status = Status::parse(answer.as_bytes());
        assert_eq!(
            status,
            Status {
                commit: Some("abc".to_owned()),
                branch: Some("main".to_owned()),
                tracked: ["a file", "sub", "moved", "both ways"]
                    .map(str::to_owned)
                    .to_vec(),
                untracked: ["new file", "nested/"].map(str::to_owned).to_vec(),
                submodules: vec!["sub".to_owned()],
                has_conflicts: true,
            }
        );
        let none = Status::parse(b"# branch.oid (initial)\0# branch.head (detached)\0");
        assert_eq!(none, Status::default());
    }

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
