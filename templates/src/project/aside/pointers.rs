//! Files that git LFS keeps elsewhere: where they aren't fetched, a few lines stand in their place, which a program
//! can't read.

use std::path::Path;

/// Most files and folders that are looked at.
const MOST_LOOKED_AT: usize = 20_000;

/// Folders below the project, one inside the other, that are looked into.
const DEEPEST: usize = 8;

/// What a pointer begins with, and the most bytes that one has.
const BEGIN: &[u8] = b"version https://git-lfs.github.com/spec/";
const LARGEST: u64 = 1024;

/// Files of the project that are pointers, as far as it is looked through: the first, and how many there are.
/// Only where a `.gitattributes` speaks of LFS.
pub(in crate::project) fn of_lfs(folder: &Path) -> Option<(String, usize)> {
    let attributes = super::text_of(folder, ".gitattributes").ok()?;
    if !attributes.contains("filter=lfs") {
        return None;
    }
    let mut found: Vec<String> = Vec::new();
    let mut left = MOST_LOOKED_AT;
    let mut open = vec![(String::new(), 0_usize)];
    while let Some((inner, level)) = open.pop() {
        let entries = std::fs::read_dir(folder.join(&inner))
            .into_iter()
            .flatten()
            .flatten();
        for entry in entries {
            if left == 0 {
                break;
            }
            left -= 1;
            let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else {
                continue;
            };
            let path = if inner.is_empty() {
                name.clone()
            } else {
                format!("{inner}/{name}")
            };
            if kind.is_dir() && level < DEEPEST && name != ".git" {
                open.push((path, level + 1));
            } else if kind.is_file() && is_pointer(&entry) {
                found.push(path);
            }
        }
    }
    found.sort();
    let count = found.len();
    found.into_iter().next().map(|first| (first, count))
}

fn is_pointer(entry: &std::fs::DirEntry) -> bool {
    let is_small = entry.metadata().is_ok_and(|found| found.len() <= LARGEST);
    is_small && mlbuild_files::read(&entry.path()).is_ok_and(|bytes| bytes.starts_with(BEGIN))
}
