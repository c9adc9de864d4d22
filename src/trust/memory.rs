//! What was agreed to, per folder: hashes of the wishes, in mlbuild's own state folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

fn file(folder: &Path) -> Option<PathBuf> {
    let name = hex::encode(Sha256::digest(folder.as_os_str().as_encoded_bytes()));
    Some(crate::env_vars::state_dir()?.join("trust").join(name))
}

/// Whether a folder holds the code of a queue's job.
pub(super) fn is_of_job(folder: &Path) -> bool {
    let jobs = crate::env_vars::state_dir().map(|state| state.join("jobs"));
    let jobs = jobs.and_then(|jobs| jobs.canonicalize().ok());
    jobs.is_some_and(|jobs| folder.starts_with(jobs))
}

/// A wish as it is remembered.
pub(super) fn mark(wish: &str) -> String {
    hex::encode(Sha256::digest(wish))
}

/// What was agreed to in a folder.
pub(super) fn known(folder: &Path) -> BTreeSet<String> {
    let text = file(folder).and_then(|file| std::fs::read_to_string(file).ok());
    let text = text.unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Keeps an agreement; false where it can't be kept.
pub(super) fn remember(folder: &Path, wishes: &[String]) -> bool {
    let Some(file) = file(folder) else {
        return false;
    };
    let mut marks = known(folder);
    marks.extend(wishes.iter().map(|wish| mark(wish)));
    let text: String = marks.iter().map(|mark| format!("{mark}\n")).collect();
    let parent = file.parent().expect("a file in a folder");
    std::fs::create_dir_all(parent).is_ok()
        && mlbuild_manifests::atomic::replace(&file, text.as_bytes()).is_ok()
}
