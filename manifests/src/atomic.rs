//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

mod unfinished;

pub use unfinished::Unfinished;

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
    let written = Written::beside(&path, bytes)?;
    if let Some(old) = old {
        written.set_permissions(old.permissions())?;
    }
    written.replace(&path)?;
    sync_folder(&path)
}

/// Replaces what may be lost, in one step and without waiting until it is on the disk: after a loss of power the
/// file may be cut off. Its folder is made where there is none. Only this user can read it.
pub fn replace_soon(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    fs::create_dir_all(&folder)?;
    let mut new = tempfile::NamedTempFile::new_in(workshop(&folder))?;
    new.write_all(bytes)?;
    new.persist(path).map(drop).map_err(|error| error.error)
}

/// As [`replace`], in a folder that others may write to: a link that stands there under the file's name
/// is replaced itself, and nothing is written where it leads.
pub fn replace_name(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let old = fs::symlink_metadata(path).ok().filter(|old| old.is_file());
    let written = Written::beside(path, bytes)?;
    if let Some(old) = old {
        written.set_permissions(old.permissions())?;
    }
    written.replace(path)?;
    sync_folder(path)
}

/// Creates `path` with `bytes`; fails with `AlreadyExists` if something is there.
pub fn create_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    Written::beside(path, bytes)?.create(path)?;
    sync_folder(path)
}

/// A file that is whole on disk beside `path`, and not yet there under its name. Dropped, it
/// leaves nothing.
pub(crate) struct Prepared {
    written: Written,
    path: PathBuf,
}

impl Prepared {
    /// Writes `bytes` beside `path`.
    pub(crate) fn beside(path: &Path, bytes: &[u8]) -> io::Result<Self> {
        Ok(Self {
            written: Written::beside(path, bytes)?,
            path: path.to_path_buf(),
        })
    }

    /// Gives it its name, in place of what is there.
    pub(crate) fn persist(self) -> io::Result<()> {
        self.written.replace(&self.path)?;
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
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// What the name of a file or folder begins and ends with that isn't whole yet. It is never part of a
/// build's context, and [`sweep`] removes it.
pub(crate) const UNFINISHED: (&str, &str) = (".mlbuild-", ".tmp");

/// Whether a name is that of a file that isn't whole yet.
pub fn is_unfinished(name: &[u8]) -> bool {
    name.starts_with(UNFINISHED.0.as_bytes()) && name.ends_with(UNFINISHED.1.as_bytes())
}

/// In a folder that isn't whole yet and lies in a folder of the user's: locked by whoever fills it.
pub(crate) const LOCK: &str = "lock";

/// Removes what killed processes left unfinished in a folder. What another process writes at this
/// moment is locked by it, and stays.
pub fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if !is_unfinished(entry.file_name().as_encoded_bytes()) {
            continue;
        }
        let path = entry.path();
        // A name alone proves nothing: what is neither a plain file nor a folder with our lock was not left by us.
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_file() && File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(&path);
        } else if kind.is_dir() && is_left(&path) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// Whether nobody fills a folder any more that was made here.
fn is_left(folder: &Path) -> bool {
    let lock = folder.join(LOCK);
    let is_ours = fs::symlink_metadata(&lock).is_ok_and(|meta| meta.is_file() && meta.len() == 0);
    is_ours && File::open(lock).is_ok_and(|lock| lock.try_lock().is_ok())
}

/// Where a file for `folder` is written before it is moved there: among the temporary things of this
/// process, which somebody looks after, if those are on the same file system; else in the folder itself.
pub fn workshop(folder: &Path) -> PathBuf {
    use std::os::unix::fs::MetadataExt as _;
    let temporary = tempfile::env::temp_dir();
    let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).ok();
    let is_same = device(&temporary).is_some()
        && device(&temporary) == device(folder)
        && mount(&temporary) == mount(folder);
    if is_same {
        temporary
    } else {
        folder.to_owned()
    }
}

/// The mount that a path lies on, where the kernel tells: nothing is moved from one to another, be it of the same
/// file system.
fn mount(path: &Path) -> Option<u64> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
    let found = statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID).ok()?;
    Some(found.stx_mnt_id)
}

