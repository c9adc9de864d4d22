//! Removing packages that nobody needs: which locks need which, who used them last, what goes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{File, FileTimes, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use mlbuild_manifests::atomic::workshop;
use sha2::{Digest as _, Sha256};

use super::store::{Store, StoreError};

/// What is to go.
#[derive(Debug, Clone, Default)]
pub struct Prune {
    /// Only what nobody has used since.
    pub unused_since: Option<SystemTime>,
    /// No more than it takes for the rest to have at most this many bytes, the longest unused first.
    pub keep_size: Option<u64>,
    /// Hashes that stay.
    pub needed: BTreeSet<String>,
}

/// A file of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its hash.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    used: SystemTime,
    inode: u64,
}

/// What goes, and what stays.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// The longest unused first.
    pub removed: Vec<Kept>,
    /// The rest.
    pub kept: Vec<Kept>,
}

impl Prune {
    fn choose(&self, mut files: Vec<Kept>) -> Choice {
        files.sort_by(|a, b| (a.used, &a.sha256).cmp(&(b.used, &b.sha256)));
        let mut left: u64 = files.iter().map(|file| file.size).sum();
        let mut choice = Choice::default();
        for file in files {
            let goes = !self.needed.contains(&file.sha256)
                && self.unused_since.is_none_or(|time| file.used < time)
                && self.keep_size.is_none_or(|size| left > size);
            if goes {
                left -= file.size;
                choice.removed.push(file);
            } else {
                choice.kept.push(file);
            }
        }
        choice
    }
}

impl Store {
    /// Remembers that a lock needs files of this store.
    ///
    /// # Errors
    /// Where that can't be written.
    pub fn serves(&self, lock: &Path) -> Result<(), StoreError> {
        let lock = std::path::absolute(lock).map_err(StoreError::io(lock))?;
        let path = lock.as_os_str().as_bytes();
        let folder = self.root.join("locks");
        let note = folder.join(&hex::encode(Sha256::digest(path))[..32]);
        if note.exists() {
            return Ok(());
        }
        let fail = StoreError::io(&note);
        let mut file = tempfile::NamedTempFile::new_in(workshop(&folder)).map_err(&fail)?;
        io::Write::write_all(&mut file, path).map_err(&fail)?;
        file.persist(&note).map_err(|error| fail(error.error))?;
        Ok(())
    }

    /// The locks that were served. Some may be gone.
    ///
    /// # Errors
    /// Where they can't be read.
    pub fn served(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut locks = Vec::new();
        for path in entries(&self.root.join("locks"))? {
            let name = std::fs::read(&path).map_err(StoreError::io(&path))?;
            locks.push(OsStr::from_bytes(&name).into());
        }
        locks.sort();
        Ok(locks)
    }

    /// Remembers that a file is used now. Its time of change stays, which says whether it is intact.
    pub(super) fn touch(&self, sha256: &str) {
        let now = FileTimes::new().set_accessed(SystemTime::now());
        // Of a file that isn't this user's: then somebody else looks after the store.
        let _ = File::open(self.path(sha256)).and_then(|file| file.set_times(now));
    }

    /// Keeps everybody else out, for as long as there is a store.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while a build uses it.
    pub fn alone(self) -> Result<Self, StoreError> {
        match self.in_use.try_lock() {
            Ok(()) => Ok(self),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(self.root)),
            Err(TryLockError::Error(error)) => Err(StoreError::io(&self.root)(error)),
        }
    }

    /// What [`Store::prune`] would remove.
    ///
    /// # Errors
    /// Where the store can't be read.
    pub fn choose(&self, prune: &Prune) -> Result<Choice, StoreError> {
        Ok(prune.choose(self.all()?))
    }

    /// Removes files of a store that is [`Store::alone`].
    ///
    /// # Errors
    /// Where a file can't be removed.
    pub fn prune(&self, prune: &Prune) -> Result<Choice, StoreError> {
        let choice = self.choose(prune)?;
        let kept: BTreeSet<u64> = choice.kept.iter().map(|file| file.inode).collect();
        // They hold the same files.
        for view in entries(&self.root.join("views"))? {
            if is_left_over(&view) || !holds_only(&view.join("files"), &kept)? {
                std::fs::remove_dir_all(&view).map_err(StoreError::io(&view))?;
            }
        }
        for file in &choice.removed {
            let _ = std::fs::remove_file(self.note_path(&file.sha256));
        }
        let left_over = entries(&self.root.join("sha256"))?.into_iter();
        let removed = choice.removed.iter().map(|file| self.path(&file.sha256));
        for path in removed.chain(left_over.filter(|path| is_left_over(path))) {
            std::fs::remove_file(&path).map_err(StoreError::io(&path))?;
        }
        Ok(choice)
    }

    fn all(&self) -> Result<Vec<Kept>, StoreError> {
        let mut files = Vec::new();
        for path in entries(&self.root.join("sha256"))? {
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            let fail = StoreError::io(&path);
            let meta = std::fs::metadata(&path).map_err(&fail)?;
            if is_left_over(&path) || !meta.is_file() {
                continue;
            }
            let (read, made) = (meta.accessed(), meta.modified());
            let used = made.and_then(|made| Ok(made.max(read?))).map_err(&fail)?;
            files.push(Kept {
                sha256: name.to_owned(),
                size: meta.len(),
                used,
                inode: meta.ino(),
            });
        }
        Ok(files)
    }
}

