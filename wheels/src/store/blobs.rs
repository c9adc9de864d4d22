//! The blobs of a store: kept whole, removed by age.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use oci_spec::image::Digest;
use tempfile::NamedTempFile;

/// What was used in this time may be on its way to a registry by this very process.
const RECENT: Duration = Duration::from_secs(6 * 60 * 60);

/// The folder of layers.
pub(super) const BLOBS: &str = "blobs";
/// The folder of bytecode.
pub(super) const BYTECODE: &str = "bytecode";

/// The name of a blob's file.
pub(super) fn name(digest: &Digest) -> String {
    digest.digest().to_owned()
}

/// A file without a place yet.
pub(super) fn new_in(folder: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(".new-").tempfile_in(folder)
}

/// Gives a file its name, readable for whoever shares the store.
pub(super) fn keep(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file()
        .set_permissions(Permissions::from_mode(0o644))?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Notes that a blob is used. A store that can't be written doesn't remember.
pub(super) fn touch(path: &Path) {
    if let Ok(file) = File::options().append(true).open(path) {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Removes the blobs used longest ago, until the others have at most `most` bytes.
pub(super) fn evict(root: &Path, most: u64) {
    let mut blobs = all(root);
    blobs.sort();
    let mut size: u64 = blobs.iter().map(|(_, size, _)| size).sum();
    for (_, bytes, path) in blobs {
        if size <= most {
            return;
        }
        if std::fs::remove_file(path).is_ok() {
            size -= bytes;
        }
    }
}

/// Removes what wasn't used recently; true if that was anything.
pub(super) fn evict_old(root: &Path) -> bool {
    let before = SystemTime::now() - RECENT;
    let old = all(root).into_iter().filter(|(used, _, _)| *used < before);
    let gone = old.filter(|(_, _, path)| std::fs::remove_file(path).is_ok());
    gone.count() > 0
}

/// When each blob and each file of bytecode was used, its size and its path; files that a killed
/// process left are as old as can be.
pub(super) fn all(root: &Path) -> Vec<(SystemTime, u64, PathBuf)> {
    let folders = [BLOBS, BYTECODE].map(|name| std::fs::read_dir(root.join(name)));
    let entries = folders.into_iter().flatten().flatten().flatten();
    let blobs = entries.filter_map(|entry| {
        let meta = entry.metadata().ok()?;
        let is_left = entry.file_name().to_string_lossy().starts_with('.');
        let used = if is_left {
            SystemTime::UNIX_EPOCH
        } else {
            meta.modified().ok()?
        };
        meta.is_file().then(|| (used, meta.len(), entry.path()))
    });
    blobs.collect()
}