/// Whether a file can be written into a folder, which is made if it isn't there: on a full disk, or one
/// that is another's, it can't.
///
/// # Errors
/// Why not.
pub fn check_writable(path: &Path) -> io::Result<()> {
    let folder = folder_of(path);
    fs::create_dir_all(&folder)?;
    // More than any file that is written here needs; nothing of it stays.
    const ENOUGH: usize = 64 << 10;
    Written::beside(path, &vec![b'\n'; ENOUGH]).map(drop)
}

/// A file that is whole on disk. Where the file system can do that it has no name until it gets its
/// own, so that whoever is killed leaves nothing. It is locked meanwhile.
enum Written {
    Unnamed(File),
    Named(tempfile::NamedTempFile),
}

impl Written {
    fn begin(folder: &Path, mode: u32) -> io::Result<Self> {
        let written = match unnamed_in(folder, mode) {
            Some(file) => Written::Unnamed(file),
            None => Written::Named(named(folder, mode)?),
        };
        // Where a file system has no locks, a sweep finds none to be taken and takes it.
        let _ = written.file().lock();
        Ok(written)
    }

    fn beside(path: &Path, bytes: &[u8]) -> io::Result<Self> {
        let written = Self::begin(&folder_of(path), 0o666)?;
        let mut file = written.file();
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(written)
    }

    fn file(&self) -> &File {
        match self {
            Written::Unnamed(file) => file,
            Written::Named(file) => file.as_file(),
        }
    }

    fn set_permissions(&self, permissions: fs::Permissions) -> io::Result<()> {
        self.file().set_permissions(permissions)
    }

    /// Gives it a name that nothing has.
    fn create(self, path: &Path) -> io::Result<()> {
        match self {
            Written::Unnamed(file) => link(&file, path),
            Written::Named(file) => file.persist_noclobber(path).map(drop).map_err(|e| e.error),
        }
    }

    /// Gives it a name, in place of what has it.
    fn replace(self, path: &Path) -> io::Result<()> {
        let file = match self {
            Written::Named(file) => return file.persist(path).map(drop).map_err(|e| e.error),
            Written::Unnamed(file) => file,
        };
        match link(&file, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            done => return done,
        }
        // There is no call that gives a file without a name one that is taken. It gets one for a moment where
        // somebody looks after it, should this process be killed.
        let folder = folder_of(path);
        let linked = |folder: &Path| {
            let mut name = tempfile::Builder::new();
            name.prefix(UNFINISHED.0).suffix(UNFINISHED.1);
            name.make_in(folder, |name| link(&file, name))
        };
        let made = match linked(&workshop(&folder)) {
            // One file system, mounted twice, where the kernel doesn't tell mounts apart.
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => linked(&folder)?,
            made => made?,
        };
        made.into_temp_path().persist(path).map_err(|e| e.error)
    }
}

/// A file without a name; `None` where the file system has none.
fn unnamed_in(folder: &Path, mode: u32) -> Option<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(CWD, folder, flags, Mode::from_raw_mode(mode)).ok()?;
    // It gets its name by this path.
    let is_seen = Path::new("/proc/self/fd").exists();
    is_seen.then(|| File::from(file))
}

fn link(file: &File, path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    use std::os::fd::AsRawFd as _;
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

fn named(folder: &Path, mode: u32) -> io::Result<tempfile::NamedTempFile> {
    use std::os::unix::fs::PermissionsExt as _;
    tempfile::Builder::new()
        .prefix(UNFINISHED.0)
        .suffix(UNFINISHED.1)
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(folder)
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

    #[test]
    fn what_a_killed_process_left_goes_and_what_another_writes_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in [".mlbuild-a.tmp", ".mlbuild-b.tmp", ".mlbuildrc", "x.tmp"] {
            fs::write(path(name), "x").unwrap();
        }
        fs::create_dir(path(".mlbuild-folder.tmp")).unwrap();
        let busy = File::open(path(".mlbuild-b.tmp")).unwrap();
        busy.lock().unwrap();
        sweep(folder.path());
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                ".mlbuild-b.tmp",
                ".mlbuild-folder.tmp",
                ".mlbuildrc",
                "x.tmp"
            ]
        );
    }

    #[test]
    fn a_file_is_made_once_replaced_and_keeps_its_permissions() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        create_new(&path, b"one").unwrap();
        let again = create_new(&path, b"two").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, b"three").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
