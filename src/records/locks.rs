//! The lock's entry that a run was started with: today's lock may hold another one.

use std::path::Path;

use mlbuild_manifests::lock::{FILE_NAME, LockedImage};
use mlbuild_manifests::{LockFile, RunRecord};
use oci_spec::image::Digest;

use super::git::Git;

/// The entry whose checksum a record holds: from the project's lock as it is, else from the
/// history that git has of it. `None`: neither has it.
pub fn entry_of(record: &RunRecord, project: &Path) -> Option<LockedImage> {
    let checksum = record.lock.as_ref()?;
    let path = project.join(FILE_NAME);
    if let Some(entry) = LockFile::load(&path)
        .ok()
        .and_then(|lock| find(&lock, checksum))
    {
        return Some(entry);
    }
    let git = Git::at(project);
    let at_run = record.git.as_ref().and_then(|git| git.commit.clone());
    let committed_later = git.text(&[
        "log",
        "--all",
        "--format=%H",
        &format!("-S{checksum}"),
        "--",
        FILE_NAME,
    ]);
    let later = committed_later.unwrap_or_default();
    let commits = at_run.into_iter().chain(later.lines().map(str::to_owned));
    let mut entries = commits.filter_map(|commit| {
        let text = git
            .text(&["show", &format!("{commit}:./{FILE_NAME}")])
            .ok()?;
        find(&LockFile::parse(&text, &path).ok()?, checksum)
    });
    entries.next()
}

/// True if the entry is the one with this checksum.
pub fn has_checksum(entry: &LockedImage, checksum: &Digest) -> bool {
    let mut lock = LockFile::default();
    lock.insert(entry.clone());
    lock.checksum(&entry.key()).as_ref() == Some(checksum)
}

fn find(lock: &LockFile, checksum: &Digest) -> Option<LockedImage> {
    let has = |entry: &&LockedImage| lock.checksum(&entry.key()).as_ref() == Some(checksum);
    lock.images().find(has).cloned()
}
