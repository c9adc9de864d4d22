//! Programs on PATH.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The first program of this name.
pub fn find(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|path| is_program(path))
}

/// The first program of this name, also where a system keeps those that are not on everyone's PATH.
pub fn find_system(name: &str) -> Option<PathBuf> {
    let elsewhere = || {
        ["/usr/sbin", "/sbin", "/usr/local/bin"]
            .map(|folder| Path::new(folder).join(name))
            .into_iter()
            .find(|path| is_program(path))
    };
    find(name).or_else(elsewhere)
}

/// True for a file that may be run.
pub fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
