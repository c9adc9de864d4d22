//! Whether an agent of this machine still lives: each holds a file locked for as long as its process is
//! there. One that was killed leaves the file behind, and the lock is free.

use std::fs::{self, File, TryLockError};
use std::path::PathBuf;

use mlbuild_manifests::RunId;

use crate::env_vars;

/// The folder of these files, below that for caches.
const FOLDER: &str = "agents";

/// The file of this agent. It goes with the value.
pub(super) struct Alive {
    path: PathBuf,
    _lock: File,
}

impl Alive {
    /// The file of a session, locked. `None` where there is nowhere to put it: then the agent's name is free
    /// once its lease has run out, as on other machines.
    pub(super) fn of(session: &str) -> Option<Self> {
        let path = path(session)?;
        fs::create_dir_all(path.parent()?).ok()?;
        let lock = File::create(&path).ok()?;
        lock.try_lock().ok()?;
        Some(Self { path, _lock: lock })
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// True where a session is known to have been of a process of this machine that is gone.
pub(super) fn is_gone(session: &str) -> bool {
    let Some(file) = path(session).and_then(|path| File::open(path).ok()) else {
        return false;
    };
    // Some file systems know no locks; there nothing is known.
    !matches!(
        file.try_lock(),
        Err(TryLockError::WouldBlock | TryLockError::Error(_))
    )
}

fn path(session: &str) -> Option<PathBuf> {
    // It comes from the store, to which others write.
    let id: RunId = session.parse().ok()?;
    Some(env_vars::state_dir()?.join(FOLDER).join(id.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_left_a_file_that_nobody_holds_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("01J");
        let held = File::create(&path).unwrap();
        held.lock().unwrap();
        let alive = Alive {
            path: path.clone(),
            _lock: held,
        };
        let free = || File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
        assert!(!free());
        alive._lock.unlock().unwrap();
        assert!(free());
        drop(alive);
        assert!(!path.exists());
        for session in ["", "../01J", "never-there"] {
            assert!(!is_gone(session), "{session}");
        }
    }
}
