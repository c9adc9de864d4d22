//! Small file systems, and what a daemon of a test's own leaves mounted.

use std::path::{Path, PathBuf};
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

/// A folder on a small file system of its own, in memory; gone when it is dropped.
pub struct Small(PathBuf);

impl Small {
    /// Makes the folder. The size is as mount(8) takes it.
    pub fn mount(at: &Path, size: &str) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .status()
            .unwrap();
        assert!(
            status.success(),
            "a small tmpfs can't be mounted: run the tests as root"
        );
        Self(at.to_path_buf())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
