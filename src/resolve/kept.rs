//! What stays of uv from one search to the next: its programs, and what indexes answered, which uv asks them to
//! confirm and needn't fetch again.
//!
//! Answers are kept apart for each way to reach indexes, and only where nothing in that way or in the project is
//! a log-in: an index may answer with addresses that are secrets. A search takes them out of their place, works on
//! them among its temporary things, and puts them back: of two searches at once, one begins with nothing, and
//! nothing half-written is ever in the place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use mlbuild_secrets::redact;
use sha2::{Digest as _, Sha256};

use super::ResolveQuestion;
use crate::env_vars;
use crate::host::Hidden;
use crate::package_store::Store;
use crate::plan::HostSetting;

/// Bytes of answers that are kept of one way to reach indexes; those of a usual search are 6 MB.
const MOST_BYTES: u64 = 64 << 20;
/// Ways to reach indexes whose answers are kept.
const MOST_WAYS: usize = 8;
/// What uv keeps of the interpreters that it met: ours is another file each time.
const OF_INTERPRETERS: &str = "interpreter-";

/// The folder of programs.
pub(super) fn programs() -> Option<PathBuf> {
    env_vars::cache_dir().map(|folder| folder.join("programs"))
}

/// The folder of a question's answers; none where they may hold a secret, or there is no place.
pub(super) fn place_of(question: &ResolveQuestion<'_>, uv: &Path) -> Option<PathBuf> {
    let request = question.request;
    let mut files = question
        .files
        .iter()
        .filter(|(_, content)| !is_archive(content));
    let mut asked = request.packages.iter().chain(&request.constraints);
    let has_log_in = question.host.index_has_log_in()
        || files.any(|(_, content)| is_secret(&String::from_utf8_lossy(content)))
        || asked.any(|text| is_secret(text));
    if has_log_in {
        return None;
    }
    let mut way = Sha256::new();
    way.update(uv.file_name()?.as_encoded_bytes());
    for setting in [HostSetting::UvConfig, HostSetting::CaBundle] {
        let content = question.host.files.get(&setting);
        let content = content.map_or(&[][..], |Hidden(content)| content);
        way.update((content.len() as u64).to_le_bytes());
        way.update(content);
    }
    let name = hex::encode(&way.finalize()[..16]);
    Some(env_vars::cache_dir()?.join("index").join(name))
}

fn is_secret(text: &str) -> bool {
    redact(text) != text
}

/// A wheel or source archive of the project (zip, gzip): it says nothing of indexes, and may be of any size.
fn is_archive(content: &[u8]) -> bool {
    content.starts_with(b"PK\x03\x04") || content.starts_with(b"\x1f\x8b")
}

/// Takes the answers out of their place; where there are none, the folder begins empty.
pub(super) fn take(place: &Path, into: &Path) {
    let _ = std::fs::rename(place, into);
}

/// Puts the answers into their place, unless another search was quicker, they are too many, or they can't be.
/// That costs time alone.
pub(super) fn give_back(from: &Path, place: &Path) {
    for entry in entries(from) {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(OF_INTERPRETERS) {
            let _ = std::fs::remove_dir_all(&entry);
        }
    }
    remove_half_written(from);
    let Some(all) = place.parent() else { return };
    if size(from) > MOST_BYTES || std::fs::create_dir_all(all).is_err() {
        return;
    }
    if !place.exists() && std::fs::rename(from, place).is_ok() {
        let now = SystemTime::now();
        let _ = std::fs::File::open(place).and_then(|folder| folder.set_modified(now));
    }
    let mut ways = by_age(all);
    ways.truncate(ways.len().saturating_sub(MOST_WAYS));
    for (_, way) in ways {
        let _ = std::fs::remove_dir_all(way);
    }
}

/// Removes what uv writes before it has its name, wherever it stands.
fn remove_half_written(folder: &Path) {
    for entry in entries(folder) {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        let is_folder = entry.symlink_metadata().is_ok_and(|meta| meta.is_dir());
        match (name.starts_with(".tmp"), is_folder) {
            (true, true) => drop(std::fs::remove_dir_all(&entry)),
            (true, false) => drop(std::fs::remove_file(&entry)),
            (false, true) => remove_half_written(&entry),
            (false, false) => {}
        }
    }
}

/// How much of uv's went, and how much stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrunedTools {
    /// Programs, and ways to indexes whose answers were kept, that went.
    pub removed: usize,
    /// Their bytes.
    pub removed_bytes: u64,
    /// The others.
    pub kept: usize,
    /// Their bytes.
    pub kept_bytes: u64,
}

