//! Large files that are there whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{Written, folder_of, sync_folder};

/// A file that isn't whole yet, beside where it will be, for more than fits in memory. Dropped, it leaves
/// nothing.
pub struct Unfinished {
    written: Written,
    path: PathBuf,
    old: Option<fs::Permissions>,
}

impl Unfinished {
    /// Begins what `path` will name, or what a link there leads to. A file that exists keeps its permissions;
    /// a new one gets `mode`, less the user's umask.
    ///
    /// # Errors
    /// Where no file can be written there, or something else is there.
    pub fn beside(path: &Path, mode: u32) -> io::Result<Self> {
        let is_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let old = fs::metadata(&path).ok();
        let folder = folder_of(&path);
        let refuse = |kind, why| Err(io::Error::new(kind, why));
        match &old {
            Some(old) if old.is_dir() => {
                return refuse(
                    io::ErrorKind::IsADirectory,
                    "it is a folder: name a file in it",
                );
            }
            Some(old) if !old.is_file() => {
                return refuse(
                    io::ErrorKind::InvalidInput,
                    "it is a device or a pipe: name a file",
                );
            }
            None if is_folder => {
                return refuse(io::ErrorKind::NotFound, "there is no such folder");
            }
            None if !fs::metadata(&folder)?.is_dir() => {
                return refuse(
                    io::ErrorKind::NotADirectory,
                    "what it would lie in is no folder",
                );
            }
            _ => {}
        }
        // The error names a file of which nobody knows.
        let written = Written::begin(&folder, mode);
        Ok(Self {
            written: written.map_err(|error| io::Error::from(error.kind()))?,
            path,
            old: old.map(|old| old.permissions()),
        })
    }

    /// The file, to be written from front to back or in any order.
    pub fn file(&self) -> &File {
        self.written.file()
    }

    /// Puts it on the disk and gives it its name, in place of what is there.
    ///
    /// # Errors
    /// Where the disk is full, or the name can't be had.
    pub fn persist(self) -> io::Result<()> {
        if let Some(old) = self.old {
            self.written.set_permissions(old)?;
        }
        self.written.file().sync_all()?;
        self.written.replace(&self.path)?;
        sync_folder(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::atomic::UNFINISHED;

    #[test]
    fn an_unfinished_file_is_there_once_it_is_whole_or_leaves_nothing() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let write = |name: &str, text: &str| {
            let new = Unfinished::beside(&path(name), 0o777).unwrap();
            new.file().write_all(text.as_bytes()).unwrap();
            new
        };
        // What this process's umask makes of it.
        fs::create_dir(path("folder")).unwrap();
        write("new", "one").persist().unwrap();
        assert_eq!(mode(&path("new")), mode(&path("folder")));
        fs::set_permissions(path("new"), fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("new", path("link")).unwrap();
        write("link", "two").persist().unwrap();
        assert_eq!(fs::read(path("new")).unwrap(), b"two");
        assert_eq!(mode(&path("new")), 0o640);
        assert!(path("link").is_symlink());
        drop(write("other", "three"));
        for (wrong, kind) in [
            ("folder", io::ErrorKind::IsADirectory),
            ("folder/", io::ErrorKind::IsADirectory),
            ("none/", io::ErrorKind::NotFound),
            ("none/file", io::ErrorKind::NotFound),
            ("new/file", io::ErrorKind::NotADirectory),
        ] {
            let error = Unfinished::beside(&path(wrong), 0o777).err().unwrap();
            assert_eq!(error.kind(), kind, "{wrong}: {error}");
            assert!(!error.to_string().contains(UNFINISHED.0), "{error}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
