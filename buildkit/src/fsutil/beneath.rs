//! Opening what lies below a folder, and nothing else: no symlink is followed on the way or at
//! the end, and no `..` is taken.
//!
//! The kernel does it in one call (`openat2(2)`, Linux 5.6). Where it has none, or a sandbox
//! refuses it, each folder on the way is opened by itself.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Set once the kernel has said that it has no `openat2`.
static IS_MISSING: AtomicBool = AtomicBool::new(false);
/// `openat2` asks to try again where folders are renamed meanwhile.
const TRIES: u32 = 16;

/// Opens `path`, which is relative, below `root`.
///
/// # Errors
/// `ELOOP` for a symlink, `EXDEV` for a path that leads out; else what `openat(2)` says.
pub fn open(root: impl AsFd, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..TRIES {
        if IS_MISSING.load(Ordering::Relaxed) {
            break;
        }
        match rustix::fs::openat2(&root, path, flags, mode, beneath) {
            Err(Errno::AGAIN) => {}
            Err(Errno::NOSYS | Errno::PERM) if !is_there(&root) => {
                IS_MISSING.store(true, Ordering::Relaxed);
            }
            done => return no_link(done?, flags),
        }
    }
    no_link(by_steps(root, path, flags, mode)?, flags)
}

/// `O_PATH` opens a link itself where it stands at the end, in both ways.
fn no_link(opened: OwnedFd, flags: OFlags) -> Result<OwnedFd, Errno> {
    if flags.contains(OFlags::PATH) {
        let stat = rustix::fs::fstat(&opened)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            return Err(Errno::LOOP);
        }
    }
    Ok(opened)
}

/// Whether this kernel lets us use `openat2`.
fn is_there(root: impl AsFd) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::openat2(root, ".", flags, Mode::empty(), ResolveFlags::BENEATH).is_ok()
}

/// What [`open`] does where there is no `openat2`.
fn by_steps(root: impl AsFd, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if path.starts_with(b"/") {
        return Err(Errno::XDEV);
    }
    let mut names: Vec<&[u8]> = path.split(|&b| b == b'/').collect();
    names.retain(|name| !name.is_empty() && *name != b".");
    if names.contains(&&b".."[..]) {
        return Err(Errno::XDEV);
    }
    let last = names.pop().unwrap_or(b".");
    let mut folder = rustix::fs::openat(&root, ".", step, Mode::empty())?;
    for name in names {
        let next = rustix::fs::openat(&folder, name, step, Mode::empty());
        folder = next.map_err(|error| link_or(&folder, name, error))?;
    }
    let opened = rustix::fs::openat(&folder, last, flags, mode);
    let opened = opened.map_err(|error| link_or(&folder, last, error))?;
    Ok(opened)
}

/// `ELOOP` where it was a symlink: with `O_DIRECTORY` the kernel says that it is no folder.
fn link_or(folder: &OwnedFd, name: &[u8], error: Errno) -> Errno {
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    match rustix::fs::statat(folder, name, flags) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => Errno::LOOP,
        _ => error,
    }
}

/// A folder that others filled: regular files are read from it, and nothing that a link in it
/// leads to.
#[derive(Debug)]
pub struct ReceivedFolder {
    fd: OwnedFd,
    path: PathBuf,
}

impl ReceivedFolder {
    /// Opens the folder itself, which is ours.
    ///
    /// # Errors
    /// Where it can't be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            fd: rustix::fs::open(path, flags, Mode::empty())?,
            path: path.to_owned(),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a regular file of at most `most` bytes.
    ///
    /// # Errors
    /// For anything else at that place, with the reason.
    pub fn file(&self, relative: impl AsRef<Path>, most: u64) -> io::Result<File> {
        let path = relative.as_ref().as_os_str().as_bytes();
        // A pipe that nobody writes into must not hold us up.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let fd = open(&self.fd, path, flags, Mode::empty()).map_err(|error| match error {
            Errno::LOOP => refused("it is a symbolic link, or lies behind one"),
            Errno::XDEV => refused("it leads out of its folder"),
            other => other.into(),
        })?;
        let stat = rustix::fs::fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(refused("it isn't a regular file"));
        }
        if stat.st_size as u64 > most {
            return Err(refused(&format!("it is larger than {most} bytes")));
        }
        Ok(File::from(fd))
    }

    /// The content of a text of at most `most` bytes.
    ///
    /// # Errors
    /// As [`ReceivedFolder::file`], and where it isn't UTF-8.
    pub fn text(&self, relative: impl AsRef<Path>, most: u64) -> io::Result<String> {
        let mut text = String::new();
        let file = self.file(relative, most)?;
        file.take(most).read_to_string(&mut text)?;
        Ok(text)
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("refused: {why}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// One of the ways to open a folder.
    type Way<'a> = &'a dyn Fn(&str) -> Result<OwnedFd, Errno>;

    #[test]
    fn both_ways_open_what_is_below_and_nothing_else() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("key"), "mine").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("d")).unwrap();
        std::fs::write(at("d/f"), "theirs").unwrap();
        symlink(outside.path(), at("out")).unwrap();
        symlink("d", at("in")).unwrap();
        symlink(outside.path().join("key"), at("key")).unwrap();
        let root = std::fs::File::open(folder.path()).unwrap();
        for flags in [OFlags::RDONLY, OFlags::PATH] {
            let ways: [Way<'_>; 2] = [
                &|path| open(&root, path.as_bytes(), flags, Mode::empty()),
                &|path| {
                    let flags = flags | OFlags::NOFOLLOW;
                    let opened = by_steps(&root, path.as_bytes(), flags, Mode::empty())?;
                    no_link(opened, flags)
                },
            ];
            for way in ways {
                assert!(way("d/f").is_ok() && way(".").is_ok());
                for (path, error) in [
                    ("out/key", Errno::LOOP),
                    ("in/f", Errno::LOOP),
                    ("key", Errno::LOOP),
                    ("/etc/passwd", Errno::XDEV),
                    ("../x", Errno::XDEV),
                    ("d/none", Errno::NOENT),
                ] {
                    assert_eq!(way(path).unwrap_err(), error, "{path}");
                }
            }
        }
    }

    #[test]
    fn only_regular_files_of_a_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("f"), "12345").unwrap();
        std::fs::create_dir(folder.path().join("d")).unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let received = ReceivedFolder::open(folder.path()).unwrap();
        assert_eq!(received.text("f", 5).unwrap(), "12345");
        for (name, most) in [("f", 4), ("d", 9), ("pipe", 9), ("none", 9)] {
            assert!(received.text(name, most).is_err(), "{name}");
        }
    }
}
