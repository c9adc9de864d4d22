//! What of a working tree may go into a record's patch. Records are committed and pushed:
//! what looks like a secret, and what is too large, stays out, and is named.

use std::sync::LazyLock;

use regex::bytes::Regex;

/// Largest patch, in bytes: what a registry's document may have.
pub(super) const MAX_PATCH: usize = 4 << 20;
/// Largest file that goes into a patch, in bytes.
pub(super) const MAX_FILE: u64 = 1 << 20;

/// What is said of a file that is left out.
pub(super) const SECRET_NAME: &str = "its name is that of a secret";
const SECRET_TEXT: &str = "it holds what looks like a secret";

/// Names, in lower case, that files with secrets have.
const NAMES: [&str; 15] = [
    ".env",
    ".netrc",
    "_netrc",
    ".pypirc",
    ".npmrc",
    ".pgpass",
    ".htpasswd",
    ".git-credentials",
    ".dockercfg",
    ".dockerconfigjson",
    "credentials",
    "credentials.json",
    "kubeconfig",
    "kaggle.json",
    "wandb-key",
];
const STARTS: [&str; 8] = [
    ".env.",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "secret.",
    "secrets.",
    "service-account",
];
const ENDS: [&str; 8] = [
    ".pem",
    ".key",
    ".p12",
    ".pfx",
    ".jks",
    ".keystore",
    ".kdbx",
    ".gpg",
];
/// Ends of names that are there to be seen.
const EXAMPLES: [&str; 5] = [".example", ".sample", ".template", ".dist", ".pub"];

/// True if a path's name is one that files with secrets have.
pub(super) fn is_secret_name(path: &str) -> bool {
    let path = path.to_lowercase();
    let name = path.rsplit('/').next().unwrap_or(&path);
    if EXAMPLES.iter().any(|end| name.ends_with(end)) {
        return false;
    }
    NAMES.contains(&name)
        || STARTS.iter().any(|start| name.starts_with(start))
        || ENDS.iter().any(|end| name.ends_with(end))
        || path.ends_with(".docker/config.json")
}

/// Keys and tokens whose form tells what they are, in added lines.
static SECRETS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?m)^\+.*(?:-----BEGIN [A-Z ]*PRIVATE KEY-----",
        r"|\bAKIA[0-9A-Z]{16}\b",
        r"|\bgh[pousr]_[A-Za-z0-9]{36}",
        r"|\bgithub_pat_[A-Za-z0-9_]{50}",
        r"|\bglpat-[A-Za-z0-9_-]{20}",
        r"|\bhf_[A-Za-z0-9]{30}",
        r"|\bxox[abprs]-[A-Za-z0-9-]{10}",
        r"|\bsk-[A-Za-z0-9_-]{32}",
        r"|\bAIza[A-Za-z0-9_-]{35}",
        r#"|(?i:wandb_api_key|aws_secret_access_key)["']?\s*[:=]\s*["']?[A-Za-z0-9/+]{32})"#,
    ))
    .expect("a pattern")
});

/// A patch without what may not be in it, and what that was.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) patch: Vec<u8>,
    /// `path: why`
    pub(super) left_out: Vec<String>,
}

/// Takes the files of a patch one by one.
pub(super) fn keep(patch: &[u8]) -> Kept {
    let mut kept = Kept::default();
    for section in sections(patch) {
        let path = path_of(section);
        let why = if is_secret_name(&path) {
            Some(SECRET_NAME.to_owned())
        } else if SECRETS.is_match(section) {
            Some(SECRET_TEXT.to_owned())
        } else if kept.patch.len() + section.len() > MAX_PATCH {
            Some(format!(
                "the patch would be larger than {} MiB",
                MAX_PATCH >> 20
            ))
        } else {
            None
        };
        match why {
            Some(why) => kept.left_out.push(format!("{path}: {why}")),
            None => kept.patch.extend_from_slice(section),
        }
    }
    kept
}

/// Cuts a patch before each `diff --git`: lines of a file begin with a space, `+`, `-` or
/// `\`, and those of binary data hold no space.
fn sections(patch: &[u8]) -> Vec<&[u8]> {
    const MARK: &[u8] = b"diff --git ";
    let mut starts = Vec::new();
    let mut at = 0;
    for line in patch.split_inclusive(|&b| b == b'\n') {
        if line.starts_with(MARK) {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([patch.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| &patch[start..end])
        .collect()
}

/// The path in `diff --git a/PATH b/PATH`, where both are the same. Names with line ends and
/// the like stay as git quotes them.
fn path_of(section: &[u8]) -> String {
    let line = section.split(|&b| b == b'\n').next().unwrap_or_default();
    let names = line.get(b"diff --git ".len()..).unwrap_or_default();
    let half = names.get(..names.len() / 2).unwrap_or_default();
    let name = String::from_utf8_lossy(half);
    let name = name.trim_matches('"');
    name.strip_prefix("a/").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets() {
        for name in [
            ".env",
            "app/.env.production",
            "keys/server.pem",
            "ID_RSA",
            ".docker/config.json",
            "secrets.yaml",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "env.py",
            ".env.example",
            "id_rsa.pub",
            "config.json",
            "keys.py",
            "monkey",
            "train.py",
            "secretary.py",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn files_that_hold_secrets_stay_out_and_the_others_stay_whole() {
        let safe = "diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-x\n+diff --git y\n";
        let removed = "diff --git a/b b/b\n--- a/b\n+++ b/b\n@@ -1 +0,0 @@\n-ghp_012345678901234567890123456789012345\n";
        let added = removed
            .replace("\n-ghp", "\n+ghp")
            .replace("/b", "/dir/c d");
        let key = "diff --git a/.env b/.env\nnew file mode 100644\n";
        let all = [safe, &added, removed, key].concat();
        let kept = keep(all.as_bytes());
        assert_eq!(
            String::from_utf8(kept.patch).unwrap(),
            [safe, removed].concat()
        );
        assert_eq!(
            kept.left_out,
            [
                "dir/c d: it holds what looks like a secret",
                ".env: its name is that of a secret"
            ]
        );
    }

    #[test]
    fn a_patch_has_a_largest_size() {
        let file = |name: &str, size: usize| {
            format!("diff --git a/{name} b/{name}\n+{}\n", "x".repeat(size))
        };
        let all = [file("a", MAX_PATCH - 100), file("b", 1000), file("c", 10)].concat();
        let kept = keep(all.as_bytes());
        assert_eq!(kept.left_out, ["b: the patch would be larger than 4 MiB"]);
        assert!(kept.patch.len() <= MAX_PATCH);
    }
}
