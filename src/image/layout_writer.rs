//! A small OCI layout on disk, made to be pushed.

use std::path::Path;

use mlbuild_manifests::digest::sha256;
use oci_spec::image::{Descriptor, MediaType};
use serde_json::json;
use tempfile::TempDir;

use crate::image::{LayoutError, OciLayout};

/// Why a layout can't be written.
#[derive(Debug, thiserror::Error)]
pub enum LayoutWriteError {
    /// A file of it can't be written.
    #[error("temporary folder: {0}")]
    Write(#[source] std::io::Error),
    /// What was written is no layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

/// A layout under way.
pub struct LayoutWriter {
    folder: TempDir,
}

impl LayoutWriter {
    /// # Errors
    /// Where there is no place for it.
    pub fn new() -> Result<Self, LayoutWriteError> {
        let folder = tempfile::tempdir().map_err(LayoutWriteError::Write)?;
        std::fs::create_dir_all(folder.path().join("blobs/sha256"))
            .map_err(LayoutWriteError::Write)?;
        Ok(LayoutWriter { folder })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where a blob belongs, by its digest's hex.
    pub fn place(&self, hex: &str) -> std::path::PathBuf {
        self.folder.path().join("blobs/sha256").join(hex)
    }

    /// Adds a file that lies elsewhere.
    ///
    /// # Errors
    /// Where it can't be linked to.
    pub fn link(&self, hex: &str, file: &Path) -> Result<(), LayoutWriteError> {
        std::os::unix::fs::symlink(file, self.place(hex)).map_err(LayoutWriteError::Write)
    }

    /// Adds a document.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn document(&self, kind: MediaType, bytes: &[u8]) -> Result<Descriptor, LayoutWriteError> {
        let digest = sha256(bytes);
        std::fs::write(self.place(digest.digest()), bytes).map_err(LayoutWriteError::Write)?;
        Ok(Descriptor::new(kind, bytes.len() as u64, digest))
    }

    /// The layout, whose one image this is.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn finish(&self, top: &Descriptor) -> Result<OciLayout, LayoutWriteError> {
        let index = json!({ "schemaVersion": 2, "manifests": [top] });
        let write = |name: &str, value: &serde_json::Value| {
            std::fs::write(self.folder.path().join(name), value.to_string())
                .map_err(LayoutWriteError::Write)
        };
        write("index.json", &index)?;
        write("oci-layout", &json!({ "imageLayoutVersion": "1.0.0" }))?;
        Ok(OciLayout::open(self.folder.path())?)
    }
}
