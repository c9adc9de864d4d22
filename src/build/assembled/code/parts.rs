//! Which folders of the code have a layer of their own, so that an edit writes only the layer that it is in: decided
//! by the sizes of what is copied alone, so that the same files always come to the same layers.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Bytes of files that may share a layer whatever they are.
const SHARED: u64 = 32 << 20;
/// Bytes of files for which a layer is worth it.
const LEAST: u64 = 4 << 20;
/// Layers of code that an image may have.
pub(super) const MOST: usize = 8;

/// The folders with a layer of their own. All else is in the first layer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// From where the code is copied to, in the order of their layers: `data/train`.
    folders: Vec<String>,
}

impl Parts {
    /// Those of files, each with where it is copied to and its bytes; at most `most` layers in all.
    pub(super) fn of<'a>(files: impl IntoIterator<Item = (&'a [u8], u64)>, most: usize) -> Self {
        let mut root = Folder::default();
        for (path, bytes) in files {
            root.add(path, bytes);
        }
        let mut found = Vec::new();
        root.split("", &mut found);
        // The largest, if there are too many; what is in the others goes where their parents are.
        found.sort_by(|(a, a_bytes), (b, b_bytes)| {
            (Reverse(a_bytes), a).cmp(&(Reverse(b_bytes), b))
        });
        found.truncate(most.saturating_sub(1));
        let mut folders: Vec<String> = found.into_iter().map(|(path, _)| path).collect();
        folders.sort();
        Self { folders }
    }

    /// The folders, in the order of their layers, which are above that of all else.
    pub(super) fn folders(&self) -> &[String] {
        &self.folders
    }

    /// The innermost of these folders that an entry is in, or is; `None` for all else.
    pub(super) fn of_entry(&self, path: &[u8]) -> Option<&str> {
        let holds = |folder: &&String| {
            let rest = path.strip_prefix(folder.as_bytes());
            rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
        };
        let found = self.folders.iter().filter(holds);
        found.max_by_key(|folder| folder.len()).map(String::as_str)
    }

    /// Whether the layer of a folder has an entry: what is in it, and the folders above it. Where a layer lacks the
    /// latter, Docker makes them with rights of its own, in place of those that they have in layers below.
    pub(super) fn has(&self, folder: &str, path: &[u8]) -> bool {
        let below = folder.as_bytes().strip_prefix(path);
        let is_above = below.is_some_and(|rest| rest.first() == Some(&b'/'));
        is_above || self.of_entry(path) == Some(folder)
    }
}

#[derive(Default)]
struct Folder {
    /// Of all files in it.
    bytes: u64,
    folders: BTreeMap<String, Folder>,
}

impl Folder {
    fn add(&mut self, path: &[u8], bytes: u64) {
        self.bytes += bytes;
        let mut names = path.splitn(2, |byte| *byte == b'/');
        if let (Some(name), Some(rest)) = (names.next(), names.next())
            && let Some(name) = plain(name)
        {
            let folder = self.folders.entry(name.to_owned()).or_default();
            folder.add(rest, bytes);
        }
    }

    /// Adds the folders in it that get a layer, each with the bytes of what is in that layer; returns the bytes that
    /// are in none of them.
    fn split(&self, path: &str, found: &mut Vec<(String, u64)>) -> u64 {
        if self.bytes <= SHARED {
            return self.bytes;
        }
        let mut left = self.bytes;
        for (name, folder) in &self.folders {
            if folder.bytes < LEAST {
                continue;
            }
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}/{name}")
            };
            let own = folder.split(&path, found);
            left -= folder.bytes - own;
            if own >= LEAST {
                found.push((path, own));
                left -= own;
            }
        }
        left
    }
}

/// A name that can stand in an image's history as it is.
fn plain(name: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(name).ok()?;
    let is_plain = !name.chars().any(|c| c.is_control() || c.is_whitespace());
    is_plain.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    /// Files with their bytes, and the folders that get layers.
    type Case<'a> = (&'a [(&'a str, u64)], &'a [&'a str]);

    #[test]
    fn only_large_folders_of_much_code_have_layers_of_their_own() {
        let many: Vec<(String, u64)> = (0..20)
            .map(|n| (format!("d{n:02}/x"), (5 + n) * MB))
            .collect();
        let many: Vec<(&str, u64)> = many.iter().map(|(path, n)| (path.as_str(), *n)).collect();
        let cases: [Case<'_>; 10] = [
            (&[("a.py", 1), ("data/x", 31 * MB)], &[]),
            (&[("a.py", 1), ("data/x", 32 * MB)], &["data"]),
            // A large file beside the code stays beside it.
            (&[("a.py", 1), ("model.pt", 99 * MB)], &[]),
            (
                &[("src/a.py", MB), ("data/x", 40 * MB), ("w/y", 5 * MB)],
                &["data", "w"],
            ),
            // Each folder of a large one that is large enough, and the rest of it by itself.
            (
                &[
                    ("data/a/1", 20 * MB),
                    ("data/b/1", 20 * MB),
                    ("data/c", 5 * MB),
                    ("x", 1),
                ],
                &["data", "data/a", "data/b"],
            ),
            // What is left of a folder is too little for a layer.
            (&[("data/a/1", 40 * MB), ("data/README", 1)], &["data/a"]),
            (&[("a/b/c/d/1", 40 * MB)], &["a/b/c/d"]),
            // A name that no history can hold.
            (&[("my data/x", 40 * MB), ("a\u{1b}/x", 40 * MB)], &[]),
            (&[], &[]),
            (&many, &["d13", "d14", "d15", "d16", "d17", "d18", "d19"]),
        ];
        for (files, expected) in cases {
            let files = files.iter().map(|(path, bytes)| (path.as_bytes(), *bytes));
            assert_eq!(Parts::of(files, MOST).folders(), expected);
        }
    }

    #[test]
    fn an_image_without_room_has_fewer() {
        let files = [("a/x", 40 * MB), ("b/x", 41 * MB), ("c/x", 42 * MB)];
        let of =
            |most| Parts::of(files.map(|(path, bytes)| (path.as_bytes(), bytes)), most).folders;
        assert_eq!(of(3), ["b", "c"]);
        assert!(of(1).is_empty() && of(0).is_empty());
    }

    #[test]
    fn an_entry_is_in_the_innermost_folder() {
        let parts = Parts {
            folders: ["data".to_owned(), "data/a".to_owned()].into(),
        };
        for (path, expected) in [
            ("data", Some("data")),
            ("data/x", Some("data")),
            ("data/ab/x", Some("data")),
            ("data/a", Some("data/a")),
            ("data/a/x/y", Some("data/a")),
            ("database/x", None),
            ("x", None),
        ] {
            assert_eq!(parts.of_entry(path.as_bytes()), expected, "{path}");
        }
        let has = |path: &str| parts.has("data/a", path.as_bytes());
        assert!(has("data") && has("data/a") && has("data/a/b"));
        assert!(!has("dat") && !has("data/b") && !has("data/ab"));
    }
}
