//! Layers that were made, kept by what they were made from.
//!
//! | where | what |
//! | --- | --- |
//! | `blobs/HEX` | a layer's blob, named by its SHA-256 |
//! | `index/KEY.json` | what the wheels of this key came to; stays when the blob goes |
//! | `index/KEY.files` | which files are in it |
//! | `bytecode/KEY` | the bytecode of a wheel, see `bytecode/` |
//! | `locks/KEY` | held by whoever makes it, so that another process waits and finds it |
//! | `in-use` | held by every process that uses the store, so that none removes another's blobs |
//!
//! Files appear whole or not at all. Where the folder can't be written, what is in it is used and
//! the rest is made in a folder that goes with the process.

mod blobs;
mod index;
mod key;
mod prune;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::bytecode::{AnswerError, Bytecode, BytecodeKey, Sources, read_answer};
use crate::error::LayerError;
use crate::files::FileList;
use crate::layer::{Layer, write_compiled, write_entries};
use crate::sink::Compression;
use crate::tar::TreeEntry;
use crate::target::Target;
use crate::wheel::Wheel;

pub use key::LayerKey;
pub use prune::{PrunedLayers, prune_layers};

/// Why a store can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct StoreError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// A folder of layers.
#[derive(Debug)]
pub struct LayerStore {
    root: PathBuf,
    is_writable: bool,
    /// Locked for as long as there is a store.
    in_use: Option<File>,
    /// Where a file for a folder is written first.
    workshop: fn(&Path) -> PathBuf,
    /// Where blobs go that the folder doesn't take.
    aside: OnceLock<TempDir>,
}

/// A layer that the store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLayer {
    /// Its digests and sizes.
    pub layer: Layer,
    /// The names of the wheels in it.
    pub wheels: Vec<String>,
    /// Which files are in it.
    pub files: FileList,
    /// Where its blob is; `None` where it has been removed to save room. A registry may have it.
    pub blob: Option<PathBuf>,
}

impl LayerStore {
    /// The store in a folder, made where it isn't there. Where no other process uses it, the blobs
    /// used longest ago are removed until the others have at most `most` bytes.
    ///
    /// # Errors
    /// Only where neither the folder nor one for temporary files can be used.
    pub fn open(root: &Path, most: u64) -> Result<Self, StoreError> {
        let made = ["blobs", "bytecode", "index", "locks"]
            .iter()
            .try_for_each(|folder| std::fs::create_dir_all(root.join(folder)));
        let in_use = made.and_then(|()| File::create(root.join("in-use")));
        let mut store = Self {
            root: root.to_owned(),
            is_writable: in_use.is_ok(),
            in_use: in_use.ok(),
            workshop: Path::to_path_buf,
            aside: OnceLock::new(),
        };
        if store.is_writable {
            store.make_room(most);
        } else {
            store.aside()?;
        }
        if let Some(file) = &store.in_use {
            // Where a file system has no locks, a removed blob is made again.
            let _ = file.lock_shared();
        }
        Ok(store)
    }

    /// The same, which writes files where `workshop` says, on the file system of the folder that it gets,
    /// before they have their place: somebody looks after what a killed process leaves there.
    #[must_use]
    pub fn writing_in(self, workshop: fn(&Path) -> PathBuf) -> Self {
        Self { workshop, ..self }
    }

    /// What is known of the layer of a key.
    pub fn find(&self, key: &LayerKey) -> Option<StoredLayer> {
        let mut found = index::read(&self.root, key)?;
        let name = blobs::name(&found.layer.digest);
        let places = [
            Some(self.root.as_path()),
            self.aside.get().map(TempDir::path),
        ];
        found.blob = places.into_iter().flatten().find_map(|root| {
            let path = root.join("blobs").join(&name);
            let is_whole = std::fs::metadata(&path).is_ok_and(|m| m.len() == found.layer.size);
            is_whole.then_some(path)
        });
        if let Some(path) = &found.blob {
            blobs::touch(path);
        }
        Some(found)
    }

