//! `mlbuild.lock`: what was resolved, committed beside the code.
//!
//! Goals, in this order:
//! 1. **Enough to restore.** For each image and platform the *manifest* digest, the
//!    configuration and every layer. Not the index digest alone: with provenance an
//!    index changes on every build.
//! 2. **Enough to rebuild.** Hashes of all inputs, and what each base reference meant.
//! 3. **Small diffs.** Entries and keys are sorted, one layer or package is one line,
//!    and what didn't change isn't rewritten.
//! 4. **The same bytes for the same values**, on every machine and with every version
//!    of the libraries below: loading and saving a lock gives the same file.
//! 5. **Nothing is guessed.** A file that is cut off, in conflict, from a newer mlbuild,
//!    edited by hand or that holds a word this version doesn't know is an error that
//!    names the line. Each entry carries a checksum of itself, so that two branches
//!    that lock different images still merge.
//! 6. **No secrets, no paths of the machine, no network** to read or check it.
//!
//! The format is numbered (`version`); samples of each number stay in `tests/samples`.
//! A new optional key needs a new number too, because older readers refuse it. A file has
//! the lowest number that holds what is in it: 5 where an entry is of a `variant`, 4 where one has packages of
//! conda's, 3 where one has a `build`, 2 where one is `derived`, else 1.
//!
//! When to look things up, and what to do with what changed, is left to the caller.

mod build;
mod entry;
mod error;
mod read;
mod update;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

use oci_spec::image::Digest;

pub use build::{ASSEMBLE, LockedBuild, PinnedConda, PinnedDeb, PinnedFile, Pins};
pub use entry::{
    AptPackage, Builder, Derived, ImageKey, Inputs, LockedBase, LockedImage, LockedLayer,
    LockedPackages, LockedPlatform, PublishedImage, PythonPackage,
};
pub use error::LockError;

/// The lock file's usual name.
pub const FILE_NAME: &str = "mlbuild.lock";
/// The newest format that this version reads and writes.
pub const FORMAT_VERSION: u32 = 5;

/// The lock file in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LockFile {
    images: BTreeMap<ImageKey, LockedImage>,
}

impl LockFile {
    /// Reads a lock file. A file that isn't there is an empty lock.
    pub fn load(path: &Path) -> Result<Self, LockError> {
        match mlbuild_files::read(path) {
            Ok(bytes) => read::parse(&bytes, path),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(LockError::Read {
                path: path.to_path_buf(),
                source,
            }),
        }
    }

    /// Reads a lock file's text; `path` names it in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, LockError> {
        read::parse(text.as_bytes(), path)
    }

    /// Changes the lock file at `path`: reads it, lets `change` work on it and
    /// replaces it in one step, while other processes that do the same wait.
    /// A lock that `change` leaves as it was isn't written.
    pub fn update<T>(path: &Path, change: impl FnOnce(&mut LockFile) -> T) -> Result<T, LockError> {
        update::update(path, change)
    }

    /// All entries, sorted by key.
    pub fn images(&self) -> impl Iterator<Item = &LockedImage> {
        self.images.values()
    }

    /// The entry with this key.
    pub fn get(&self, key: &ImageKey) -> Option<&LockedImage> {
        self.images.get(key)
    }

    /// Files an entry, in place of the one with the same key if there is one.
    pub fn insert(&mut self, image: LockedImage) -> Option<LockedImage> {
        let image = write::normalized(image);
        self.images.insert(image.key(), image)
    }

    /// Drops an entry.
    pub fn remove(&mut self, key: &ImageKey) -> Option<LockedImage> {
        self.images.remove(key)
    }

    /// True if no image is locked.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// The file's text.
    pub fn to_toml(&self) -> String {
        write::to_toml(self)
    }

    /// Hash of the entry with this key, as the file's `checksum` shows it.
    pub fn checksum(&self, key: &ImageKey) -> Option<Digest> {
        self.images.get(key).map(write::checksum)
    }
}
