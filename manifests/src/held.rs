//! A folder that is held open: whoever swaps it for a link to another changes nothing of where is written.
//!
//! A container may have a project mounted, and run for days: between the look at where a folder leads
//! and the writing into it, it could be another one.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

/// A folder, wherever it is moved.
#[derive(Clone, Debug)]
pub struct HeldFolder {
    file: Arc<File>,
    path: PathBuf,
}

impl HeldFolder {
    /// Opens a folder; links that lead to it are followed.
    ///
    /// # Errors
    /// Where it isn't there, or is none.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self {
            file: Arc::new(file),
            path: path.to_owned(),
        })
    }

    /// A folder in `root`, by its name, made if it isn't there. A link in its place is refused, whenever it
    /// was put there; links on the way to `root` are followed.
    ///
    /// # Errors
    /// Of the kind `PermissionDenied` for a link; where it can't be made or opened, or is no folder.
    pub fn beneath(root: &Path, name: &str) -> io::Result<Self> {
        let root = if root.as_os_str().is_empty() {
            Path::new(".")
        } else {
            root
        };
        let above = File::open(root)?;
        match rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&above, name, flags, Mode::empty());
        let is_link = || {
            let found = rustix::fs::statat(&above, name, AtFlags::SYMLINK_NOFOLLOW);
            found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink)
        };
        match opened {
            Ok(folder) => Ok(Self {
                file: Arc::new(File::from(folder)),
                path: root.join(name),
            }),
            Err(Errno::LOOP | Errno::NOTDIR) if is_link() => {
                let text = "it has become a link, which nobody was asked about";
                Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// As [`HeldFolder::open`], and refuses a folder that isn't below `root`. It is made if it isn't there.
    ///
    /// # Errors
    /// As [`HeldFolder::open`]; of the kind `PermissionDenied` where it leads out of `root`.
    pub fn inside(root: &Path, path: &Path) -> io::Result<Self> {
        let made = std::fs::create_dir(path);
        if let Err(error) = made
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        let held = Self::open(path)?;
        held.keep_inside(root)?;
        Ok(held)
    }

    /// Refuses a folder that isn't `root` or below it, wherever the path led that it was opened by.
    ///
    /// # Errors
    /// Of the kind `PermissionDenied`, with where the folder is.
    pub fn keep_inside(&self, root: &Path) -> io::Result<()> {
        self.keep_below(&root.canonicalize()?)
    }

    /// As [`HeldFolder::keep_inside`], of a root whose links were followed when it was looked up: one that
    /// has become a link since isn't followed.
    ///
    /// # Errors
    /// As [`HeldFolder::keep_inside`].
    pub fn keep_below(&self, root: &Path) -> io::Result<()> {
        // Where the system doesn't say which folder is open, what it is called now has to do.
        let place = std::fs::read_link(self.at()).or_else(|_| self.path.canonicalize())?;
        if place.starts_with(root) {
            return Ok(());
        }
        let text = format!(
            "a link leads to {}, outside {}, where nothing is written",
            place.display(),
            root.display()
        );
        Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
    }

    /// What it was opened as.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path that leads to this very folder for as long as the value lives; what it was opened as where
    /// the system has none.
    pub fn at(&self) -> PathBuf {
        let own = PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()));
        if own.exists() { own } else { self.path.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::HeldFolder;

    #[test]
    fn a_folder_that_is_swapped_for_a_link_stays_the_one_that_was_opened() {
        let (all, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = all.path().join("runs");
        let held = HeldFolder::inside(all.path(), &folder).unwrap();
        std::fs::rename(&folder, all.path().join("aside")).unwrap();
        symlink(outside.path(), &folder).unwrap();
        std::fs::write(held.at().join("file"), "text").unwrap();
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        assert!(all.path().join("aside/file").exists());
        let refused = HeldFolder::inside(all.path(), &folder).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    }
}
