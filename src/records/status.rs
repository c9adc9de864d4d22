//! What `git status` says of a working tree.

use mlbuild_manifests::run_record::FOLDER_NAME;

use super::git::{Git, GitError};

/// Where the records are kept doesn't belong to the code's state: each run adds to it.
pub(super) fn without_records() -> String {
    format!(":(top,exclude,glob)**/{FOLDER_NAME}/**")
}

/// How deep submodules of submodules are asked.
const DEPTH: usize = 8;

/// Paths of the submodules, from the repository's top.
fn submodules(git: &Git) -> Result<Vec<String>, GitError> {
    let listed = git.bytes(
        &["ls-files", "--stage", "--full-name", "-z", "--", ":/"],
        b"",
    )?;
    let entries = listed.split(|&b| b == 0).map(String::from_utf8_lossy);
    let path = |entry: std::borrow::Cow<'_, str>| {
        let path = entry
            .strip_prefix("160000 ")?
            .split_once('\t')?
            .1
            .to_owned();
        Some(path)
    };
    Ok(entries.filter_map(path).collect())
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
    pub(super) submodules: Vec<String>,
    pub(super) has_conflicts: bool,
}

impl Status {
    /// Asks git, for the whole repository.
    ///
    /// Submodules are asked one by one: their own configurations name programs too, which are put out
    /// of force only where git is started in them.
    pub(super) fn read(git: &Git) -> Result<Self, GitError> {
        Self::read_to_depth(git, DEPTH)
    }

    fn read_to_depth(git: &Git, depth: usize) -> Result<Self, GitError> {
        let (status, links) = std::thread::scope(|scope| {
            let links = scope.spawn(|| submodules(git));
            let status = Self::read_without_submodules(git);
            (status, links.join().expect("asking git doesn't panic"))
        });
        let (mut status, links) = (status?, links?);
        if links.is_empty() || depth == 0 {
            return Ok(status);
        }
        let top = git.text(&["rev-parse", "--show-toplevel"])?;
        for link in links {
            let folder = std::path::Path::new(&top).join(&link);
            if !folder.join(".git").exists() {
                continue;
            }
            let inside = Self::read_to_depth(&Git::at(&folder), depth - 1)?;
            if inside.is_dirty() && !status.submodules.contains(&link) {
                if !status.tracked.contains(&link) {
                    status.tracked.push(link.clone());
                }
                status.submodules.push(link);
            }
        }
        status.tracked.sort();
        Ok(status)
    }

    fn read_without_submodules(git: &Git) -> Result<Self, GitError> {
        let records = without_records();
        let answer = git.bytes(
            &[
                "status",
                "--porcelain=v2",
                "--branch",
                "-z",
                "--no-renames",
                "--untracked-files=all",
                "--ignore-submodules=dirty",
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
