//! Removing what a store keeps, on purpose: by age, by size, or all.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::SystemTime;

use super::{StoreError, blobs};

/// How much went, and how much stays: layers and files of bytecode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrunedLayers {
    /// Files that went.
    pub removed: usize,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Files that stay.
    pub kept: usize,
    /// Their bytes.
    pub kept_bytes: u64,
}

/// Removes layers and bytecode of the store in a folder: what nobody has used since a time, and of that
/// no more than it takes for the rest to have at most `keep_size` bytes, the longest unused first; all,
/// where nothing is said. Which layers there were stays known. A dry run removes nothing.
///
/// # Errors
/// [`ErrorKind::ResourceBusy`] while another process uses the store; a file that can't be removed.
pub fn prune_layers(
    root: &Path,
    unused_since: Option<SystemTime>,
    keep_size: Option<u64>,
    is_dry: bool,
) -> Result<PrunedLayers, StoreError> {
    let fail = |path: &Path, source: io::Error| StoreError {
        path: path.to_owned(),
        source,
    };
    let in_use = root.join("in-use");
    if !in_use.exists() {
        return Ok(PrunedLayers::default());
    }
    let lock = File::open(&in_use).map_err(|error| fail(&in_use, error))?;
    if !is_dry && lock.try_lock().is_err() {
        let busy = io::Error::new(ErrorKind::ResourceBusy, "a build uses it");
        return Err(fail(root, busy));
    }
    let mut files = blobs::all(root);
    files.sort();
    let mut left: u64 = files.iter().map(|(_, size, _)| size).sum();
    let mut pruned = PrunedLayers::default();
    for (used, size, path) in files {
        let goes =
            unused_since.is_none_or(|time| used < time) && keep_size.is_none_or(|most| left > most);
        if !goes {
            pruned.kept += 1;
            pruned.kept_bytes += size;
            continue;
        }
        if !is_dry {
            std::fs::remove_file(&path).map_err(|error| fail(&path, error))?;
        }
        left -= size;
        pruned.removed += 1;
        pruned.removed_bytes += size;
    }
    Ok(pruned)
}
