//! What `git status` says of a working tree.

use mlbuild_manifests::run_record::FOLDER_NAME;

use super::git::{Git, GitError};

/// Where the records are kept doesn't belong to the code's state: each run adds to it.
pub(super) fn without_records() -> String {
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
    pub(super) submodules: Vec<String>,
    pub(super) has_conflicts: bool,
}

impl Status {
    /// Asks git, for the whole repository.
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
