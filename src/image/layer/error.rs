//! Why a layer can't be read.

use std::io;

use oci_spec::image::Digest;

use super::entry::printable;

/// A layer that can't be read, or must not be.
#[derive(Debug, thiserror::Error)]
#[error("layer {layer}: {problem}")]
pub struct LayerError {
    /// The layer's blob.
    pub layer: Digest,
    /// What is wrong with it.
    pub problem: Box<LayerProblem>,
}

/// What is wrong with a layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerProblem {
    /// Its bytes can't be fetched.
    #[error("can't be read: {0}")]
    Read(io::Error),
    /// Whoever reads it can't go on: nothing is wrong with the layer.
    #[error("can't be taken in{}: {why}", after(.path))]
    TakenIn {
        /// The entry that is at hand.
        path: Vec<u8>,
        /// What is wrong.
        why: io::Error,
    },
    /// There is no room for what is known of it meanwhile.
    #[error("can't be compared: a temporary file in {} can't be used: {why}", folder.display())]
    Temporary {
        /// Where the file is.
        folder: std::path::PathBuf,
        /// What is wrong with it.
        why: io::Error,
    },
    /// Its compression is broken.
    #[error("is damaged{}: {why}", after(.path))]
    Damaged {
        /// The last path that was read.
        path: Vec<u8>,
        /// What the decompressor says.
        why: io::Error,
    },
    /// It ends too early.
    #[error("is cut off{} ({found} of {expected} bytes)", after(.path))]
    Truncated {
        /// The last path that was read.
        path: Vec<u8>,
        /// Bytes that there are.
        found: u64,
        /// Bytes that the manifest says.
        expected: u64,
    },
    /// There is more of it than the manifest says.
    #[error("is longer than the {expected} bytes that the manifest says")]
    TooLong {
        /// Bytes that the manifest says.
        expected: u64,
    },
    /// Its bytes aren't those that the manifest names.
    #[error("is damaged: its content has {found}")]
    Digest {
        /// The digest of what was read.
        found: Digest,
    },
    /// It unpacks to something else than the configuration says.
    #[error("unpacks to {found}, and the configuration says {expected}")]
    DiffId {
        /// The digest of what it unpacks to.
        found: Digest,
        /// The diff ID of the configuration.
        expected: Digest,
    },
    /// It isn't a tar, or not one that can be read.
    #[error("isn't a tar that can be read{}: {why}", after(.path))]
    NotATar {
        /// The path at fault, or the last one that was read.
        path: Vec<u8>,
        /// What is wrong.
        why: String,
    },
    /// A path that leads out of the image, or whose meaning hangs on the machine.
    #[error("refused: the path `{}` {why}", printable(.path))]
    Path {
        /// The path as it is written.
        path: Vec<u8>,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It unpacks to more than it may.
    #[error("refused: it holds {what}, more than the {limit} that {size} bytes may unpack to")]
    Bomb {
        /// What there is too much of.
        what: &'static str,
        /// How much there may be.
        limit: u64,
        /// Size of the blob in bytes.
        size: u64,
    },
    /// A kind of blob that isn't a layer, or isn't kept in the registry.
    #[error("{media_type} can't be read as a layer")]
    MediaType {
        /// The blob's media type.
        media_type: String,
    },
}

fn after(path: &[u8]) -> String {
    match path {
        [] => String::new(),
        path => format!(" at `{}`", printable(path)),
    }
}
