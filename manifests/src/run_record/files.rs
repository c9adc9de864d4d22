//! Run records and their patches as files.

use std::io;
use std::path::{Path, PathBuf};

use super::{RunRecord, RunRecordError, RunStatus};
use crate::held::HeldFolder;
use crate::{RunId, atomic};

/// What binding a run found.
#[derive(Clone, Debug, PartialEq)]
pub enum Binding {
    /// The record was written here.
    New(PathBuf),
    /// The run was bound to the same image before; that record stands.
    Same(PathBuf, Box<RunRecord>),
}

impl RunRecord {
    /// Where the record of this run lies in `folder`.
    pub fn path(folder: &Path, id: &RunId) -> PathBuf {
        folder.join(format!("{id}.toml"))
    }

    /// Where its patch lies, if it has one.
    pub fn patch_path(folder: &Path, id: &RunId) -> PathBuf {
        folder.join(format!("{id}.patch"))
    }

    /// Writes the record into `folder`, unless the run is bound already: to the same
    /// manifests, which is fine, or to others, which is an error. An index digest may
    /// differ, because provenance changes it while the images stay the same.
    ///
    /// # Errors
    /// Where the run is bound to another image, or the record can't be written or read.
    pub fn bind(&self, folder: &Path) -> Result<Binding, RunRecordError> {
        std::fs::create_dir_all(folder).map_err(|e| write_error(folder, e))?;
        let held = HeldFolder::open(folder).map_err(|e| write_error(folder, e))?;
        self.bind_in(&held)
    }

    /// As [`RunRecord::bind`], in a folder that is held.
    ///
    /// # Errors
    /// As [`RunRecord::bind`].
    pub fn bind_in(&self, folder: &HeldFolder) -> Result<Binding, RunRecordError> {
        let path = Self::path(folder.path(), &self.id);
        let at = Self::path(&folder.at(), &self.id);
        match atomic::create_new(&at, self.to_toml().as_bytes()) {
            Ok(()) => Ok(Binding::New(path)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let old = Self::load_at(&at, &path)?;
                self.same_image_as(&old, &path)?;
                Ok(Binding::Same(path, Box::new(old)))
            }
            Err(source) => Err(write_error(&path, source)),
        }
    }

    /// Writes the record of a run that is about to start, and its patch. An id that is only
    /// bound, and to the same image, is taken over, with what it says of the image; one that
    /// was started is an error.
    ///
    /// # Errors
    /// Where the id is taken or bound to another image, or a file can't be written.
    pub fn start(
        &mut self,
        folder: &Path,
        patch: Option<&[u8]>,
    ) -> Result<PathBuf, RunRecordError> {
        std::fs::create_dir_all(folder).map_err(|e| write_error(folder, e))?;
        let held = HeldFolder::open(folder).map_err(|e| write_error(folder, e))?;
        self.start_in(&held, patch)
    }

