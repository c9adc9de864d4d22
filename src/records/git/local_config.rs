//! Settings of a repository's own configuration that make git run programs.
//!
//! A repository may have come out of an archive, with a `.git/config` that a stranger wrote. What
//! stands there for looks alone is left as it is; where it names a program, the value of the user's
//! own configuration is put in its place, else one that runs nothing. git-config(1) and
//! gitattributes(5) list the settings.

use std::collections::{BTreeMap, BTreeSet};

/// What Git LFS writes with `git lfs install --local`.
const LFS: [&str; 5] = [
    "git-lfs clean -- %f",
    "git-lfs smudge -- %f",
    "git-lfs smudge --skip -- %f",
    "git-lfs filter-process",
    "git-lfs filter-process --skip",
];

/// Arguments (`-c`, `KEY=VALUE`, …) that put harmless values over those of the repository.
///
/// `listed` is what `git config --show-scope --includes -z --list` prints: a scope, and a key and
/// its value, in turn.
pub(super) fn neutralised(listed: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(listed);
    let mut parts = text.split('\0');
    // Of the user and the system: every value of a key, in their order.
    let mut own: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut of_repository = BTreeSet::new();
    while let (Some(scope), Some(entry)) = (parts.next(), parts.next()) {
        let (key, value) = entry.split_once('\n').unwrap_or((entry, ""));
        if !matches!(scope, "local" | "worktree") {
            own.entry(key).or_default().push(value);
        } else if runs_a_program(key) && !LFS.contains(&value) {
            of_repository.insert(key);
        }
    }
    let mut arguments = Vec::new();
    let mut set = |key: &str, value: &str| {
        arguments.extend(["-c".to_owned(), format!("{key}={value}")]);
    };
    for key in of_repository {
        let values = own.get(key).map_or(&[][..], Vec::as_slice);
        if key.ends_with(".helper") {
            // An empty one ends the list of those before it, the user's too.
            set(key, "");
            values.iter().for_each(|value| set(key, value));
            continue;
        }
        set(key, values.last().copied().unwrap_or(harmless(key)));
        if let Some(filter) = key.strip_prefix("filter.").and_then(|k| k.rsplit_once('.')) {
            set(&format!("filter.{}.required", filter.0), "false");
        }
    }
    arguments
}

/// Git writes the first and the last part of a key in lower case.
fn runs_a_program(key: &str) -> bool {
    let (section, name) = (key.split('.').next(), key.rsplit('.').next());
    match (section.unwrap_or_default(), name.unwrap_or_default()) {
        ("core", name) => matches!(
            name,
            "sshcommand" | "gitproxy" | "askpass" | "alternaterefscommand" | "editor" | "pager"
        ),
        ("filter", name) => matches!(name, "clean" | "smudge" | "process"),
        ("credential", name) => name == "helper",
        ("remote", name) => matches!(name, "uploadpack" | "receivepack" | "vcs"),
        ("gpg", name) => name == "program" || name == "defaultkeycommand",
        ("merge", name) => name == "driver",
        _ => false,
    }
}

/// A value that runs nothing of the repository's.
fn harmless(key: &str) -> &'static str {
    match key.rsplit('.').next().unwrap_or_default() {
        "sshcommand" => "ssh",
        "gitproxy" => "none",
        "alternaterefscommand" | "driver" | "program" => "false",
        "uploadpack" => "git-upload-pack",
        "receivepack" => "git-receive-pack",
        "editor" | "pager" => "cat",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::neutralised;

    fn of(entries: &[(&str, &str)]) -> String {
        let listed: String = entries
            .iter()
            .map(|(scope, entry)| format!("{scope}\0{entry}\0"))
            .collect();
        neutralised(listed.as_bytes()).join(" ")
    }

    #[test]
    fn programs_of_the_repository_are_replaced_by_the_users_or_by_nothing() {
        let entries = [
            ("global", "credential.helper\nstore"),
            ("global", "core.sshcommand\nssh -i key"),
            ("local", "core.bare\nfalse"),
            ("local", "core.sshcommand\nsh -c evil"),
            ("local", "credential.helper\n!evil"),
            ("local", "filter.x.clean\nevil"),
            ("worktree", "remote.origin.uploadpack\nevil"),
        ];
        insta::assert_snapshot!(of(&entries), @"-c core.sshcommand=ssh -i key -c credential.helper= -c credential.helper=store -c filter.x.clean= -c filter.x.required=false -c remote.origin.uploadpack=git-upload-pack");
    }

    #[test]
    fn what_runs_nothing_and_lfs_stay() {
        let entries = [
            ("local", "user.name\nAnn"),
            ("local", "filter.lfs.clean\ngit-lfs clean -- %f"),
            ("local", "filter.lfs.process\ngit-lfs filter-process"),
            ("local", "branch.main.remote\norigin"),
            ("global", "filter.y.clean\nmine"),
        ];
        assert_eq!(of(&entries), "");
    }
}
