//! The folder of searches for packages: what each found, by the name of its question; what the next one is
//! told of them, and how they go.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use mlbuild_manifests::lock::Pins;
use mlbuild_templates::tables::bases;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::env_vars;
use crate::package_store::Store;

/// More than the pins of thousands of packages take, in bytes.
const MOST_BYTES: u64 = 16 << 20;

/// Searches that are kept.
const MOST_KEPT: usize = 500;

/// Searches that a further one is told of.
const MOST_TOLD: usize = 20;

/// What a search found.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptSearch {
    /// When it was asked, in seconds since 1970-01-01.
    pub(super) at: i64,
    /// When the newest Debian package was made, in the same.
    pub(super) newest: i64,
    pub(super) pins: Pins,
    /// The base that it was asked in, with its digest.
    #[serde(default)]
    pub(super) base: String,
    #[serde(default)]
    pub(super) platform: String,
    /// Whether the base alone has every library that the packages look for.
    #[serde(default)]
    pub(super) has_libraries: bool,
}

/// Wheels of earlier searches in one base, which a further search needn't give back.
pub(super) struct KnownWheels(Vec<KeptSearch>);

impl KnownWheels {
    /// A line for each search: `all` where no library was lacking, else `some`, and the hashes of its wheels.
    pub(super) fn as_text(&self) -> String {
        let line = |search: &KeptSearch| {
            let libraries = if search.has_libraries { "all" } else { "some" };
            let hashes: Vec<&str> = search.wheels().collect();
            format!("{libraries} {}\n", hashes.join(" "))
        };
        self.0.iter().map(line).collect()
    }

    /// The wheel of the uv that is used now: its name in a question, and its content, which is checked.
    pub(super) fn uv(&self, store: &Store) -> Option<(String, Vec<u8>)> {
        let used = self.0.iter().filter_map(|search| search.pins.uv.as_ref());
        let mut used = used.filter(|uv| uv.version == bases().uv);
        let uv = used.next()?;
        let wheel = std::fs::read(store.path(&uv.sha256)).ok()?;
        let is_it = hex::encode(Sha256::digest(&wheel)) == uv.sha256;
        is_it.then(|| (format!("uv/{}", uv.file), wheel))
    }

    /// The wheels of those that lacked no library, by their hashes.
    pub(super) fn complete(&self) -> Vec<BTreeSet<String>> {
        let complete = self.0.iter().filter(|search| search.has_libraries);
        let wheels = |search: &KeptSearch| {
            let packages = search.pins.python_packages.iter();
            let wheels = packages.filter(|file| !file.source && !file.build_only);
            wheels.map(|file| file.sha256.clone()).collect()
        };
        complete.map(wheels).collect()
    }

    /// The hashes of all wheels, hex.
    pub(super) fn hashes(&self) -> BTreeSet<String> {
        let all = self.0.iter().flat_map(KeptSearch::wheels);
        all.map(str::to_owned).collect()
    }
}

impl KeptSearch {
    fn wheels(&self) -> impl Iterator<Item = &str> {
        let packages = self.pins.python_packages.iter();
        let wheels = packages.filter(|file| !file.source && !file.build_only);
        let wheels = wheels.chain(&self.pins.uv);
        wheels.map(|file| file.sha256.as_str())
    }
}

/// The wheels of the latest searches in this very base: it has seen them before, and is told of no others.
pub(super) fn known_wheels(base: &str, platform: &str, store: &Store) -> KnownWheels {
    let folder = env_vars::state_dir().map(|state| state.join("resolved"));
    let files = folder.map(|folder| by_age(&folder)).unwrap_or_default();
    let latest = files.into_iter().rev();
    let searches = latest.filter_map(|(_, file)| read_in(&file, store));
    let is_of_base = |search: &KeptSearch| search.base == base && search.platform == platform;
    KnownWheels(searches.filter(is_of_base).take(MOST_TOLD).collect())
}

/// Without it the packages are looked for again: a folder that can't be written to stops no build.
pub(super) fn keep(file: &Path, found: &KeptSearch) {
    let Some(folder) = file.parent() else { return };
    if std::fs::create_dir_all(folder).is_ok() {
        let text = serde_json::to_vec(found).expect("pins are plain data");
        let _ = mlbuild_manifests::atomic::replace(file, &text);
        forget(folder, MOST_KEPT);
    }
}

/// Removes the oldest searches of more than `most`.
fn forget(folder: &Path, most: usize) {
    let files = by_age(folder);
    let surplus = files.len().saturating_sub(most);
    for (_, file) in files.into_iter().take(surplus) {
        let _ = std::fs::remove_file(file);
    }
}

/// The files of a folder, the oldest first.
fn by_age(folder: &Path) -> Vec<(SystemTime, PathBuf)> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = files
        .filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file.path())))
        .collect();
    files.sort();
    files
}

