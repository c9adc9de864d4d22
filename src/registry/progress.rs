//! What a push tells while it works.

use oci_spec::image::{Descriptor, Digest};

/// One piece of news about a push. Events of different blobs interleave.
#[derive(Clone, Debug, PartialEq)]
pub enum PushEvent {
    /// What there is to do: every blob, each once.
    Planned {
        /// Blobs, not manifests.
        blobs: Vec<Descriptor>,
    },
    /// The registry has the blob already.
    Exists {
        /// The blob.
        digest: Digest,
    },
    /// The registry took the blob over from another repository of its own.
    Mounted {
        /// The blob.
        digest: Digest,
        /// That repository.
        from: String,
    },
    /// Bytes of the blob that the registry was sent so far; may fall back after a cut.
    Sent {
        /// The blob.
        digest: Digest,
        /// Bytes from the blob's start.
        bytes: u64,
    },
    /// The registry has the blob now.
    Uploaded {
        /// The blob.
        digest: Digest,
    },
    /// Something failed and is tried again.
    Retry {
        /// What is tried again.
        what: String,
        /// Why it failed.
        why: String,
        /// Which try comes next, from 2.
        attempt: u32,
    },
    /// A manifest or index is in place.
    Manifest {
        /// The manifest or index.
        digest: Digest,
    },
}

/// Hears what a push tells, from several tasks. Must not block.
pub type PushProgress = std::sync::Arc<dyn Fn(PushEvent) + Send + Sync>;
