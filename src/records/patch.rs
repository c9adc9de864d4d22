//! What of a working tree may go into a record's patch. Records are committed and pushed:
//! what looks like a secret, and what is too large, stays out, and is named.

use mlbuild_secrets::{is_secret_file, is_secret_in_code};

/// Largest patch, in bytes: what a registry's document may have.
pub(super) const MAX_PATCH: usize = 4 << 20;
/// Largest file that goes into a patch, in bytes.
pub(super) const MAX_FILE: u64 = 1 << 20;

/// What is said of a file that is left out.
pub(super) const SECRET_NAME: &str = "its name is that of a secret";
const SECRET_TEXT: &str = "it holds what looks like a secret";

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
        let why = if is_secret_file(&path) {
            Some(SECRET_NAME.to_owned())
        } else if holds_secret(section) {
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

/// Whether a line that was added holds a secret.
fn holds_secret(section: &[u8]) -> bool {
    let added = section
        .split_inclusive(|&b| b == b'\n')
        .filter_map(|line| line.strip_prefix(b"+"))
        .filter(|line| !line.starts_with(b"++ "));
    let added: Vec<u8> = added.flatten().copied().collect();
    is_secret_in_code(&String::from_utf8_lossy(&added))
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