/// What was found before, as long as its files are all here.
pub(super) fn read(file: &Path) -> Option<KeptSearch> {
    read_in(file, &Store::open().ok()?)
}

fn read_in(file: &Path, store: &Store) -> Option<KeptSearch> {
    let found = parsed(file)?;
    let is_here = |(sha256, size): (&str, u64)| store.has(sha256, size);
    let is_whole = found.pins.files().all(is_here);
    is_whole.then_some(found)
}

fn parsed(file: &Path) -> Option<KeptSearch> {
    if std::fs::metadata(file).ok()?.len() > MOST_BYTES {
        return None;
    }
    let found: KeptSearch = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    found.pins.check().is_ok().then_some(found)
}

/// How many searches went, and how many stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrunedSearches {
    /// Those that went.
    pub removed: usize,
    /// The others.
    pub kept: usize,
}

/// Removes searches that were made before a time, and those that are of no more use: a package of theirs isn't in
/// the store, or is one of `removed`. A dry run removes nothing.
///
/// # Errors
/// A file that can't be removed, with its path.
pub fn prune_searches(
    folder: &Path,
    made_before: Option<SystemTime>,
    removed: &BTreeSet<&str>,
    store: &Store,
    is_dry: bool,
) -> Result<PrunedSearches, (PathBuf, std::io::Error)> {
    let mut pruned = PrunedSearches::default();
    for (made, file) in by_age(folder) {
        let stays = |found: KeptSearch| {
            let mut files = found.pins.files();
            files.all(|(sha256, _)| !removed.contains(sha256))
        };
        let is_old = made_before.is_some_and(|time| made < time);
        if !is_old && read_in(&file, store).is_some_and(stays) {
            pruned.kept += 1;
            continue;
        }
        if !is_dry {
            std::fs::remove_file(&file).map_err(|error| (file, error))?;
        }
        pruned.removed += 1;
    }
    Ok(pruned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_searches_stay_and_damaged_ones_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let start = std::time::SystemTime::UNIX_EPOCH;
        for n in 0..5 {
            let file = std::fs::File::create(folder.path().join(n.to_string())).unwrap();
            let age = std::time::Duration::from_secs(10 - n);
            file.set_modified(start + age).unwrap();
        }
        forget(folder.path(), 2);
        let mut left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["0", "1"]);
        let file = folder.path().join("0");
        for damaged in [
            "",
            "{}",
            "[1]",
            r#"{"at": 1, "newest": 0, "pins": {"python_packages": [{"name": "../x"}]}}"#,
        ] {
            std::fs::write(&file, damaged).unwrap();
            assert!(read(&file).is_none(), "{damaged}");
        }
        assert!(read(folder.path()).is_none());
    }

    #[test]
    fn searches_go_with_their_packages_or_by_age_and_tell_of_their_base_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("store")).unwrap();
        let searches = folder.path().join("resolved");
        std::fs::create_dir(&searches).unwrap();
        let search = |name: &str, base: &str, content: &str| {
            let (sha256, size) = store.take(name, content.as_bytes(), None).unwrap();
            let pinned = serde_json::json!({
                "name": name, "version": "1", "file": format!("{name}-1-py3-none-any.whl"),
                "sha256": sha256, "size": size,
            });
            let found = serde_json::json!({
                "at": 1, "newest": 0, "base": base, "platform": "linux/amd64", "has_libraries": true,
                "pins": {"python_packages": [pinned]},
            });
            std::fs::write(searches.join(name), found.to_string()).unwrap();
            sha256
        };
        let (here, gone, other) = (
            search("here", "a", "1"),
            search("gone", "a", "2"),
            search("other", "b", "3"),
        );
        std::fs::remove_file(store.path(&gone)).unwrap();
        std::fs::write(searches.join("damaged"), "{").unwrap();
        let files = by_age(&searches).into_iter();
        let all = files.filter_map(|(_, file)| read_in(&file, &store));
        let known = KnownWheels(all.filter(|search| search.base == "a").collect());
        assert_eq!(known.as_text(), format!("all {here}\n"));
        assert_eq!(known.hashes(), BTreeSet::from([here]));

        let prune = |time, removed: &[&str], is_dry| {
            let removed = removed.iter().copied().collect();
            let pruned = prune_searches(&searches, time, &removed, &store, is_dry).unwrap();
            (pruned.removed, pruned.kept)
        };
        assert_eq!(prune(None, &[], true), (2, 2));
        assert_eq!(prune(None, &[&other], true), (3, 1));
        assert_eq!(prune(None, &[], false), (2, 2));
        let now = SystemTime::now() + std::time::Duration::from_secs(9);
        assert_eq!(prune(Some(now), &[], false), (2, 0));
        assert_eq!(prune(None, &[], false), (0, 0));
    }
}
