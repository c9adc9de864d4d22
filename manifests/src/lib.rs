//! Every document mlbuild writes: the lock file, run records, the forms of both that travel with
//! an image as OCI referrers, and what else is said of an image there.
//!
//! This crate knows text, files and their errors. It talks to no daemon and no
//! registry; who fills the documents in, and when, is the caller's business.

pub mod atomic;
pub mod attest;
pub mod digest;
pub mod document;
pub mod held;
pub mod inside;
pub mod lock;
pub mod run_id;
pub mod run_record;
mod toml_text;
mod unfinished_folder;

pub use lock::{ImageKey, LockError, LockFile, LockedImage};
pub use run_id::{RunId, RunIdError};
pub use run_record::{Binding, RunRecord, RunRecordError};
pub use unfinished_folder::UnfinishedFolder;
