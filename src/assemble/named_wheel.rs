//! A wheel of an environment, and its content.

use std::path::PathBuf;

use mlbuild_wheels::{Wheel, WheelName};

use super::AssembleError;
use super::facts::WheelContent;

/// A wheel with its name taken apart; of a bundled one the content, of others the file.
pub struct NamedWheel {
    pub(super) name: WheelName,
    pub(super) sha256: String,
    pub(super) size: u64,
    pub(super) source: Source,
}

pub(super) enum Source {
    File(PathBuf),
    OfBase(WheelContent),
}

/// # Errors
/// A file that can't be read, or isn't the wheel of this hash.
pub(super) fn open(wheel: &NamedWheel) -> Result<Wheel, AssembleError> {
    let file = &wheel.name.file;
    Ok(match &wheel.source {
        Source::File(path) => Wheel::open(file, path, &wheel.sha256)?,
        Source::OfBase(WheelContent::File(path)) => {
            Wheel::open(file, path, &wheel.sha256).inspect_err(|_| {
                // A copy that was damaged: the next build takes it from the base again.
                let _ = std::fs::remove_file(path);
            })?
        }
        Source::OfBase(WheelContent::Bytes(bytes)) => {
            let folder = std::env::temp_dir();
            Wheel::from_stream(file, bytes.as_slice(), &folder, &wheel.sha256)?
        }
    })
}