/// True for what a killed mlbuild left.
fn is_left_over(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_bytes().starts_with(b".new-")
}

/// True if all packages in a view are these files.
fn holds_only(files: &Path, kept: &BTreeSet<u64>) -> Result<bool, StoreError> {
    for folder in ["apt/debs", "python/uv", "python/wheels"] {
        for path in entries(&files.join(folder))? {
            let meta = std::fs::symlink_metadata(&path).map_err(StoreError::io(&path))?;
            if !kept.contains(&meta.ino()) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// What is in a folder; nothing where there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let fail = StoreError::io(folder);
    let listed = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(&fail)?,
    };
    let paths = listed.map(|entry| Ok(entry?.path()));
    paths.collect::<io::Result<_>>().map_err(&fail)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Three files of 10 bytes, used 3, 2 and 1 hours ago.
    fn files() -> Vec<Kept> {
        let file = |hours: u64| Kept {
            sha256: hours.to_string(),
            size: 10,
            used: SystemTime::now() - Duration::from_secs(hours * 3600),
            inode: hours,
        };
        [2, 1, 3].map(file).into()
    }

    fn removed(prune: &Prune) -> String {
        let choice = prune.choose(files());
        assert_eq!(choice.removed.len() + choice.kept.len(), 3);
        let names = choice.removed.iter().map(|file| file.sha256.as_str());
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_longest_unused_goes_first_and_only_as_many_as_must() {
        let size = |keep_size| Prune {
            keep_size: Some(keep_size),
            ..Prune::default()
        };
        assert_eq!(removed(&size(30)), "");
        assert_eq!(removed(&size(29)), "3");
        assert_eq!(removed(&size(10)), "3 2");
        assert_eq!(removed(&size(0)), "3 2 1");
    }

    #[test]
    fn what_is_needed_or_in_use_stays() {
        let needed = BTreeSet::from(["3".to_owned()]);
        let prune = Prune {
            needed,
            ..Prune::default()
        };
        assert_eq!(removed(&prune), "2 1");
        let hours = Duration::from_secs(90 * 60);
        let prune = Prune {
            unused_since: Some(SystemTime::now() - hours),
            keep_size: Some(15),
            ..prune
        };
        assert_eq!(removed(&prune), "2");
    }

    #[test]
    fn nothing_goes_while_another_uses_the_store() {
        let top = tempfile::tempdir().unwrap();
        let open = || Store::at(top.path().join("inputs")).unwrap();
        let user = open();
        let (sha256, _) = user.take("a.deb", &b"content"[..], None).unwrap();
        let all = Prune::default();
        assert!(matches!(open().alone(), Err(StoreError::InUse(_))));
        assert_eq!(open().choose(&all).unwrap().removed.len(), 1);
        assert!(user.has(&sha256, 7));
        drop(user);
        let removed = open().alone().unwrap().prune(&all).unwrap().removed;
        assert_eq!(removed.len(), 1);
        assert!(!open().has(&sha256, 7));
    }

    #[test]
    fn a_lock_is_remembered_by_its_path() {
        let top = tempfile::tempdir().unwrap();
        let store = Store::at(top.path().join("inputs")).unwrap();
        for name in ["/b/mlbuild.lock", "/a/mlbuild.lock", "/b/mlbuild.lock"] {
            store.serves(Path::new(name)).unwrap();
        }
        let found = store.served().unwrap();
        assert_eq!(
            found,
            ["/a/mlbuild.lock", "/b/mlbuild.lock"].map(PathBuf::from)
        );
    }
}
