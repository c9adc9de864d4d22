//! A folder that received entries are written into, and never out of.
//!
//! Whatever another tree, or another process, does to the destination meanwhile: each entry's
//! folder is opened below the root with no symlink on the way ([`super::beneath`]), and every call
//! after that works on the open folder or file. Entries are filled under random names that must be
//! new, and appear under their own once they are whole; what was there before is replaced, and
//! nothing else is removed.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mlbuild_proto::fsutil::types::Stat;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use super::beneath;
use super::error::FsError;
use super::gopath;
use super::walk::go_mode;
use crate::session::fill_random;

/// The root of what is written.
pub(super) struct Destination {
    fd: OwnedFd,
    root: PathBuf,
}

/// A file that is being filled under a temporary name.
pub(super) struct Incoming {
    file: File,
    folder: OwnedFd,
    temporary: String,
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
        })
    }

    fn error(&self, doing: &'static str, path: &[u8], source: Errno) -> FsError {
        FsError::io(doing, self.full(path).as_os_str().as_bytes(), source)
    }

    /// What messages call an entry.
    fn full(&self, path: &[u8]) -> PathBuf {
        self.root.join(std::ffi::OsStr::from_bytes(path))
    }

    /// The folder that an entry lies in.
    fn folder_of(&self, path: &[u8]) -> Result<OwnedFd, FsError> {
        let folder = gopath::dir(path);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        beneath::open(&self.fd, &folder, flags, Mode::empty())
            .map_err(|e| self.error("open", &folder, e))
    }

    fn kind(&self, folder: &OwnedFd, path: &[u8]) -> Result<Option<FileType>, FsError> {
        match rustix::fs::statat(folder, gopath::base(path), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(self.error("read", path, e)),
        }
    }

    /// Makes a folder, or keeps the one there. It stays writable for us until
    /// [`Destination::finish_folder`].
    pub(super) fn folder(&self, path: &[u8], stat: &Stat) -> Result<(), FsError> {
        let open = Mode::from_raw_mode(unix_mode(stat.mode) | 0o700);
        let (folder, name) = (self.folder_of(path)?, gopath::base(path));
        match self.kind(&folder, path)? {
            Some(FileType::Directory) => {
                // Not being the owner shows soon enough, in a better place.
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                if let Ok(there) = beneath::open(&folder, name, flags, Mode::empty()) {
                    let _ = set_mode(&there, open);
                }
                return Ok(());
            }
            Some(_) => rustix::fs::unlinkat(&folder, name, AtFlags::empty())
                .map_err(|e| self.error("replace", path, e))?,
            None => {}
        }
        rustix::fs::mkdirat(&folder, name, open)
            .map_err(|e| self.error("create the directory", path, e))
    }

    /// Gives a folder its mode and times, once all inside is written.
    pub(super) fn finish_folder(&self, path: &[u8], stat: &Stat) -> Result<(), FsError> {
        self.node_metadata(&self.folder_of(path)?, gopath::base(path), path, stat)
    }

    /// Starts a regular file.
    pub(super) fn file(&mut self, path: Vec<u8>, stat: Stat) -> Result<Incoming, FsError> {
        let (folder, temporary) = (self.folder_of(&path)?, temporary());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mode = Mode::from_raw_mode(0o600);
        let fd = beneath::open(&folder, temporary.as_bytes(), flags, mode)
            .map_err(|e| self.error("create", &path, e))?;
        Ok(Incoming {
            file: fd.into(),
            folder,
            temporary,
            path,
            stat,
        })
    }

    /// Puts a filled file in its place.
    pub(super) fn finish_file(&self, incoming: Incoming) -> Result<(), FsError> {
        let set = self.file_metadata(&incoming);
        let Incoming {
            folder,
            temporary,
            path,
            ..
        } = incoming;
        set.and_then(|()| self.put(&folder, &temporary, &path))
    }

    /// Removes what a given-up file left.
    pub(super) fn abandon(&self, incoming: &Incoming) {
        let temporary = incoming.temporary.as_str();
        let _ = rustix::fs::unlinkat(&incoming.folder, temporary, AtFlags::empty());
    }

    /// Makes a symlink, fifo or device.
    pub(super) fn special(&mut self, path: &[u8], stat: &Stat) -> Result<(), FsError> {
        let (folder, temporary) = (self.folder_of(path)?, temporary());
        let made = if stat.mode & go_mode::SYMLINK != 0 {
            rustix::fs::symlinkat(&*stat.linkname, &folder, &*temporary)
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
            rustix::fs::mknodat(&folder, &*temporary, kind, mode, device)
        };
        made.map_err(|e| self.error("create", path, e))?;
        self.node_metadata(&folder, temporary.as_bytes(), path, stat)?;
        self.put(&folder, &temporary, path)
    }

    /// Makes a hard link to a file that this transfer wrote.
    pub(super) fn link(&mut self, path: &[u8], target: &[u8]) -> Result<(), FsError> {
        let (folder, temporary) = (self.folder_of(path)?, temporary());
        let (other, name) = (self.folder_of(target)?, gopath::base(target));
        rustix::fs::linkat(&other, name, &folder, &*temporary, AtFlags::empty())
            .map_err(|e| self.error("link", path, e))?;
        self.put(&folder, &temporary, path)?;
        // Renaming one name of a file over another of the same does nothing.
        let _ = rustix::fs::unlinkat(&folder, &*temporary, AtFlags::empty());
        Ok(())
    }

    /// Renames into place, over anything but a folder, which is removed.
    fn put(&self, folder: &OwnedFd, temporary: &str, path: &[u8]) -> Result<(), FsError> {
        let name = gopath::base(path);
        if self.kind(folder, path)? == Some(FileType::Directory) {
            // It follows no link below the name.
            std::fs::remove_dir_all(by_descriptor(folder, name))
                .map_err(|e| FsError::io("replace", self.full(path).as_os_str().as_bytes(), e))?;
        }
        rustix::fs::renameat(folder, temporary, folder, name).map_err(|e| {
            let _ = rustix::fs::unlinkat(folder, temporary, AtFlags::empty());
            self.error("write", path, e)
        })
    }

    fn file_metadata(&self, incoming: &Incoming) -> Result<(), FsError> {
        let Incoming {
            file, path, stat, ..
        } = incoming;
        for (key, value) in &stat.xattrs {
            // Most need rights or a file system that an export can't count on.
            let _ = rustix::fs::fsetxattr(file, &**key, value, XattrFlags::empty());
        }
        rustix::fs::fchmod(file, Mode::from_raw_mode(unix_mode(stat.mode)))
            .map_err(|e| self.error("set the mode of", path, e))?;
        rustix::fs::futimens(file, &times(stat)).map_err(|e| self.error("set the time of", path, e))
    }

    /// The same for what can't be opened for it: folders, links, pipes and devices.
    fn node_metadata(
        &self,
        folder: &OwnedFd,
        name: &[u8],
        path: &[u8],
        stat: &Stat,
    ) -> Result<(), FsError> {
        for (key, value) in &stat.xattrs {
            let place = by_descriptor(folder, name);
            let _ = rustix::fs::lsetxattr(&place, &**key, value, XattrFlags::empty());
        }
        if stat.mode & go_mode::SYMLINK == 0 {
            let mode = Mode::from_raw_mode(unix_mode(stat.mode));
            beneath::open(folder, name, OFlags::PATH, Mode::empty())
                .and_then(|node| set_mode(&node, mode))
                .map_err(|e| self.error("set the mode of", path, e))?;
        }
        rustix::fs::utimensat(folder, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| self.error("set the time of", path, e))
    }
}

/// A name that nobody can tell before.
fn temporary() -> String {
    let mut random = [0; 12];
    fill_random(&mut random);
    format!(".mlbuild-{}.tmp", hex::encode(random))
}

/// The path of a name in an open folder, for calls that take no descriptor.
fn by_descriptor(folder: &OwnedFd, name: &[u8]) -> PathBuf {
    let name = std::ffi::OsStr::from_bytes(name);
    PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name)
}

/// `fchmod` of what is open by its place only, which the call itself refuses.
fn set_mode(node: &OwnedFd, mode: Mode) -> Result<(), Errno> {
    let place = format!("/proc/self/fd/{}", node.as_raw_fd());
    rustix::fs::chmodat(CWD, place, mode, AtFlags::empty())
}

fn times(stat: &Stat) -> Timestamps {
    let time = Timespec {
        tv_sec: stat.mod_time.div_euclid(1_000_000_000),
        tv_nsec: stat.mod_time.rem_euclid(1_000_000_000) as _,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
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
