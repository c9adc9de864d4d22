//! A small OCI layout on disk, made to be pushed.

use std::path::Path;

use oci_spec::image::{Descriptor, MediaType};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::error::{CommandError, CommandResult};
use crate::image::OciLayout;

/// A layout under way.
pub struct LayoutWriter {
    folder: TempDir,
}

impl LayoutWriter {
    /// # Errors
    /// Where there is no place for it.
    pub fn new() -> CommandResult<Self> {
        let folder = tempfile::tempdir().map_err(environment)?;
        std::fs::create_dir_all(folder.path().join("blobs/sha256")).map_err(environment)?;
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
    pub fn link(&self, hex: &str, file: &Path) -> CommandResult {
        std::os::unix::fs::symlink(file, self.place(hex)).map_err(environment)
    }

    /// Adds a document.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn document(&self, kind: MediaType, bytes: &[u8]) -> CommandResult<Descriptor> {
        let hex = hex::encode(Sha256::digest(bytes));
        std::fs::write(self.place(&hex), bytes).map_err(environment)?;
        let digest: oci_spec::image::Digest = format!("sha256:{hex}")
            .parse()
            .expect("64 hex digits are a digest");
        Ok(Descriptor::new(kind, bytes.len() as u64, digest))
    }

    /// The layout, whose one image this is.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn finish(&self, top: &Descriptor) -> CommandResult<OciLayout> {
        let index = json!({ "schemaVersion": 2, "manifests": [top] });
        let write = |name: &str, value: &serde_json::Value| {
            std::fs::write(self.folder.path().join(name), value.to_string()).map_err(environment)
        };
        write("index.json", &index)?;
        write("oci-layout", &json!({ "imageLayoutVersion": "1.0.0" }))?;
        OciLayout::open(self.folder.path()).map_err(CommandError::environment)
    }
}

fn environment(error: std::io::Error) -> CommandError {
    CommandError::environment(format!("temporary folder: {error}"))
}
