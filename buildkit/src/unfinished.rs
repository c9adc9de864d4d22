//! Files until they are whole and have their place.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::NamedTempFile;

/// A file in `folder` that is to be renamed there, readable for all. Its name is part of no context; as
/// long as nobody holds its lock, whoever writes there next may remove it.
pub(crate) fn file_in(folder: &Path) -> io::Result<NamedTempFile> {
    let file = tempfile::Builder::new()
        .prefix(".mlbuild-")
        .suffix(".tmp")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(folder)?;
    // File systems without locks keep what a killed process leaves.
    let _ = file.as_file().try_lock();
    Ok(file)
}
