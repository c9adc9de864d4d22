//! Settings of a repository's own configuration that make git, or Git LFS, run programs, or that send
//! what a server is told another way.
//!
//! A repository may have come out of an archive, with a `.git/config` that a stranger wrote. What
//! stands there for looks alone is left as it is; where it names a program, or a proxy, a certificate
//! or a file of cookies, the value of the user's own configuration is put in its place, else one that
//! runs nothing and asks no one else. git-config(1), gitattributes(5) and git-lfs-config(5) list the
//! settings.

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
///
/// # Errors
/// With a key that can't be overridden: `-c` takes all before the first `=` for the key's name, and what
/// a condition takes in isn't known before the condition holds.
pub(super) fn neutralised(listed: &[u8]) -> Result<Vec<String>, String> {
    let text = String::from_utf8_lossy(listed);
    let mut parts = text.split('\0');
    // Of the user and the system: every value of a key, in their order.
    let mut own: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut of_repository = BTreeSet::new();
    while let (Some(scope), Some(entry)) = (parts.next(), parts.next()) {
        let (key, value) = entry.split_once('\n').unwrap_or((entry, ""));
        if !matches!(scope, "local" | "worktree") {
            own.entry(key).or_default().push(value);
        } else if key.starts_with("includeif.") {
            // What it takes in may be another file once a branch or a working tree was made.
            return Err(key.to_owned());
        } else if is_strangers(key) && !LFS.contains(&value) {
            if key.contains('=') {
                return Err(key.to_owned());
            }
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
    Ok(arguments)
}

/// Whether nobody but the user may set it.
fn is_strangers(key: &str) -> bool {
    runs_a_program(key) || steers_a_connection(key)
}

/// What a server, and with it the user's log-in for it, is reached by. A proxy and a certificate of a
/// stranger's would hear the log-in; libcurl writes a file of cookies.
fn steers_a_connection(key: &str) -> bool {
    let (section, name) = (key.split('.').next(), key.rsplit('.').next());
    let name = name.unwrap_or_default();
    match section.unwrap_or_default() {
        "http" => {
            name.starts_with("proxy")
                || matches!(
                    name,
                    "sslverify"
                        | "sslcainfo"
                        | "sslcapath"
                        | "sslcert"
                        | "sslkey"
                        | "sslcertpasswordprotected"
                        | "sslversion"
                        | "sslcipherlist"
                        | "curloptresolve"
                        | "cookiefile"
                        | "savecookies"
                        | "delegation"
                )
        }
        "remote" => name == "proxy",
        // Where Git LFS writes what it fetched.
        "lfs" => name == "storage",
        _ => false,
    }
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
        ("hook", name) => name == "command",
        ("lfs", name) => matches!(
            name,
            "clean" | "smudge" | "path" | "standalonetransferagent"
        ),
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
        // A filter that changes nothing.
        "clean" | "smudge" if key.starts_with("lfs.") => "cat",
        "path" => "false",
        "command" => "true",
        "sslverify" => "true",
        "savecookies" | "sslcertpasswordprotected" => "false",
        "delegation" => "none",
        "storage" => "lfs",
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
        neutralised(listed.as_bytes()).unwrap().join(" ")
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
    fn connections_and_lfs_are_as_the_user_has_them() {
        let entries = [
            ("global", "http.proxy\nhttp://mine:1"),
            ("local", "http.proxy\nhttp://evil:1"),
            ("local", "http.https://g.example/.sslverify\nfalse"),
            ("local", "http.postbuffer\n524288000"),
            ("local", "lfs.extension.e.clean\nevil"),
            ("local", "lfs.customtransfer.e.path\nevil"),
            ("local", "lfs.standalonetransferagent\ne"),
            ("local", "hook.e.command\nevil"),
        ];
        insta::assert_snapshot!(of(&entries), @"-c hook.e.command=true -c http.https://g.example/.sslverify=true -c http.proxy=http://mine:1 -c lfs.customtransfer.e.path=false -c lfs.extension.e.clean=cat -c lfs.standalonetransferagent=");
    }

    #[test]
    fn a_key_that_no_argument_can_name_is_an_error() {
        for key in ["filter.a=b.clean", "includeif.onbranch:mlbuild/**.path"] {
            let refused = neutralised(format!("local\0{key}\nevil\0").as_bytes());
            assert_eq!(refused, Err(key.to_owned()));
        }
        // That of the user is the user's.
        assert_eq!(of(&[("global", "filter.a=b.clean\nmine")]), "");
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
