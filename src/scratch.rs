//! The one owner of temporary things: a folder of this process, in the folder for caches.
//!
//! It is locked as long as the process lives, however that ends; whoever starts next removes the folders
//! whose lock is free. All that is made as a temporary file or folder without a place of its own lies in
//! it. Where the folder for caches can't be written to, caches are kept for this process only, among
//! its temporary things.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use mlbuild_manifests::atomic;

use crate::env_vars;

/// In the folder for caches: a folder for each process.
const FOLDER: &str = "tmp";
/// In a process's folder: the file that it holds locked.
const LOCK: &str = "lock";
/// Room that a cache needs at least. Bytes.
const LEAST: usize = 16 << 10;
/// Where packed images lay before temporary things had an owner.
const PACKING: &str = "packing";
/// After so long without a change nobody works in such a folder.
const AT_REST: Duration = Duration::from_secs(24 * 3600);

/// The temporary folder of this process. It goes with the value.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    _lock: File,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What a killed process left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The folder, or file.
    pub path: PathBuf,
    /// What it holds, in bytes.
    pub size: u64,
}

/// Makes this process's temporary folder, and removes what others left if `sweeps` is set. Gives why
/// caches can't be kept, where that is so. `None` where there is nowhere to put temporary things.
pub fn begin(sweeps: bool) -> (Option<Scratch>, Option<String>) {
    let Some(state) = env_vars::state_dir() else {
        return (elsewhere(), None);
    };
    match Scratch::in_state(&state) {
        Ok(scratch) => {
            if sweeps {
                sweep(&state);
            }
            let _ = tempfile::env::override_temp_dir(&scratch.folder);
            (Some(scratch), None)
        }
        Err(error) => {
            let why = format!("{}: {error}", state.display());
            (elsewhere(), Some(why))
        }
    }
}

/// A temporary folder where the system has them; caches lie in it, too.
fn elsewhere() -> Option<Scratch> {
    let folder = tempfile::Builder::new().prefix("mlbuild-").tempdir().ok()?;
    let lock = File::create(folder.path().join(LOCK)).ok()?;
    let scratch = Scratch {
        folder: folder.keep(),
        _lock: lock,
    };
    let _ = tempfile::env::override_temp_dir(&scratch.folder);
    env_vars::keep_caches_in(scratch.folder.join("caches"));
    Some(scratch)
}

impl Scratch {
    fn in_state(state: &Path) -> io::Result<Self> {
        let all = state.join(FOLDER);
        fs::create_dir_all(&all)?;
        // Nobody sweeps between a folder and its lock.
        let _quiet = hold(&all)?;
        let folder = tempfile::Builder::new().prefix("p").tempdir_in(&all)?;
        let mut lock = File::create(folder.path().join(LOCK))?;
        lock.try_lock().or_else(|error| match error {
            TryLockError::Error(error) => Err(error),
            TryLockError::WouldBlock => Ok(()),
        })?;
        check_room(&mut lock)?;
        Ok(Self {
            folder: folder.keep(),
            _lock: lock,
        })
    }
}

/// Sees whether a full disk has room for a cache. A file system that can't reserve room says so only when
/// it writes to the disk, which takes some milliseconds.
fn check_room(file: &mut File) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(&*file, FallocateFlags::empty(), 0, LEAST as u64) {
        Ok(()) => {}
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            file.write_all(&[b'\n'; LEAST])?;
            file.sync_data()?;
        }
        Err(error) => return Err(error.into()),
    }
    file.set_len(0)
}

/// Holds off others who make or remove temporary folders.
fn hold(all: &Path) -> io::Result<File> {
    let file = File::open(all)?;
    file.lock()?;
    Ok(file)
}

