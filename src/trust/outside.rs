//! Whether a path leads out of a folder, links followed.

use std::path::{Path, PathBuf};

use mlbuild_manifests::inside::real;

/// Where a path of the project's file leads, if that isn't in the project's folder.
pub(super) fn outside(project: &Path, path: &Path) -> Option<PathBuf> {
    outside_from(project, project, path)
}

/// The same for a path that is taken from another folder.
pub(super) fn outside_from(base: &Path, project: &Path, path: &Path) -> Option<PathBuf> {
    let whole = |folder: &Path| folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let root = whole(project);
    let place = real(&whole(base).join(home(path)));
    (!place.starts_with(&root)).then_some(place)
}

/// `~/x` is below the home folder.
fn home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => path.to_owned(),
    }
}
