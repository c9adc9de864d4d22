//! Images of Apptainer and Singularity: one file (SIF) with a squashfs of the whole file system in it.
//!
//! The same files give the same bytes: no time of now, no random id, and nothing hangs on the number of
//! threads. [`squashfs`] writes the file system, [`scripts`] the files by which Apptainer starts a program in
//! it, [`write()`] both into one file; [`read`] takes the documents out of a stranger's file.

mod header;
pub mod read;
pub mod scripts;
pub mod squashfs;
mod write;

pub use read::{ReadError, Sif};
pub use scripts::OciConfig;
pub use write::{Documents, architecture, write};
