//! Whether what is to be written stays in its folder.
//!
//! A clone may hold `Dockerfile.cpu -> ~/.bashrc`, or `.devcontainer -> ~/.ssh`: who writes into the
//! project would write there.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use crate::atomic;
use crate::held::HeldFolder;

/// Refuses a path below `root` that links lead out of it. A path that isn't below `root` as it is
/// written was named by a person, and is let pass: `/dev/stdout`, `../out`.
///
/// # Errors
/// Of the kind `PermissionDenied`, with where the path leads; or where `root` can't be looked at.
pub fn keep_inside(root: &Path, path: &Path) -> io::Result<()> {
    let root = root_of(root);
    if !as_written(path)?.starts_with(as_written(root)?) {
        return Ok(());
    }
    let root = root.canonicalize()?;
    let place = real(&std::path::absolute(path)?);
    if place.starts_with(&root) {
        return Ok(());
    }
    let text = format!(
        "a link leads to {}, outside {}, where nothing is written",
        place.display(),
        root.display()
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

/// Replaces a file whole, as [`atomic::replace`] does, and refuses what [`keep_inside`] refuses: below
/// `root` also for whoever swaps the file or a folder on its way for a link meanwhile. Folders that
/// aren't there are made.
///
/// # Errors
/// As [`keep_inside`]; and where the file can't be written.
pub fn replace(root: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    keep_inside(root, path)?;
    if !is_below(root, path) {
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        return atomic::replace(path, bytes);
    }
    let place = real(&std::path::absolute(path)?);
    let (Some(folder), Some(name)) = (place.parent(), place.file_name()) else {
        return Err(io::ErrorKind::IsADirectory.into());
    };
    std::fs::create_dir_all(folder)?;
    let held = HeldFolder::open(folder)?;
    held.keep_inside(root_of(root))?;
    let at = held.at().join(name);
    let is_written_to = |old: &std::fs::Metadata| !old.is_file() && !old.is_symlink();
    if std::fs::symlink_metadata(&at).is_ok_and(|old| is_written_to(&old)) {
        let mut options = std::fs::OpenOptions::new();
        options
            .write(true)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        return options.open(&at)?.write_all(bytes);
    }
    atomic::replace_name(&at, bytes)
}

/// A file's own path or, where it is a link, the place that it leads to now: whoever is asked whether
/// that may be written is asked for the place that is then written, whatever becomes of the link.
pub fn place_of(file: &Path) -> PathBuf {
    match std::path::absolute(file) {
        Ok(path) if file.is_symlink() => real(&path),
        _ => file.to_owned(),
    }
}

/// The absolute path with each `..` taken back, whatever links there are.
fn as_written(path: &Path) -> io::Result<PathBuf> {
    Ok(without_dots(&std::path::absolute(path)?))
}

/// The path without `.` and `..`, as text: nothing of it need exist.
pub fn without_dots(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    clean
}

/// Whether a path is below `root` as it is written, whatever links there are.
pub fn is_below(root: &Path, path: &Path) -> bool {
    let known = as_written(root_of(root)).ok().zip(as_written(path).ok());
    known.is_some_and(|(root, path)| path.starts_with(root))
}

fn root_of(root: &Path) -> &Path {
    if root.as_os_str().is_empty() {
        return Path::new(".");
    }
    root
}

/// The path with its links followed; what isn't there yet is taken as it is written.
pub fn real(path: &Path) -> PathBuf {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::{keep_inside, replace};

    #[test]
    fn nothing_is_written_outside_while_links_are_swapped() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("project/sub")).unwrap();
        std::fs::create_dir(at("home")).unwrap();
        std::fs::write(at("home/file"), "mine").unwrap();
        std::fs::create_dir(at("project/true")).unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    for target in ["true", "../home"] {
                        let _ = symlink(target, at("project/new"));
                        let _ = std::fs::rename(at("project/new"), at("project/link"));
                    }
                    let _ = symlink("../../home/file", at("project/sub/new"));
                    let _ = std::fs::rename(at("project/sub/new"), at("project/sub/file"));
                }
            });
            for _ in 0..300 {
                let _ = replace(&at("project"), &at("project/link/file"), b"theirs");
                let _ = replace(&at("project"), &at("project/sub/file"), b"theirs");
            }
            is_over.store(true, Ordering::Relaxed);
        });
        assert_eq!(std::fs::read_to_string(at("home/file")).unwrap(), "mine");
        assert_eq!(std::fs::read_dir(at("home")).unwrap().count(), 1);
        replace(&at("project"), &at("project/a/b/file"), b"new").unwrap();
        assert_eq!(
            std::fs::read_to_string(at("project/a/b/file")).unwrap(),
            "new"
        );
    }

    #[test]
    fn links_that_lead_out_are_seen_at_every_level() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("project/sub")).unwrap();
        std::fs::create_dir(at("home")).unwrap();
        std::fs::write(at("home/rc"), "").unwrap();
        symlink("../home/rc", at("project/out")).unwrap();
        symlink("../home", at("project/folder")).unwrap();
        symlink("sub/file", at("project/in")).unwrap();
        std::fs::write(at("project/sub/file"), "").unwrap();
        let is_kept = |name: &str| keep_inside(&at("project"), &at(name)).is_ok();
        for good in [
            "project/new",
            "project/a/b",
            "project/in",
            "project/sub/x",
            "home/rc",
            "project/../home/new",
            "project/sub/../../home/rc",
        ] {
            assert!(is_kept(good), "{good}");
        }
        for bad in [
            "project/out",
            "project/folder/new",
            "project/folder/a/b",
            "project/folder/rc",
            "project/sub/../folder/rc",
            "project/../project/out",
        ] {
            assert!(!is_kept(bad), "{bad}");
        }
        let said = keep_inside(&at("project"), &at("project/out")).unwrap_err();
        assert!(said.to_string().contains("home/rc"), "{said}");
    }
}
