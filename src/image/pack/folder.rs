//! The folder that packed images are written to: an OCI image layout that lacks the base's blobs
//! until somebody asks for them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use oci_spec::image::{Descriptor, Digest, MediaType};
use serde_json::json;

use super::PackError;
use crate::image::layer::descriptor;

/// An OCI image layout in the making.
#[derive(Debug)]
pub struct PackedFolder {
    path: PathBuf,
}

impl PackedFolder {
    /// Begins a layout in an empty folder.
    ///
    /// # Errors
    /// [`PackError::Write`].
    pub fn create(path: &Path) -> Result<Self, PackError> {
        let folder = Self {
            path: path.to_path_buf(),
        };
        let blobs = folder.blobs();
        std::fs::create_dir_all(&blobs).map_err(at(&blobs))?;
        let version = json!({"imageLayoutVersion": "1.0.0"});
        folder.file("oci-layout", version.to_string().as_bytes())?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its blobs are.
    pub fn blobs(&self) -> PathBuf {
        self.path.join("blobs/sha256")
    }

    /// Where a blob is, or would be.
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.digest())
    }

    /// Writes a configuration, manifest or index.
    pub(super) fn document(
        &self,
        bytes: &[u8],
        media_type: MediaType,
    ) -> Result<Descriptor, PackError> {
        let named = descriptor(bytes, media_type);
        let path = self.blob(named.digest());
        std::fs::write(&path, bytes).map_err(at(&path))?;
        Ok(named)
    }

    /// Names the image that the layout holds, which makes it one.
    ///
    /// # Errors
    /// [`PackError::Write`].
    pub fn name(&self, top: &Descriptor, tag: Option<&str>) -> Result<(), PackError> {
        let mut entry = json!({
            "mediaType": top.media_type().to_string(),
            "digest": top.digest().to_string(),
            "size": top.size(),
        });
        if let Some(tag) = tag {
            entry["annotations"] = json!({
                "io.containerd.image.name": tag,
                "org.opencontainers.image.ref.name": tag,
            });
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageIndex.to_string(),
            "manifests": [entry],
        });
        self.file("index.json", index.to_string().as_bytes())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Result<(), PackError> {
        let path = self.path.join(name);
        let mut file = std::fs::File::create(&path).map_err(at(&path))?;
        file.write_all(bytes).map_err(at(&path))
    }
}

/// Says where a write failed.
pub(super) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> PackError + use<> {
    let path = path.to_path_buf();
    move |source| PackError::Write { path, source }
}