/// Removes programs whose wheels aren't in the store, or are among `removed`, and answers of indexes that no search
/// has used since a time; without a time, all of them. A dry run removes nothing.
///
/// # Errors
/// What can't be removed, with its path.
pub fn prune_tools(
    unused_since: Option<SystemTime>,
    removed: &BTreeSet<&str>,
    store: &Store,
    is_dry: bool,
) -> Result<PrunedTools, (PathBuf, std::io::Error)> {
    let Some(state) = env_vars::state_dir() else {
        return Ok(PrunedTools::default());
    };
    prune_in(&state, unused_since, removed, store, is_dry)
}

fn prune_in(
    state: &Path,
    unused_since: Option<SystemTime>,
    removed: &BTreeSet<&str>,
    store: &Store,
    is_dry: bool,
) -> Result<PrunedTools, (PathBuf, std::io::Error)> {
    let programs = entries(&state.join("programs")).into_iter().map(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let wheel = name.rsplit('-').next().unwrap_or_default();
        let goes = removed.contains(wheel) || store.size_of(wheel).is_none();
        (path.clone(), goes)
    });
    let answers = by_age(&state.join("index")).into_iter();
    let answers = answers.map(|(used, path)| (path, unused_since.is_none_or(|time| used < time)));
    let mut pruned = PrunedTools::default();
    for (path, goes) in programs.chain(answers) {
        let bytes = size(&path);
        if !goes {
            pruned.kept += 1;
            pruned.kept_bytes += bytes;
            continue;
        }
        if !is_dry {
            let is_folder = path.is_dir();
            let gone = match is_folder {
                true => std::fs::remove_dir_all(&path),
                false => std::fs::remove_file(&path),
            };
            gone.map_err(|error| (path, error))?;
        }
        pruned.removed += 1;
        pruned.removed_bytes += bytes;
    }
    Ok(pruned)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// The entries of a folder, the longest unused first.
fn by_age(folder: &Path) -> Vec<(SystemTime, PathBuf)> {
    let all = entries(folder).into_iter();
    let used = |path: &PathBuf| std::fs::metadata(path).ok()?.modified().ok();
    let mut all: Vec<_> = all.filter_map(|path| Some((used(&path)?, path))).collect();
    all.sort();
    all
}

/// Bytes of a file, or of all that is in a folder. Links aren't followed.
fn size(path: &Path) -> u64 {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => entries(path).iter().map(|entry| size(entry)).sum(),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_out_put_back_bounded_and_pruned() {
        let top = tempfile::tempdir().unwrap();
        let (state, work) = (top.path().join("state"), top.path().join("work"));
        let place = state.join("index/a");
        let search = |files: &[(&str, u64)]| {
            take(&place, &work);
            let began = entries(&work).len();
            for (name, bytes) in files {
                std::fs::create_dir_all(work.join(name)).unwrap();
                let file = std::fs::File::create(work.join(name).join("x")).unwrap();
                file.set_len(*bytes).unwrap();
            }
            give_back(&work, &place);
            let _ = std::fs::remove_dir_all(&work);
            began
        };
        let files = [
            ("simple-v1", 5),
            ("interpreter-v4", 5),
            ("simple-v1/a/.tmpX", 5),
        ];
        assert_eq!(search(&files), 0);
        assert_eq!(search(&[]), 1, "what uv noted of the interpreter is gone");
        // Another search was quicker: what is there stays.
        std::fs::create_dir_all(&work).unwrap();
        give_back(&work, &place);
        assert_eq!(size(&place), 5);
        // Too much: the next search begins anew.
        assert_eq!(search(&[("archive-v0", MOST_BYTES)]), 1);
        assert_eq!(search(&[("simple-v1", 7)]), 0);
        for other in 0..MOST_WAYS + 2 {
            std::fs::create_dir_all(&work).unwrap();
            give_back(&work, &state.join(format!("index/{other}")));
        }
        assert_eq!(entries(&state.join("index")).len(), MOST_WAYS);

        let store = Store::at(state.join("inputs")).unwrap();
        let (wheel, bytes) = store.take("uv.whl", &b"wheel"[..], None).unwrap();
        std::fs::create_dir_all(state.join("programs")).unwrap();
        for name in [wheel.as_str(), "0000"] {
            std::fs::write(state.join(format!("programs/uv-{name}")), "program").unwrap();
        }
        assert_eq!(bytes, 5);
        let prune = |time, removed: &[&str], is_dry| {
            let removed = removed.iter().copied().collect();
            let pruned = prune_in(&state, time, &removed, &store, is_dry).unwrap();
            (pruned.removed, pruned.removed_bytes, pruned.kept)
        };
        let long_ago = Some(SystemTime::UNIX_EPOCH);
        assert_eq!(prune(long_ago, &[], true), (1, 7, 1 + MOST_WAYS));
        assert_eq!(prune(long_ago, &[&wheel], true), (2, 14, MOST_WAYS));
        assert_eq!(prune(None, &[], false), (1 + MOST_WAYS, 7, 1));
        assert_eq!(prune(None, &[&wheel], false), (1, 7, 0));
    }
}
