//! Files by hash. What is in it has been checked once; what comes in is checked on the way.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mlbuild_manifests::atomic::workshop;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::env_vars;
use crate::error::ErrorKind;

/// A folder of files, each named by its SHA-256.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) root: PathBuf,
    /// Locked for as long as there is a store, so that nobody removes what it uses.
    pub(super) in_use: Arc<File>,
}

/// A file that isn't the one that is pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What it is called.
    pub name: String,
    /// The hash that is pinned.
    pub pinned: String,
    /// The hash it has.
    pub found: String,
}

/// Why the store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no place for it.
    #[error("there is no folder to keep packages in: neither MLBUILD_STATE_DIR nor HOME is set")]
    NoFolder,
    /// A file or folder of it can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something is to be removed while a build uses the store.
    #[error("a build uses {}", .0.display())]
    InUse(PathBuf),
    /// A line of a resolver's answer can't be one.
    #[error("{}:{line}: {why}; the base image's own programs, or a source package, wrote it", path.display())]
    Answer {
        /// The file of the answer.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// An answer pins what can't be pinned.
    #[error("{}: {why}; the base image's own programs, or a source package, wrote it", path.display())]
    Pins {
        /// The folder of the answer.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A file isn't what its pin says.
    #[error("{} has sha256:{}, and the lock pins sha256:{}", .0.name, .0.found, .0.pinned)]
    Refused(Refused),
}

impl StoreError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            StoreError::Refused(_) => ErrorKind::Difference,
            _ => ErrorKind::Environment,
        }
    }

    pub(super) fn io(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        move |source| StoreError::Io {
            path: path.to_owned(),
            source,
        }
    }
}

impl Store {
    /// This user's store.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn open() -> Result<Self, StoreError> {
        let root = env_vars::cache_dir().ok_or(StoreError::NoFolder)?;
        Self::at(root.join("inputs"))
    }

    /// A store in a folder.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn at(root: PathBuf) -> Result<Self, StoreError> {
        for folder in ["sha256", "views", "locks"] {
            let folder = root.join(folder);
            std::fs::create_dir_all(&folder).map_err(StoreError::io(&folder))?;
        }
        let in_use = root.join("in-use");
        let in_use = File::create(&in_use).map_err(StoreError::io(&in_use))?;
        // Where a file system has no locks, whoever removes something finds that out.
        let _ = in_use.lock_shared();
        let in_use = Arc::new(in_use);
        Ok(Store { root, in_use })
    }

    /// Where a file of this hash is, or would be.
    pub fn path(&self, sha256: &str) -> PathBuf {
        self.root.join("sha256").join(sha256)
    }

    pub(super) fn views(&self) -> PathBuf {
        self.root.join("views")
    }

    /// True if a file of this hash and size is there.
    pub fn has(&self, sha256: &str, size: u64) -> bool {
        std::fs::metadata(self.path(sha256)).is_ok_and(|meta| meta.is_file() && meta.len() == size)
    }

    /// Bytes of the file of this hash; `None` where there is none.
    pub fn size_of(&self, sha256: &str) -> Option<u64> {
        let meta = std::fs::metadata(self.path(sha256)).ok()?;
        meta.is_file().then_some(meta.len())
    }

    /// What was noted of a file of this hash.
    pub fn note<T: DeserializeOwned>(&self, sha256: &str) -> Option<T> {
        serde_json::from_slice(&std::fs::read(self.note_path(sha256)).ok()?).ok()
    }

    /// Notes what is known of a file of this hash, for the next time. Failing to costs time alone.
    pub fn keep_note(&self, sha256: &str, note: &impl Serialize) {
        let path = self.note_path(sha256);
        let text = serde_json::to_vec(note).expect("notes are plain data");
        let _ = mlbuild_manifests::atomic::replace_soon(&path, &text);
    }

    pub(super) fn note_path(&self, sha256: &str) -> PathBuf {
        self.root.join("notes").join(sha256)
    }

    /// Bytes of a file that is there.
    ///
    /// # Errors
    /// Where it isn't.
    pub(super) fn size(&self, sha256: &str) -> Result<u64, StoreError> {
        let path = self.path(sha256);
        let meta = std::fs::metadata(&path).map_err(StoreError::io(&path))?;
        Ok(meta.len())
    }

    /// Takes a file in, under the hash it has; returns that and its size. `pinned`: the hash it
    /// must have.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where it has another one.
    pub fn take(
        &self,
        name: &str,
        content: impl Read,
        pinned: Option<&str>,
    ) -> Result<(String, u64), StoreError> {
        let folder = self.root.join("sha256");
        let fail = StoreError::io(&folder);
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(workshop(&folder))
            .map_err(&fail)?;
        let (sha256, size) = copy_hashed(content, Some(file.as_file_mut())).map_err(&fail)?;
        if let Some(pinned) = pinned.filter(|pinned| *pinned != sha256) {
            return Err(StoreError::Refused(Refused {
                name: name.to_owned(),
                pinned: pinned.to_owned(),
                found: sha256,
            }));
        }
        let path = self.path(&sha256);
        file.persist(&path)
            .map_err(|error| StoreError::io(&path)(error.error))?;
        Ok((sha256, size))
    }

    /// Reads a file that is there and compares it with its name.
    pub(super) fn check(&self, name: &str, sha256: &str) -> Result<(), StoreError> {
        let path = self.path(sha256);
        let fail = StoreError::io(&path);
        let file = File::open(&path).map_err(&fail)?;
        let (found, _) = copy_hashed(file, None).map_err(&fail)?;
        if found == sha256 {
            return Ok(());
        }
        // Damaged here: the next look finds it missing and fetches it again.
        std::fs::remove_file(&path).map_err(&fail)?;
        Err(StoreError::Refused(Refused {
            name: format!("{name} in {}", path.display()),
            pinned: sha256.to_owned(),
            found,
        }))
    }
}

