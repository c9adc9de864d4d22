//! Whether a path leads out of a folder, links followed.

use std::path::{Component, Path, PathBuf};

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

/// The path with its links followed; what isn't there yet is taken as it is written.
fn real(path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    let mut known = path;
    loop {
        if let Ok(mut place) = known.canonicalize() {
            for part in missing.iter().rev() {
                match part {
                    Component::ParentDir => drop(place.pop()),
                    part => place.push(part),
                }
            }
            return place;
        }
        match (known.components().next_back(), known.parent()) {
            (Some(part), Some(parent)) => {
                missing.push(part);
                known = parent;
            }
            _ => return path.to_owned(),
        }
    }
}
