//! Where a repository comes from: addresses without what logs in there.

use std::collections::BTreeMap;

use url::Url;

use super::git::{Git, GitError};

/// The address of the branch's remote, else of `origin`, else of the first one.
pub(super) fn remote(git: &Git, branch: Option<&str>) -> Result<Option<String>, GitError> {
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
