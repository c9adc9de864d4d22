//! Images: reads OCI image layouts (a folder or a tar of one, as builders export them),
//! lists their images and layers, and checks every blob against its digest; reads what
//! layers hold, and writes them for another owner. Blobs are streamed; only manifests,
//! configurations and small layers are held in memory.
//!
//! Sending an image anywhere is left to `registry`.

mod archive;
pub mod compare;
mod contents;
mod error;
mod inspect;
mod installed;
pub mod layer;
mod layout;
mod layout_copy;
pub mod layout_writer;
pub mod pack;
pub mod reown;

pub use archive::DockerArchive;
pub use contents::{Account, Contents};
pub use error::LayoutError;
pub use inspect::{ImageLayer, PlatformImage, is_attestation, is_index, is_manifest};
pub use layout::{BlobSource, OciLayout};
pub use layout_copy::copy_into;
pub use layout_writer::LayoutWriter;
