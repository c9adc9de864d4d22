//! Folders that are there whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::TempDir;

use crate::atomic::{self, LOCK, UNFINISHED, folder_of, workshop};

/// A folder that is filled, and gets its name when it is whole. Dropped before, it leaves nothing; of a
/// process that was killed, [`atomic::sweep`] removes it.
#[derive(Debug)]
pub struct UnfinishedFolder {
    folder: TempDir,
    lock: Option<File>,
}

impl UnfinishedFolder {
    /// A folder that is to become `path`, on the same file system.
    ///
    /// # Errors
    /// Where nothing can be made beside `path`.
    pub fn beside(path: &Path) -> io::Result<Self> {
        let parent = folder_of(path);
        atomic::sweep(&parent);
        let workshop = workshop(&parent);
        if workshop != parent {
            // The owner of that one looks after it.
            let folder = tempfile::tempdir_in(workshop)?;
            return Ok(Self { folder, lock: None });
        }
        let (prefix, suffix) = UNFINISHED;
        let folder = tempfile::Builder::new()
            .prefix(prefix)
            .suffix(suffix)
            .tempdir_in(&parent)?;
        let lock = File::create_new(folder.path().join(LOCK))?;
        lock.lock()?;
        let lock = Some(lock);
        Ok(Self { folder, lock })
    }

    /// Where it is for now.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Gives it its name. Only an empty folder may be there.
    ///
    /// # Errors
    /// Where it can't be moved.
    pub fn finish(self, path: &Path) -> io::Result<()> {
        if self.lock.is_some() {
            fs::remove_file(self.folder.path().join(LOCK))?;
        }
        fs::rename(self.folder.path(), path)?;
        // Nothing is there under the old name.
        let _ = self.folder.keep();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_gets_its_name_when_it_is_whole_and_of_a_killed_process_nothing_is_left() {
        let place = tempfile::tempdir_in(".").unwrap();
        // As where the temporary files lie on another file system.
        let temporary = tempfile::tempdir_in("/dev/shm").unwrap();
        let fill = |name: &str| {
            let (prefix, suffix) = UNFINISHED;
            let folder = place.path().join(format!("{prefix}{name}{suffix}"));
            fs::create_dir_all(folder.join("blobs")).unwrap();
            folder
        };
        for name in ["killed", "busy"] {
            fs::write(fill(name).join(LOCK), "").unwrap();
        }
        let busy = File::open(fill("busy").join(LOCK)).unwrap();
        busy.lock().unwrap();
        fs::write(fill("other").join(LOCK), "words of somebody else").unwrap();
        fill("without");
        atomic::sweep(place.path());
        let left = [
            ".mlbuild-busy.tmp",
            ".mlbuild-other.tmp",
            ".mlbuild-without.tmp",
        ];
        assert_eq!(names(place.path()), left);

        for target in [place.path().join("layout"), temporary.path().join("layout")] {
            let folder = UnfinishedFolder::beside(&target).unwrap();
            fs::write(folder.path().join("oci-layout"), "{}").unwrap();
            assert!(!target.exists());
            folder.finish(&target).unwrap();
            assert_eq!(names(&target), ["oci-layout"]);
            drop(UnfinishedFolder::beside(&target).unwrap());
        }
        assert_eq!(names(temporary.path()), ["layout"]);
        assert_eq!(names(place.path()).len(), left.len() + 1);
    }
}
