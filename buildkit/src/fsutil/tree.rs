//! A folder on disk, seen from its root: the few calls that walking, following
//! links and sending need, with paths relative to the root as bytes.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat};
use rustix::io::Errno;

use super::error::FsError;
use super::gopath;

/// An open folder.
#[derive(Debug)]
pub struct Tree {
    fd: OwnedFd,
    root: PathBuf,
}

/// The names in a folder, in byte order.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    entries: Vec<(u32, u16, FileType)>,
}

impl Names {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], FileType)> {
        self.entries.iter().map(|e| (name(&self.bytes, e), e.2))
    }

    /// The entry of that index: its name and its kind as the directory tells it.
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], FileType)> {
        let entry = self.entries.get(index)?;
        Some((name(&self.bytes, entry), entry.2))
    }
}

fn name<'a>(bytes: &'a [u8], entry: &(u32, u16, FileType)) -> &'a [u8] {
    &bytes[entry.0 as usize..entry.0 as usize + entry.1 as usize]
}

impl Tree {
    /// Opens a folder; its path may go through symlinks.
    pub fn open(root: &Path) -> Result<Self, FsError> {
        let named = |doing| move |e| FsError::io(doing, root.as_os_str().as_bytes(), e);
        let resolved = root.canonicalize().map_err(named("open"))?;
        if !resolved.metadata().map_err(named("read"))?.is_dir() {
            return Err(FsError::NotADirectory(root.to_owned()));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&resolved, flags, Mode::empty())
            .map_err(|e| FsError::io("open", root.as_os_str().as_bytes(), e))?;
        Ok(Tree { fd, root: resolved })
    }

    /// The folder's absolute path, free of symlinks.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The absolute path of an entry.
    pub(super) fn absolute(&self, path: &[u8]) -> PathBuf {
        self.root.join(OsStr::from_bytes(path))
    }

    /// An error that names an entry by its full path.
    pub(super) fn error(&self, doing: &'static str, path: &[u8], source: Errno) -> FsError {
        FsError::io(doing, self.absolute(path).as_os_str().as_bytes(), source)
    }

    pub(super) fn lstat(&self, path: &[u8]) -> Result<Stat, Errno> {
        rustix::fs::statat(&self.fd, path, AtFlags::SYMLINK_NOFOLLOW)
    }

    pub(super) fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        Ok(rustix::fs::readlinkat(&self.fd, path, Vec::new())?.into_bytes())
    }

    /// The names in a folder (`.` for the root); never through a symlink.
    pub(super) fn list(&self, path: &[u8]) -> Result<Names, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, path, flags, Mode::empty())?;
        let mut names = Names::default();
        let mut buffer = [MaybeUninit::<u8>::uninit(); 32 * 1024];
        let mut dir = RawDir::new(fd, &mut buffer);
        while let Some(entry) = dir.next() {
            let entry = entry?;
            let bytes = entry.file_name().to_bytes();
            if bytes != b"." && bytes != b".." {
                let start = names.bytes.len() as u32;
                names.bytes.extend_from_slice(bytes);
                let kind = entry.file_type();
                names.entries.push((start, bytes.len() as u16, kind));
            }
        }
        let Names { bytes, entries } = &mut names;
        entries.sort_unstable_by(|a, b| name(bytes, a).cmp(name(bytes, b)));
        Ok(names)
    }

    /// Opens a file for reading. Symlinks aren't followed at the end of the
    /// path, and a fifo doesn't block.
    pub(super) fn open_file(&self, path: &[u8]) -> Result<File, Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.fd, path, flags, Mode::empty())?.into())
    }

    /// A file's content, with symlinks resolved as if the root were `/`.
    /// `None` where there is no such file, as a daemon would see it.
    pub(super) fn read_in_root(&self, path: &[u8]) -> Result<Option<Vec<u8>>, FsError> {
        let mut path = gopath::clean(path);
        // As many links as the kernel would follow.
        for _ in 0..40 {
            let Some((link, rest)) = self.first_link(&path)? else {
                let mut content = Vec::new();
                let read = match self.open_file(&path) {
                    Ok(mut file) if file.metadata().is_ok_and(|m| m.is_file()) => {
                        file.read_to_end(&mut content)
                    }
                    Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => {
                        return Ok(None);
                    }
                    Err(e) => return Err(self.error("open", &path, e)),
                };
                read.map_err(|e| FsError::io("read", &path, e))?;
                return Ok(Some(content));
            };
            let target = self.read_link(&path[..link]).unwrap_or_default();
            let from = if target.starts_with(b"/") {
                target
            } else {
                gopath::join(&gopath::dir(&path[..link]), &target)
            };
            let rooted = gopath::join(b"/", &gopath::join(&from, &path[rest..]));
            path = gopath::clean(&rooted[1..]);
        }
        Ok(None)
    }

    /// The first symlink on a path: where its name ends, where the rest begins.
    fn first_link(&self, path: &[u8]) -> Result<Option<(usize, usize)>, FsError> {
        for end in (1..=path.len()).filter(|i| *i == path.len() || path[*i] == b'/') {
            match self.lstat(&path[..end]) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                    return Ok(Some((end, (end + 1).min(path.len()))));
                }
                Ok(_) => {}
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
                Err(e) => return Err(self.error("read", &path[..end], e)),
            }
        }
        Ok(None)
    }

    /// The extended attributes of an entry itself, not of what it links to,
    /// but for those that only a Mac understands. Values that can't be read
    /// are left out, as the daemon's own tools do.
    pub(super) fn xattrs(&self, path: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let full = self.absolute(path);
        let mut names = [0u8; 1024];
        let mut longer;
        let list: &[u8] = match rustix::fs::llistxattr(&full, &mut names) {
            Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
            Ok(n) => &names[..n],
            Err(Errno::RANGE) => {
                longer = vec![0u8; 64 * 1024];
                let n = rustix::fs::llistxattr(&full, &mut longer)?;
                &longer[..n]
            }
            Err(e) => return Err(e.into()),
        };
        let mut out = Vec::new();
        for name in list.split(|b| *b == 0) {
            if name.is_empty() || name.starts_with(b"com.apple.") {
                continue;
            }
            let mut value = vec![0u8; 64 * 1024];
            if let Ok(n) = rustix::fs::lgetxattr(&full, name, &mut value) {
                value.truncate(n);
                value.shrink_to_fit();
                out.push((name.to_vec(), value));
            }
        }
        out.sort();
        Ok(out)
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
