//! What a daemon of a test's own leaves mounted.

use std::path::Path;
use std::process::Command;

/// Unmounts whatever is mounted below a folder, so that the folder can go.
pub fn unmount_below(folder: &Path) {
    let below = folder.to_string_lossy().into_owned();
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    for point in points.filter(|point| point.starts_with(&below)) {
        let _ = Command::new("umount").arg("-l").arg(point).status();
    }
}