    /// The layer of these wheels with its blob: found, or written. Two processes that want the
    /// same one write it once.
    ///
    /// # Errors
    /// [`LayerError`]. Nothing of a layer that failed stays.
    pub fn make(
        &self,
        wheels: &[Wheel],
        target: &Target,
        compression: Compression,
    ) -> Result<StoredLayer, LayerError> {
        self.make_compiled(wheels, None, target, compression)
    }

    /// As [`make`](Self::make), with bytecode, and who made it.
    ///
    /// # Errors
    /// As [`make`](Self::make).
    pub fn make_compiled(
        &self,
        wheels: &[Wheel],
        compiled: Option<(&str, &[Bytecode])>,
        target: &Target,
        compression: Compression,
    ) -> Result<StoredLayer, LayerError> {
        let hashes = wheels.iter().map(Wheel::sha256);
        let key = LayerKey::of(hashes, target, compression, compiled.map(|(by, _)| by));
        let whole = |found: &StoredLayer| found.blob.is_some();
        if let Some(found) = self.find(&key).filter(whole) {
            return Ok(found);
        }
        let _lock = self.lock(key.as_str());
        if let Some(found) = self.find(&key).filter(whole) {
            return Ok(found);
        }
        let bytecode = compiled.map_or(&[][..], |(_, all)| all);
        let write = |out: &mut BufWriter<&mut File>| {
            write_compiled(wheels, bytecode, target, compression, out)
        };
        let (blob, (layer, files)) = self.write_blob(write, |(layer, _)| layer)?;
        let made = StoredLayer {
            layer,
            wheels: wheels.iter().map(|w| w.name.file.clone()).collect(),
            files,
            blob: Some(blob),
        };
        if self.is_writable {
            // Without it the layer is made again some day.
            let _ = index::write(&self.root, self.workshop, &key, &made);
        }
        Ok(made)
    }

    /// What is kept of a wheel's bytecode.
    pub fn bytecode(&self, key: &BytecodeKey) -> Option<Bytecode> {
        let places = [
            Some(self.root.as_path()),
            self.aside.get().map(TempDir::path),
        ];
        places.into_iter().flatten().find_map(|root| {
            let path = root.join(blobs::BYTECODE).join(key.as_str());
            let file = File::open(&path).ok()?;
            blobs::touch(&path);
            Bytecode::open(file).ok()
        })
    }

    /// Checks what a compiler answered about these sources, and keeps it.
    ///
    /// # Errors
    /// [`AnswerError::Refused`] where it isn't theirs; then nothing is kept.
    pub fn keep_bytecode(
        &self,
        key: &BytecodeKey,
        sources: &Sources,
        answer: impl Read,
    ) -> Result<(), AnswerError> {
        let full = |error: LayerError| io::Error::other(error.to_string());
        let folder = self.folder(blobs::BYTECODE).map_err(full)?;
        let mut new = blobs::new_in(&(self.workshop)(&folder))?;
        let mut out = BufWriter::new(new.as_file_mut());
        read_answer(sources, answer, &mut out)?;
        out.flush()?;
        drop(out);
        Ok(blobs::keep(new, &folder.join(key.as_str()))?)
    }

    /// The layer of a few entries, with its blob.
    ///
    /// # Errors
    /// [`LayerError`].
    pub fn make_of_entries(
        &self,
        entries: &[TreeEntry],
        compression: Compression,
    ) -> Result<(Layer, PathBuf), LayerError> {
        let write = |out: &mut BufWriter<&mut File>| write_entries(entries, compression, out);
        let (blob, layer) = self.write_blob(write, |layer| layer)?;
        Ok((layer, blob))
    }

    /// Keeps a layer of something else than wheels, whose blob is in a file: readable for this user alone, whoever
    /// shares the store. It only saves time, so nothing is said where that can't be.
    pub fn keep_private(&self, key: &LayerKey, layer: &Layer, blob: &Path) {
        if self.is_writable {
            let _ = self.try_keep_private(key, layer, blob);
        }
    }

