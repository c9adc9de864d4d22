//! Where a repository comes from: addresses without what logs in there.

use std::collections::BTreeMap;

use url::Url;

use super::git::{Git, GitError};

/// The remotes of a repository.
#[derive(Debug, Default)]
pub(super) struct Remotes {
    /// Their addresses by name, without log-ins.
    pub(super) addresses: BTreeMap<String, String>,
    /// The remote that each branch follows.
    followed: BTreeMap<String, String>,
}

impl Remotes {
    /// Asks git for all of them, in one question.
    pub(super) fn read(git: &Git) -> Result<Self, GitError> {
        let pattern = r"^(remote\..*\.url|branch\..*\.remote)$";
        let answer = match git.bytes(&["config", "-z", "--get-regexp", pattern], b"") {
            Ok(answer) => answer,
            // There is none.
            Err(GitError::Failed { .. }) => return Ok(Self::default()),
            Err(other) => return Err(other),
        };
        let mut remotes = Self::default();
        for entry in String::from_utf8_lossy(&answer).split('\0') {
            let Some((key, value)) = entry.split_once('\n') else {
                continue;
            };
            let between = |start, end| key.strip_prefix(start)?.strip_suffix(end);
            if let Some(name) = between("remote.", ".url") {
                let address = without_log_in(value);
                remotes.addresses.insert(name.to_owned(), address);
            } else if let Some(branch) = between("branch.", ".remote") {
                let name = value.to_owned();
                remotes.followed.insert(branch.to_owned(), name);
            }
        }
        Ok(remotes)
    }

    /// The address of the branch's remote, else of `origin`, else of the first one.
    pub(super) fn of_branch(&self, branch: Option<&str>) -> Option<&String> {
        let followed = branch.and_then(|branch| self.followed.get(branch));
        followed
            .and_then(|name| self.addresses.get(name))
            .or_else(|| self.addresses.get("origin"))
            .or_else(|| self.addresses.values().next())
    }
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

#[cfg(test)]
mod tests {
    use super::without_log_in;

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
}
