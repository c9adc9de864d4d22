//! Images on disk: reads OCI image layouts (a folder or a tar of one, as builders
//! export them), lists their images and layers, and checks every blob against its
//! digest. Blobs are streamed; only manifests and configurations are held in memory.
//!
//! Sending an image anywhere is left to `registry`.

mod error;
mod inspect;
mod layout;

pub use error::LayoutError;
pub use inspect::{ImageLayer, PlatformImage, is_attestation, is_index, is_manifest};
pub use layout::{BlobSource, OciLayout};
