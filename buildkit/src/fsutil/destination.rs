//! A folder that received entries are written into, and never out of.
//!
//! Every folder on the way to an entry is one that this transfer made or found
//! to be a real folder, and no call follows a symlink at the end of a path, so
//! neither `..` nor links that lie in the destination lead outside. Entries
//! appear under their names once they are whole; what was there before is
//! replaced, and nothing else is removed.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mlbuild_proto::fsutil::types::Stat;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::error::FsError;
use super::gopath;
use super::walk::go_mode;

/// The root of what is written.
pub(super) struct Destination {
    fd: OwnedFd,
    root: PathBuf,
    temporaries: u64,
}

/// A file that is being filled under a temporary name.
pub(super) struct Incoming {
    file: File,
    temporary: Vec<u8>,
    path: Vec<u8>,
    stat: Stat,
}

impl Destination {
    /// Opens the folder, making it and its parents where missing.
    pub(super) fn open(root: &Path) -> Result<Self, FsError> {
        let name = root.as_os_str().as_bytes();
        std::fs::create_dir_all(root).map_err(|e| FsError::io("create the directory", name, e))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(root, flags, Mode::empty())
            .map_err(|e| FsError::io("open", name, e))?;
        Ok(Destination {
            fd,
            root: root.to_owned(),
            temporaries: 0,
        })
    }

    fn full(&self, path: &[u8]) -> PathBuf {
        self.root.join(std::ffi::OsStr::from_bytes(path))
    }

    fn error(&self, doing: &'static str, path: &[u8], source: Errno) -> FsError {
        FsError::io(doing, self.full(path).as_os_str().as_bytes(), source)
    }

    fn kind(&self, path: &[u8]) -> Result<Option<FileType>, FsError> {
        match rustix::fs::statat(&self.fd, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(self.error("read", path, e)),
        }
    }

    /// Makes a folder, or keeps the one there. It stays writable for us until
    /// [`Destination::finish_folder`].
    pub(super) fn folder(&self, path: &[u8], stat: &Stat) -> Result<(), FsError> {
        let open = Mode::from_raw_mode(unix_mode(stat.mode) | 0o700);
        match self.kind(path)? {
            Some(FileType::Directory) => {
                // Not being the owner shows soon enough, in a better place.
                let _ = rustix::fs::chmodat(&self.fd, path, open, AtFlags::empty());
                return Ok(());
            }
            Some(_) => rustix::fs::unlinkat(&self.fd, path, AtFlags::empty())
                .map_err(|e| self.error("replace", path, e))?,
            None => {}
        }
        rustix::fs::mkdirat(&self.fd, path, open)
            .map_err(|e| self.error("create the directory", path, e))
    }

    /// Gives a folder its mode and times, once all inside is written.
    pub(super) fn finish_folder(&self, path: &[u8], stat: &Stat) -> Result<(), FsError> {
        self.metadata(path, stat)
    }