/// What killed processes left in the folder for caches.
pub fn leftovers(state: &Path) -> Vec<Leftover> {
    let all = state.join(FOLDER);
    let mut found: Vec<PathBuf> = entries(&all)
        .into_iter()
        .filter(|folder| is_free(&folder.join(LOCK)))
        .collect();
    found.extend(
        entries(&state.join(PACKING))
            .into_iter()
            .filter(|p| is_at_rest(p)),
    );
    for (folder, is_left) in KEPT {
        let all = entries(&state.join(folder)).into_iter();
        found.extend(all.filter(|path| is_left(path)));
    }
    let mut found: Vec<Leftover> = found
        .into_iter()
        .map(|path| Leftover {
            size: size(&path),
            path,
        })
        .collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Removes what killed processes left; gives what that was.
pub fn sweep(state: &Path) -> Vec<Leftover> {
    // Whoever makes a folder at this moment sweeps, too.
    let Ok(all) = File::open(state.join(FOLDER)) else {
        return Vec::new();
    };
    if all.try_lock().is_err() {
        return Vec::new();
    }
    let mut left = leftovers(state);
    left.retain(|left| {
        let removed = if left.path.is_dir() {
            remove_folder(&left.path)
        } else {
            fs::remove_file(&left.path)
        };
        removed.is_ok()
    });
    left
}

/// Removes a folder, also where a program that a killed process had started still writes into it.
fn remove_folder(folder: &Path) -> io::Result<()> {
    const TRIES: u32 = 3;
    for _ in 1..TRIES {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            done => return done,
        }
    }
    fs::remove_dir_all(folder)
}

/// Whether a path of a cache's folder is something that a killed process left.
type IsLeft = fn(&Path) -> bool;

/// Folders of caches whose files are written beside their places.
const KEPT: [(&str, IsLeft); 12] = [
    ("contexts", |path| {
        has_prefix(path, ".hashes-") && is_at_rest(path)
    }),
    ("inputs/sha256", is_abandoned),
    ("inputs/views", is_abandoned),
    ("inputs/locks", is_temporary),
    // What the layers' store left before it wrote among a process's temporary things.
    ("layers/blobs", is_abandoned),
    ("layers/bytecode", is_abandoned),
    ("layers/index", is_temporary),
    ("images", is_unfinished),
    ("packed", is_unfinished),
    ("looks", is_unfinished),
    ("trust", is_unfinished),
    // The file of an agent that was killed: it says so to whoever wants its name.
    ("agents", |path| is_free(path) && is_at_rest(path)),
];

/// What a store of packages or layers writes until it is whole.
fn is_abandoned(path: &Path) -> bool {
    has_prefix(path, ".new-") && is_at_rest(path)
}

/// A file under the name that `tempfile` gives by itself.
fn is_temporary(path: &Path) -> bool {
    has_prefix(path, ".tmp") && is_at_rest(path)
}

fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    atomic::is_unfinished(name.as_encoded_bytes()) && is_free(path)
}

fn has_prefix(path: &Path, prefix: &str) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(prefix.as_bytes())
}

/// True where nobody holds the lock of a file; a file that isn't there is nobody's.
fn is_free(lock: &Path) -> bool {
    match File::open(lock) {
        Ok(file) => file.try_lock().is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn is_at_rest(path: &Path) -> bool {
    let changed = fs::symlink_metadata(path).and_then(|meta| meta.modified());
    changed.is_ok_and(|changed| {
        let age = SystemTime::now().duration_since(changed);
        age.is_ok_and(|age| age > AT_REST)
    })
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.path()).collect()
}

/// What a path holds, in bytes. Links count as themselves.
fn size(path: &Path) -> u64 {
    let (mut total, mut waiting) = (0, vec![path.to_owned()]);
    while let Some(path) = waiting.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else {
            continue;
        };
        if meta.is_dir() {
            waiting.extend(entries(&path));
        } else {
            total += meta.len();
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_process_or_at_the_next_start() {
        let state = tempfile::tempdir().unwrap();
        let mine = Scratch::in_state(state.path()).unwrap();
        let killed = Scratch::in_state(state.path()).unwrap();
        fs::write(killed.folder.join("layer"), [0; 1000]).unwrap();
        assert_eq!(leftovers(state.path()), []);
        let folder = killed.folder.clone();
        // As the system does it: the lock goes, and nothing else.
        let Scratch { _lock, .. } = &killed;
        _lock.unlock().unwrap();
        std::mem::forget(killed);
        let left = leftovers(state.path());
        assert_eq!(left.len(), 1);
        assert_eq!(
            (left[0].path.as_path(), left[0].size),
            (folder.as_path(), 1000)
        );
        assert_eq!(sweep(state.path()), left);
        assert!(!folder.exists() && mine.folder.exists());
        drop(mine);
        assert_eq!(fs::read_dir(state.path().join(FOLDER)).unwrap().count(), 0);
    }
}
