//! What can be wrong with an image on disk.

use std::io;
use std::path::PathBuf;

use oci_spec::image::Digest;

/// An OCI layout that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file of it can't be read.
    #[error("{}: can't be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It isn't an OCI layout.
    #[error("{}: not an OCI image layout: {why}", path.display())]
    NotALayout {
        /// The folder or tar.
        path: PathBuf,
        /// What is missing or wrong.
        why: String,
    },
    /// It holds several images where one is needed.
    #[error("{}: holds {count} images under one index.json, and one is needed", path.display())]
    SeveralImages {
        /// The folder or tar.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// A blob is missing.
    #[error("{}: blob {digest} is missing", path.display())]
    MissingBlob {
        /// The folder or tar.
        path: PathBuf,
        /// The blob.
        digest: Digest,
    },
    /// A blob isn't what its name says.
    #[error("{}: blob {digest} is damaged: {why}", path.display())]
    DamagedBlob {
        /// The folder or tar.
        path: PathBuf,
        /// The blob.
        digest: Digest,
        /// How.
        why: String,
    },
    /// A manifest, index or configuration that makes no sense.
    #[error("{}: {digest}: {why}", path.display())]
    Malformed {
        /// The folder or tar.
        path: PathBuf,
        /// The document.
        digest: Digest,
        /// What is wrong.
        why: String,
    },
}