fn copy_hashed(mut from: impl Read, mut to: Option<&mut File>) -> io::Result<(String, u64)> {
    let (mut hash, mut size, mut piece) = (Sha256::new(), 0, vec![0; 256 << 10]);
    loop {
        let read = from.read(&mut piece)?;
        if read == 0 {
            return Ok((hex::encode(hash.finalize()), size));
        }
        hash.update(&piece[..read]);
        if let Some(to) = &mut to {
            io::Write::write_all(to, &piece[..read])?;
        }
        size += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("inputs")).unwrap();
        (folder, store)
    }

    #[test]
    fn a_file_is_found_by_its_hash() {
        let (_folder, store) = store();
        let (sha256, size) = store.take("a.deb", &b"content"[..], None).unwrap();
        assert_eq!(size, 7);
        assert!(store.has(&sha256, 7) && !store.has(&sha256, 8));
        store.check("a.deb", &sha256).unwrap();
    }

    #[test]
    fn another_file_than_the_pinned_one_is_refused_and_both_hashes_are_shown() {
        let (_folder, store) = store();
        let pinned = "ab".repeat(32);
        let error = store.take("a.deb", &b"x"[..], Some(&pinned)).unwrap_err();
        insta::assert_snapshot!(error, @"a.deb has sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881, and the lock pins sha256:abababababababababababababababababababababababababababababababab");
        let left = std::fs::read_dir(store.root.join("sha256"))
            .unwrap()
            .count();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_file_that_was_changed_here_is_noticed_and_goes() {
        let (_folder, store) = store();
        let (sha256, _) = store.take("a.deb", &b"content"[..], None).unwrap();
        std::fs::write(store.path(&sha256), "CONTENT").unwrap();
        assert!(matches!(
            store.check("a.deb", &sha256),
            Err(StoreError::Refused(_))
        ));
        assert!(!store.has(&sha256, 7));
    }
}
