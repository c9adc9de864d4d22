//! Layers of container images from pinned Python wheels.
//!
//! A wheel is an archive of files with a hash. Installed by the rules of the format it gives one
//! file tree, which depends on the wheel, the Python's minor version and the folder it goes into,
//! and on nothing else. This crate writes that tree as a layer: in one pass, in bounded memory,
//! with the same bytes on every machine, and without running Python. The tree is the one that uv
//! makes; `tests/peers/uv.rs` holds the two against each other.
//!
//! | step | type | file |
//! | --- | --- | --- |
//! | which wheels fit a Python | [`Tags`] | `tags.rs` |
//! | a file that is the pinned one | [`Wheel`] | `wheel.rs` |
//! | where each of its files goes | `Installation` | `install/` |
//! | bytecode of its modules, made by the image's Python | [`Bytecode`] | `bytecode/` |
//! | the layer's bytes | [`Layer`] | `layer.rs` |
//! | kept by what it was made from | [`LayerStore`] | `store/` |
//! | which wheels share a layer, and in which order | [`group`] | `group.rs` |
//! | the environment around them | [`Venv`] | `venv.rs` |
//! | shared libraries that it brings and looks for | [`Libraries`] | `libraries.rs` |
//!
//! It knows no registry, no network and no image: that is its callers' business.

mod bytecode;
mod error;
mod files;
mod group;
mod install;
mod layer;
mod libraries;
mod name;
mod sink;
mod store;
mod tags;
mod tar;
mod target;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod venv;
mod wheel;
mod zip;

pub use bytecode::{AnswerError, Bytecode, BytecodeKey, ModuleSource, Sources, write_sources};
pub use error::{Fault, LayerError, WheelError};
pub use files::{FileList, InstalledFile, check_overlaps};
pub use group::{Budget, Group, group};
pub use layer::{LAYER_FORMAT, Layer, write_compiled, write_entries, write_wheels};
pub use libraries::Libraries;
pub use name::{WheelName, normalize};
pub use sink::Compression;
pub use store::{LayerKey, LayerStore, PrunedLayers, StoreError, StoredLayer, prune_layers};
pub use tags::{Libc, Platform, Tag, Tags};
pub use tar::{Content, TreeEntry};
pub use target::{PythonVersion, Target};
pub use venv::Venv;
pub use wheel::Wheel;
