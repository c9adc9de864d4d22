//! Changing a lock file while others may want to.

use std::fs::File;
use std::io;
use std::path::Path;

use super::{LockError, LockFile};
use crate::atomic;

pub(super) fn update<T>(
    path: &Path,
    change: impl FnOnce(&mut LockFile) -> T,
) -> Result<T, LockError> {
    let fail = |source| LockError::Write {
        path: path.to_path_buf(),
        source,
    };
    let _guard = guard(path).map_err(fail)?;
    let mut lock = LockFile::load(path)?;
    let before = lock.clone();
    let value = change(&mut lock);
    if lock != before || !path.exists() {
        atomic::replace(path, lock.to_toml().as_bytes()).map_err(fail)?;
    }
    Ok(value)
}

/// Holds off other writers until dropped. The lock is taken on the *folder*: the file
/// itself is replaced by each writer, and a second file would lie about in the user's
/// repository. File systems that can't lock a folder (NFS) get that second file.
fn guard(path: &Path) -> io::Result<File> {
    let folder = atomic::folder_of(path);
    let handle = File::open(&folder)?;
    if handle.lock().is_ok() {
        return Ok(handle);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.guard"));
    let handle = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(beside)?;
    handle.lock()?;
    Ok(handle)
}