    fn try_keep_private(&self, key: &LayerKey, layer: &Layer, blob: &Path) -> io::Result<()> {
        let folder = self.root.join(blobs::BLOBS);
        let path = folder.join(blobs::name(&layer.digest));
        if !path.exists() {
            let mut new = blobs::new_in(&(self.workshop)(&folder))?;
            io::copy(&mut File::open(blob)?, new.as_file_mut())?;
            new.persist(&path).map_err(|error| error.error)?;
        }
        let kept = StoredLayer {
            layer: layer.clone(),
            wheels: Vec::new(),
            files: FileList::default(),
            blob: None,
        };
        index::write(&self.root, self.workshop, key, &kept)
    }

    /// Writes a blob under its digest. Where the disk is full, blobs that nobody uses are removed,
    /// and it is tried once more.
    fn write_blob<T>(
        &self,
        write: impl Fn(&mut BufWriter<&mut File>) -> Result<T, LayerError>,
        layer: impl Fn(&T) -> &Layer,
    ) -> Result<(PathBuf, T), LayerError> {
        let once = || -> Result<(PathBuf, T), LayerError> {
            let folder = self.folder(blobs::BLOBS)?;
            let at = |path: &Path| {
                let path = path.to_owned();
                move |source| LayerError::Store { path, source }
            };
            let new = blobs::new_in(&(self.workshop)(&folder));
            let mut new = new.map_err(at(&folder))?;
            let mut out = BufWriter::with_capacity(256 << 10, new.as_file_mut());
            let written = write(&mut out)?;
            out.flush().map_err(LayerError::Write)?;
            drop(out);
            let path = folder.join(blobs::name(&layer(&written).digest));
            blobs::keep(new, &path).map_err(at(&path))?;
            Ok((path, written))
        };
        match once() {
            Err(error) if error.is_full_disk() && self.make_room_now() => once(),
            other => other,
        }
    }

    fn folder(&self, name: &str) -> Result<PathBuf, LayerError> {
        let root = if self.is_writable {
            self.root.as_path()
        } else {
            let aside = self.aside();
            aside.map_err(|StoreError { path, source }| LayerError::Store { path, source })?
        };
        Ok(root.join(name))
    }

    fn aside(&self) -> Result<&Path, StoreError> {
        if let Some(folder) = self.aside.get() {
            return Ok(folder.path());
        }
        let made = tempfile::Builder::new().prefix("mlbuild-layers-").tempdir();
        let made = made.and_then(|folder| {
            for name in [blobs::BLOBS, blobs::BYTECODE] {
                std::fs::create_dir(folder.path().join(name))?;
            }
            Ok(folder)
        });
        let made = made.map_err(|source| StoreError {
            path: std::env::temp_dir(),
            source,
        })?;
        Ok(self.aside.get_or_init(|| made).path())
    }

    /// Waits until nobody else makes this layer. Without locks two make it, and get the same.
    fn lock(&self, key: &str) -> Option<File> {
        let file = File::create(self.root.join("locks").join(key)).ok()?;
        file.lock().ok()?;
        Some(file)
    }

    fn make_room(&mut self, most: u64) {
        let is_alone = self.in_use.as_ref().is_some_and(|f| f.try_lock().is_ok());
        if is_alone {
            blobs::evict(&self.root, most);
            let _ = self.in_use.as_ref().map(File::unlock);
        }
    }

    /// Removes every blob, if no other process may need one; true if anything went. What this
    /// process has handed out is kept open by nobody, so only blobs of earlier days go.
    fn make_room_now(&self) -> bool {
        let Some(file) = &self.in_use else {
            return false;
        };
        let is_alone = file.unlock().is_ok() && file.try_lock().is_ok();
        let is_freed = is_alone && blobs::evict_old(&self.root);
        let _ = file.unlock();
        let _ = file.lock_shared();
        is_freed
    }
}