    /// As [`RunRecord::start`], in a folder that is held.
    ///
    /// # Errors
    /// As [`RunRecord::start`].
    pub fn start_in(
        &mut self,
        folder: &HeldFolder,
        patch: Option<&[u8]>,
    ) -> Result<PathBuf, RunRecordError> {
        let path = Self::path(folder.path(), &self.id);
        let at = Self::path(&folder.at(), &self.id);
        // The patch is whole on disk before the record speaks of it, and gets its name only
        // after the record has won the id: of two runs with one id, the second changes nothing.
        let patch_path = Self::patch_path(&folder.at(), &self.id);
        let prepared = patch
            .map(|bytes| atomic::Prepared::beside(&patch_path, bytes))
            .transpose()
            .map_err(|e| write_error(&patch_path, e))?;
        match atomic::create_new(&at, self.to_toml().as_bytes()) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let _guard = atomic::guard(&at).map_err(|e| write_error(&path, e))?;
                let old = Self::load_at(&at, &path)?;
                if old.status() != RunStatus::Bound {
                    let id = self.id.clone();
                    return Err(RunRecordError::Taken { id, path });
                }
                self.same_image_as(&old, &path)?;
                if self.image.platforms.is_empty() {
                    self.image = old.image;
                }
                self.lock = self.lock.take().or(old.lock);
                let text = self.to_toml();
                atomic::replace_name(&at, text.as_bytes()).map_err(|e| write_error(&path, e))?;
            }
            Err(source) => return Err(write_error(&path, source)),
        }
        if let Some(prepared) = prepared {
            let named = prepared.persist();
            named.map_err(|e| write_error(&patch_path, e))?;
        }
        Ok(path)
    }

    /// Replaces the record in one step: what started has ended.
    ///
    /// # Errors
    /// Where the file can't be written; then the old one stands.
    pub fn replace(&self, folder: &Path) -> Result<(), RunRecordError> {
        let path = Self::path(folder, &self.id);
        atomic::replace_name(&path, self.to_toml().as_bytes()).map_err(|e| write_error(&path, e))
    }

    /// As [`RunRecord::replace`], in a folder that is held.
    ///
    /// # Errors
    /// As [`RunRecord::replace`].
    pub fn replace_in(&self, folder: &HeldFolder) -> Result<(), RunRecordError> {
        let at = Self::path(&folder.at(), &self.id);
        atomic::replace_name(&at, self.to_toml().as_bytes())
            .map_err(|e| write_error(&Self::path(folder.path(), &self.id), e))
    }

    /// The patch that belongs to the record; `None` where there is none.
    ///
    /// # Errors
    /// Where it is gone, can't be read, or isn't what the record says.
    pub fn load_patch(&self, folder: &Path) -> Result<Option<Vec<u8>>, RunRecordError> {
        let Some(git) = &self.git else {
            return Ok(None);
        };
        let Some(digest) = &git.changes else {
            return Ok(git.patch.clone().map(String::into_bytes));
        };
        let path = Self::patch_path(folder, &self.id);
        let bytes = match mlbuild_files::read(&path) {
            Ok(bytes) => bytes,
            Err(source) => return Err(RunRecordError::Read { path, source }),
        };
        if crate::digest::sha256(&bytes) != *digest {
            return Err(RunRecordError::PatchDiffers {
                path,
                digest: digest.to_string(),
            });
        }
        Ok(Some(bytes))
    }

    /// Refuses, as [`RunRecord::bind`] would, if the run is bound to another image;
    /// writes nothing.
    ///
    /// # Errors
    /// As [`RunRecord::bind`].
    pub fn check(&self, folder: &Path) -> Result<(), RunRecordError> {
        match Self::find(folder, &self.id)? {
            Some(old) => self.same_image_as(&old, &Self::path(folder, &self.id)),
            None => Ok(()),
        }
    }

    /// The record of a run. `Ok(None)`: not bound yet.
    ///
    /// # Errors
    /// Where it is there and can't be used.
    pub fn find(folder: &Path, id: &RunId) -> Result<Option<Self>, RunRecordError> {
        let path = Self::path(folder, id);
        if path.exists() {
            Self::load(&path).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Where it can't be read, or isn't one of this file's name.
    pub fn load(path: &Path) -> Result<Self, RunRecordError> {
        Self::load_at(path, path)
    }

    /// Reads what lies at `at`; `path` is what errors call it.
    fn load_at(at: &Path, path: &Path) -> Result<Self, RunRecordError> {
        let text = mlbuild_files::read_to_string(at).map_err(|source| RunRecordError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        let record = Self::parse(&text, path)?;
        if path
            .file_stem()
            .is_some_and(|name| name == record.id.as_str())
        {
            return Ok(record);
        }
        let line = text.lines().position(|line| line.starts_with("id"));
        Err(RunRecordError::Invalid {
            path: path.to_path_buf(),
            line: 1 + line.unwrap_or(0),
            message: format!(
                "it is the record of run {}; its file is {0}.toml",
                record.id
            ),
        })
    }

    fn same_image_as(&self, old: &Self, path: &Path) -> Result<(), RunRecordError> {
        if self.image.is_same_as(&old.image) {
            return Ok(());
        }
        Err(RunRecordError::BoundElsewhere {
            id: self.id.clone(),
            path: path.to_path_buf(),
            bound: old.image.described(),
            asked: self.image.described(),
        })
    }
}

fn write_error(path: &Path, source: io::Error) -> RunRecordError {
    RunRecordError::Write {
        path: path.to_path_buf(),
        source,
    }
}