    /// Starts a regular file.
    pub(super) fn file(&mut self, path: Vec<u8>, stat: Stat) -> Result<Incoming, FsError> {
        let temporary = self.temporary(&path);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, &*temporary, flags, Mode::from_raw_mode(0o600))
            .map_err(|e| self.error("create", &path, e))?;
        Ok(Incoming {
            file: fd.into(),
            temporary,
            path,
            stat,
        })
    }

    /// Puts a filled file in its place.
    pub(super) fn finish_file(&self, incoming: Incoming) -> Result<(), FsError> {
        let Incoming {
            file,
            temporary,
            path,
            stat,
        } = incoming;
        drop(file);
        self.metadata(&temporary, &stat)
            .and_then(|()| self.put(&temporary, &path))
    }

    /// Removes what a given-up file left.
    pub(super) fn abandon(&self, incoming: &Incoming) {
        let _ = rustix::fs::unlinkat(&self.fd, &*incoming.temporary, AtFlags::empty());
    }

    /// Makes a symlink, fifo or device.
    pub(super) fn special(&mut self, path: &[u8], stat: &Stat) -> Result<(), FsError> {
        let temporary = self.temporary(path);
        let made = if stat.mode & go_mode::SYMLINK != 0 {
            rustix::fs::symlinkat(&*stat.linkname, &self.fd, &*temporary)
        } else {
            let kind = if stat.mode & go_mode::CHAR_DEVICE != 0 {
                FileType::CharacterDevice
            } else if stat.mode & go_mode::NAMED_PIPE != 0 {
                FileType::Fifo
            } else {
                FileType::BlockDevice
            };
            let device = rustix::fs::makedev(stat.devmajor as u32, stat.devminor as u32);
            let mode = Mode::from_raw_mode(unix_mode(stat.mode));
            rustix::fs::mknodat(&self.fd, &*temporary, kind, mode, device)
        };
        made.map_err(|e| self.error("create", path, e))?;
        self.metadata(&temporary, stat)?;
        self.put(&temporary, path)
    }

    /// Makes a hard link to a file that this transfer wrote.
    pub(super) fn link(&mut self, path: &[u8], target: &[u8]) -> Result<(), FsError> {
        let temporary = self.temporary(path);
        rustix::fs::linkat(&self.fd, target, &self.fd, &*temporary, AtFlags::empty())
            .map_err(|e| self.error("link", path, e))?;
        self.put(&temporary, path)?;
        // Renaming one name of a file over another of the same does nothing.
        let _ = rustix::fs::unlinkat(&self.fd, &*temporary, AtFlags::empty());
        Ok(())
    }

    /// A name next to `path` that nothing else uses.
    fn temporary(&mut self, path: &[u8]) -> Vec<u8> {
        self.temporaries += 1;
        let name = format!(".mlbuild-{}-{}.tmp", std::process::id(), self.temporaries);
        gopath::join(&gopath::dir(path), name.as_bytes())
    }

    /// Renames into place, over anything but a folder, which is removed.
    fn put(&self, temporary: &[u8], path: &[u8]) -> Result<(), FsError> {
        if self.kind(path)? == Some(FileType::Directory) {
            std::fs::remove_dir_all(self.full(path))
                .map_err(|e| FsError::io("replace", self.full(path).as_os_str().as_bytes(), e))?;
        }
        rustix::fs::renameat(&self.fd, temporary, &self.fd, path).map_err(|e| {
            let _ = rustix::fs::unlinkat(&self.fd, temporary, AtFlags::empty());
            self.error("write", path, e)
        })
    }

    fn metadata(&self, path: &[u8], stat: &Stat) -> Result<(), FsError> {
        let full = self.full(path);
        for (key, value) in &stat.xattrs {
            // Most need rights or a file system that an export can't count on.
            let flags = rustix::fs::XattrFlags::empty();
            let _ = rustix::fs::lsetxattr(&full, &**key, value, flags);
        }
        if stat.mode & go_mode::SYMLINK == 0 {
            let mode = Mode::from_raw_mode(unix_mode(stat.mode));
            rustix::fs::chmodat(&self.fd, path, mode, AtFlags::empty())
                .map_err(|e| self.error("set the mode of", path, e))?;
        }
        let time = Timespec {
            tv_sec: stat.mod_time.div_euclid(1_000_000_000),
            tv_nsec: stat.mod_time.rem_euclid(1_000_000_000) as _,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::utimensat(CWD, &full, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| self.error("set the time of", path, e))
    }
}

impl Incoming {
    pub(super) fn write(&mut self, data: &[u8]) -> Result<(), FsError> {
        self.file
            .write_all(data)
            .map_err(|e| FsError::io("write", &self.path, e))
    }
}

/// Permission bits as Unix has them, from Go's.
fn unix_mode(mode: u32) -> u32 {
    let special = [
        (go_mode::SETUID, 0o4000),
        (go_mode::SETGID, 0o2000),
        (go_mode::STICKY, 0o1000),
    ];
    special
        .iter()
        .filter(|(go, _)| mode & go != 0)
        .fold(mode & 0o777, |unix, (_, bit)| unix | bit)
}
