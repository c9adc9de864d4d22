//! Why a layer can't be put on what is below it.

use super::walk::{HOPS, LONGEST_NAME};

/// Largest major and minor number of a device.
pub(super) const MAJOR: u32 = 0xfff;
pub(super) const MINOR: u32 = 0xf_ffff;

/// Why a layer can't be put on what is below it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Links lead in a circle, or through too many.
    #[error("it leads through more than {HOPS} symbolic links")]
    Loop,
    /// A name is too long for a file system.
    #[error("a name of it is longer than {LONGEST_NAME} bytes")]
    Name,
    /// A path is too long, or too deep.
    #[error("it is longer or deeper than Linux allows")]
    Depth,
    /// A hard link to what isn't there.
    #[error("it is a hard link to `{}`, which isn't a file that is there", String::from_utf8_lossy(.0))]
    NoTarget(Vec<u8>),
    /// A device's numbers are too large.
    #[error("it is the device {0}:{1}, and Linux has none beyond {MAJOR}:{MINOR}")]
    Device(u32, u32),
    /// An extended attribute that can't be.
    #[error("no file system has an extended attribute like its `{}`, by its length", String::from_utf8_lossy(.0))]
    Attribute(Vec<u8>),
    /// There is too much in all layers together.
    #[error(
        "with it, the image's files, names and attributes take more than {0} bytes of memory, which no real image does"
    )]
    TooMuch(usize),
    /// It would take too long.
    #[error(
        "with it, the image's paths lead through more than {0} folders and links, which no real image's do"
    )]
    TooFar(usize),
}
