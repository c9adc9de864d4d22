//! Changing a lock file while others may want to.

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
    let _guard = atomic::guard(path).map_err(fail)?;
    let mut lock = LockFile::load(path)?;
    let before = lock.clone();
    let value = change(&mut lock);
    if lock != before || !path.exists() {
        atomic::replace_name(path, lock.to_toml().as_bytes()).map_err(fail)?;
    }
    Ok(value)
}
