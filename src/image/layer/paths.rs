//! Which paths a layer may name.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use super::entry::{EntryKind, EntryPath, LayerEntry};

/// Longest path that Linux takes.
const LONGEST: usize = 4096;
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Beginnings of names that a storage driver keeps for itself.
const DRIVER: &[u8] = b".wh..wh.";

/// A path without leading `./`, doubled and trailing slashes. The error says what is wrong
/// with it.
pub(super) fn clean(path: &[u8]) -> Result<EntryPath, &'static str> {
    if path.len() > LONGEST {
        return Err("is longer than any file system takes");
    }
    if path.contains(&0) {
        return Err("has a zero byte in it");
    }
    if path.first() == Some(&b'/') {
        return Err("is absolute");
    }
    let mut clean: Vec<u8> = Vec::with_capacity(path.len());
    for name in path.split(|&b| b == b'/') {
        match name {
            b"" | b"." => continue,
            b".." => return Err("leads out of the image"),
            name => {
                if !clean.is_empty() {
                    clean.push(b'/');
                }
                clean.extend_from_slice(name);
            }
        }
    }
    Ok(EntryPath::checked(clean))
}

/// What a path's last name makes of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A path like any other.
    Plain,
    /// It hides that path in the layers below.
    Hides(EntryKind, EntryPath),
    /// A storage driver's own file, which is no part of the image.
    Driver,
}

/// What a path's last name makes of it. The error says why it can't be.
pub(super) fn meaning(path: &EntryPath) -> Result<Meaning, &'static str> {
    let name = path.name();
    let Some(hidden) = name.strip_prefix(WHITEOUT) else {
        return Ok(Meaning::Plain);
    };
    let bytes = path.as_bytes();
    let folder = &bytes[..bytes.len() - name.len()];
    if name == OPAQUE {
        let folder = folder.strip_suffix(b"/").unwrap_or(folder);
        let folder = EntryPath::checked(folder.to_vec());
        return Ok(Meaning::Hides(EntryKind::Opaque, folder));
    }
    if name.starts_with(DRIVER) {
        return Ok(Meaning::Driver);
    }
    match hidden {
        b"" | b"." | b".." => Err("is a whiteout of nothing"),
        hidden => {
            let hidden = EntryPath::checked([folder, hidden].concat());
            Ok(Meaning::Hides(EntryKind::Whiteout, hidden))
        }
    }
}

/// The path under which an entry stands in the tar.
pub(super) fn written(entry: &LayerEntry) -> Vec<u8> {
    let path = entry.path.as_bytes();
    match entry.kind {
        EntryKind::Folder if path.is_empty() => b"./".to_vec(),
        EntryKind::Folder => [path, b"/"].concat(),
        EntryKind::Opaque if path.is_empty() => OPAQUE.to_vec(),
        EntryKind::Opaque => [path, b"/", OPAQUE].concat(),
        EntryKind::Whiteout => {
            let name = entry.path.name();
            let folder = &path[..path.len() - name.len()];
            [folder, WHITEOUT, name].concat()
        }
        _ => path.to_vec(),
    }
}

/// Remembers the links of a layer, to refuse what would be written through one of them. By hashes with a
/// key of this process, which take a tenth of the paths' room: among a million links no two are the same
/// by chance, and nobody can make two that are.
#[derive(Default)]
pub(super) struct Links {
    hashes: HashSet<u64>,
    key: RandomState,
}

impl Links {
    /// Takes note of an entry. The error says why it can't be.
    pub(super) fn pass(&mut self, entry: &LayerEntry) -> Result<(), &'static str> {
        if !self.hashes.is_empty() {
            if self.is_through(&entry.path) {
                return Err("leads through a symbolic link of the same layer");
            }
            if let (EntryKind::HardLink, Some(link)) = (entry.kind, &entry.link)
                && self.is_through(&EntryPath::checked(link.clone()))
            {
                return Err("is a hard link through a symbolic link of the same layer");
            }
        }
        let hash = self.key.hash_one(entry.path.as_bytes());
        match entry.kind {
            EntryKind::Symlink => drop(self.hashes.insert(hash)),
            // A whiteout is about the layers below.
            EntryKind::Whiteout | EntryKind::Opaque => {}
            _ => drop(self.hashes.remove(&hash)),
        }
        Ok(())
    }

    fn is_through(&self, path: &EntryPath) -> bool {
        let mut above = path.ancestors();
        above.any(|folder| self.hashes.contains(&self.key.hash_one(folder)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_or_refused() {
        let clean = |text: &[u8]| clean(text).map(|p| p.to_string());
        assert_eq!(clean(b"./a//b/"), Ok("/a/b".to_owned()));
        assert_eq!(clean(b"./"), Ok("/".to_owned()));
        assert_eq!(clean(b"a/..b/c"), Ok("/a/..b/c".to_owned()));
        assert_eq!(clean(b"/etc/passwd"), Err("is absolute"));
        assert_eq!(clean(b"a/../../b"), Err("leads out of the image"));
        assert_eq!(clean(b".."), Err("leads out of the image"));
        assert_eq!(clean(b"a\0b"), Err("has a zero byte in it"));
        assert!(clean(&[b'a'; 5000]).is_err());
    }

    #[test]
    fn whiteouts_name_what_they_hide() {
        let of = |text: &str| meaning(&EntryPath::from(text));
        let hides = |kind, path: &str| Ok(Meaning::Hides(kind, EntryPath::from(path)));
        assert_eq!(of("a/b"), Ok(Meaning::Plain));
        assert_eq!(of("a/.wh.b"), hides(EntryKind::Whiteout, "a/b"));
        assert_eq!(of("a/.wh..wh..opq"), hides(EntryKind::Opaque, "a"));
        assert_eq!(of(".wh..wh..opq"), hides(EntryKind::Opaque, ""));
        assert_eq!(of(".wh..wh.plnk"), Ok(Meaning::Driver));
        assert_eq!(of("a/.wh..."), Err("is a whiteout of nothing"));
        assert_eq!(of("a/.wh."), Err("is a whiteout of nothing"));
    }

    #[test]
    fn a_tree_is_sorted_as_it_is_walked() {
        let mut paths = ["a-b", "a/b", "a", "", "a/b/c", "a.b"].map(EntryPath::from);
        paths.sort();
        let text: Vec<_> = paths.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["/", "/a", "/a/b", "/a/b/c", "/a-b", "/a.b"]);
        let long = "l".repeat(40);
        let below = EntryPath::from(format!("{long}/b").as_str());
        let beside = EntryPath::from(format!("{long}-b").as_str());
        assert!(EntryPath::from(long.as_str()) < below && below < beside);
    }
}
