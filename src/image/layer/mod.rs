//! Layers as what they hold: streamed from any source, checked while they are read, and
//! written again.
//!
//! A layer is read once, from front to back, in bounded memory. Its blob digest, its size and
//! its diff ID are checked on the way; what it names is checked before anybody sees it. Nothing
//! is ever unpacked to disk.

mod entry;
mod error;
mod headers;
mod limits;
mod paths;
mod read;
mod stream;
#[cfg(test)]
mod tests;
mod write;

pub use entry::{EntryKind, EntryPath, LayerEntry, Mtime};
pub use error::{LayerError, LayerProblem};
pub use limits::LayerLimits;
pub use read::{LayerTotals, Visit, descriptor, read_layer};
pub use write::{Packing, TarWriter, annotated, of_hex, write_tar};
