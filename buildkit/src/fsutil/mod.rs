//! Sending and receiving file trees: BuildKit's fsutil protocol.
//!
//! The parts, from the ground up: [`patterns`] and [`dockerignore`] say what
//! is selected, [`walk`] visits a folder in the order the protocol demands,
//! [`sender`] and [`receiver`] speak the protocol, and [`mod@fingerprint`] digests
//! what a build would send. Carrying packets over gRPC is left to the session.

mod beneath;
mod destination;
pub mod dockerignore;
mod error;
mod files;
mod filter;
pub mod fingerprint;
mod follow;
mod gopath;
mod hash_cache;
pub mod patterns;
pub mod receiver;
mod regexp;
pub mod sender;
pub mod survey;
mod tree;
pub mod walk;

pub use beneath::{ReceivedFolder, open as open_beneath};
pub use error::FsError;
pub use files::{EntryStat, VisitFile, read_files, read_some_files};
pub use filter::{Filter, Selection};
pub use fingerprint::{ContextSelection, EntryDigest, Fingerprint, entry_digests, fingerprint};
pub use follow::follow_links_in as follow_links;
pub use receiver::receive;
pub use sender::{Counters, SendOptions, Source, send};
pub use tree::Tree;
pub use walk::Normalise;
