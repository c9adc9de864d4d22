//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Replaces `path` with `bytes`: written beside it, synced, renamed over it.
/// A file that exists keeps its permissions; a new one gets the user's umask.
/// A symbolic link is followed, so that the link itself stays; a device or pipe
/// (`/dev/stdout`, `/dev/null`) is written to.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let old = fs::metadata(&path).ok();
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        return fs::OpenOptions::new()
            .write(true)
            .open(&path)?
            .write_all(bytes);
    }
    let temporary = write_beside(&path, bytes)?;
    if let Some(old) = old {
        fs::set_permissions(&temporary, old.permissions())?;
    }
    temporary.persist(&path).map_err(|e| e.error)?;
    sync_folder(&path)
}

/// Creates `path` with `bytes`; fails with `AlreadyExists` if something is there.
pub fn create_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = write_beside(path, bytes)?;
    temporary.persist_noclobber(path).map_err(|e| e.error)?;
    sync_folder(path)
}

/// A file that is whole on disk beside `path`, and not yet there under its name. Dropped, it
/// leaves nothing.
pub(crate) struct Prepared {
    temporary: tempfile::TempPath,
    path: PathBuf,
}

impl Prepared {
    /// Writes `bytes` beside `path`.
    pub(crate) fn beside(path: &Path, bytes: &[u8]) -> io::Result<Self> {
        Ok(Self {
            temporary: write_beside(path, bytes)?,
            path: path.to_path_buf(),
        })
    }

    /// Gives it its name, in place of what is there.
    pub(crate) fn persist(self) -> io::Result<()> {
        self.temporary.persist(&self.path).map_err(|e| e.error)?;
        sync_folder(&self.path)
    }
}

/// Holds off others who want to change `path` too, until dropped. The lock is taken on the
/// *folder*: the file itself is replaced by each writer, and a second file would lie about in
/// the user's repository. File systems that can't lock a folder (NFS) get that second file.
pub(crate) fn guard(path: &Path) -> io::Result<File> {
    let folder = folder_of(path);
    let handle = File::open(&folder)?;
    if handle.lock().is_ok() {
        return Ok(handle);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.guard"));
    let handle = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(beside)?;
    handle.lock()?;
    Ok(handle)
}

/// The folder that holds `path`.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<tempfile::TempPath> {
    use std::os::unix::fs::PermissionsExt;

    let mut file = tempfile::Builder::new()
        .prefix(".mlbuild-")
        .suffix(".tmp")
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder_of(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file.into_temp_path())
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileTypeExt;

    use super::*;

    #[test]
    fn a_pipe_stays_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let reader = {
            let pipe = pipe.clone();
            std::thread::spawn(move || fs::read_to_string(pipe).unwrap())
        };
        replace(&pipe, b"words").unwrap();
        assert_eq!(reader.join().unwrap(), "words");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    }
}
