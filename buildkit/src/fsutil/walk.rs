//! Visits the selected entries of a folder in the order that the protocol
//! demands: names in byte order, a folder before what it holds, and a folder
//! that isn't selected itself only once something inside is.
//!
//! What an entry looks like on the wire is told by `Found`: Go's file mode
//! bits, owner 0:0, hard links as references to the first path sent.
//! Transfers are left to [`super::sender`], digests to [`mod@super::fingerprint`].

use std::collections::BTreeMap;
use std::collections::HashMap;

use mlbuild_proto::fsutil::types;
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::error::FsError;
use super::filter::{Filter, FolderMatch, Verdict};
use super::tree::{Names, Tree};

/// The bits of Go's `os.FileMode` that travel in [`types::Stat::mode`].
pub mod go_mode {
    /// A folder.
    pub const DIR: u32 = 1 << 31;
    /// A symlink.
    pub const SYMLINK: u32 = 1 << 27;
    /// A block device, or with [`CHAR_DEVICE`] a character device.
    pub const DEVICE: u32 = 1 << 26;
    /// A fifo.
    pub const NAMED_PIPE: u32 = 1 << 25;
    /// A Unix socket; never sent.
    pub const SOCKET: u32 = 1 << 24;
    /// Set user id.
    pub const SETUID: u32 = 1 << 23;
    /// Set group id.
    pub const SETGID: u32 = 1 << 22;
    /// A character device, with [`DEVICE`].
    pub const CHAR_DEVICE: u32 = 1 << 21;
    /// Sticky.
    pub const STICKY: u32 = 1 << 20;
    /// Something that Go has no name for.
    pub const IRREGULAR: u32 = 1 << 19;
    /// All bits that make an entry something else than a regular file.
    pub const TYPE: u32 = DIR | SYMLINK | NAMED_PIPE | SOCKET | DEVICE | CHAR_DEVICE | IRREGULAR;
}

/// What to change on the way out, so that equal content gives equal builds
/// wherever it was checked out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Normalise {
    /// Give every entry this modification time, in nanoseconds since 1970.
    pub mtime: Option<i64>,
    /// Reduce permissions to 0755 (folders, executables) and 0644.
    pub modes: bool,
    /// Send hard links as files of their own.
    pub hard_links: bool,
}

/// A selected entry.
pub(super) struct Found<'a> {
    /// Relative to the root, without a leading slash.
    pub path: &'a [u8],
    /// As the system reports it.
    pub stat: &'a Stat,
    /// The first path sent of the same file, if this is another.
    pub hard_link: Option<&'a [u8]>,
    tree: &'a Tree,
    normalise: Normalise,
}

impl Found<'_> {
    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// Go's mode bits, normalised if so asked.
    pub(super) fn mode(&self) -> u32 {
        let raw = self.stat.st_mode;
        let kind = match self.kind() {
            // A socket goes as an empty file, as it has no place in a layer.
            FileType::RegularFile | FileType::Socket => 0,
            FileType::Directory => go_mode::DIR,
            FileType::Symlink => go_mode::SYMLINK,
            FileType::Fifo => go_mode::NAMED_PIPE,
            FileType::BlockDevice => go_mode::DEVICE,
            FileType::CharacterDevice => go_mode::DEVICE | go_mode::CHAR_DEVICE,
            _ => go_mode::IRREGULAR,
        };
        let executable = raw & 0o111 != 0 || kind == go_mode::DIR;
        if self.normalise.modes && kind != go_mode::SYMLINK {
            return kind | if executable { 0o755 } else { 0o644 };
        }
        let special = [
            (0o4000, go_mode::SETUID),
            (0o2000, go_mode::SETGID),
            (0o1000, go_mode::STICKY),
        ];
        special
            .iter()
            .filter(|(bit, _)| raw & bit != 0)
            .fold(kind | (raw & 0o777), |mode, (_, go)| mode | go)
    }

    /// Bytes; 0 for folders.
    pub(super) fn size(&self) -> i64 {
        match self.kind() {
            FileType::Directory => 0,
            _ => self.stat.st_size,
        }
    }

    /// Nanoseconds since 1970.
    fn mtime(&self) -> i64 {
        self.normalise.mtime.unwrap_or_else(|| mtime(self.stat))
    }

    /// A symlink's target, a hard link's first path, or nothing. `None` if
    /// the entry is gone.
    pub(super) fn link_name(&self) -> Result<Option<Vec<u8>>, FsError> {
        if self.kind() != FileType::Symlink {
            return Ok(Some(self.hard_link.unwrap_or_default().to_vec()));
        }
        match self.tree.read_link(self.path) {
            Ok(target) => Ok(Some(target)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::INVAL) => Ok(None),
            Err(e) => Err(self.tree.error("read the symlink", self.path, e)),
        }
    }

    /// Extended attributes by name. `None` if the entry is gone.
    pub(super) fn xattrs(&self) -> Result<Option<BTreeMap<String, Vec<u8>>>, FsError> {
        let full = || self.tree.absolute(self.path);
        let name = |path: std::path::PathBuf| path.into_os_string().into_encoded_bytes();
        let pairs = match self.tree.xattrs(self.path) {
            Ok(pairs) => pairs,
            Err(e) if e.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => return Ok(None),
            Err(e) => {
                return Err(FsError::io(
                    "read the extended attributes of",
                    &name(full()),
                    e,
                ));
            }
        };
        pairs
            .into_iter()
            .map(|(key, value)| match String::from_utf8(key) {
                Ok(key) => Ok((key, value)),
                Err(_) => Err(FsError::io(
                    "send an extended attribute whose name is not UTF-8, of",
                    &name(full()),
                    std::io::Error::from(std::io::ErrorKind::InvalidData),
                )),
            })
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// The message that announces this entry; `None` if it is gone.
    pub(super) fn to_stat(&self) -> Result<Option<types::Stat>, FsError> {
        let (Some(link_name), Some(xattrs)) = (self.link_name()?, self.xattrs()?) else {
            return Ok(None);
        };
        let device = matches!(
            self.kind(),
            FileType::BlockDevice | FileType::CharacterDevice
        );
        let rdev = if device { self.stat.st_rdev } else { 0 };
        Ok(Some(types::Stat {
            path: self.path.to_vec().into(),
            mode: self.mode(),
            size: self.size(),
            mod_time: self.mtime(),
            linkname: link_name.into(),
            devmajor: ((rdev >> 8) & 0xfff) as i64,
            devminor: ((rdev & 0xff) | ((rdev >> 12) & 0xfff00)) as i64,
            xattrs: xattrs.into_iter().map(|(k, v)| (k, v.into())).collect(),
            ..Default::default()
        }))
    }
}

/// Modification time in nanoseconds since 1970.
pub(super) fn mtime(stat: &Stat) -> i64 {
    stat.st_mtime * 1_000_000_000 + stat.st_mtime_nsec as i64
}

/// Walks the selected entries in order; `visit` may end the walk by an error.
pub(super) fn walk(
    tree: &Tree,
    filter: &Filter,
    normalise: Normalise,
    visit: &mut dyn FnMut(&Found<'_>) -> Result<(), FsError>,
) -> Result<(), FsError> {
    let mut walker = Walker {
        tree,
        filter,
        normalise,
        visit,
        path: Vec::with_capacity(256),
        waiting: Vec::new(),
        first_paths: HashMap::new(),
    };
    walker.walk()
}

/// A folder whose entries are being looked at.
pub(super) struct Folder {
    names: Names,
    /// Index of the entry that comes next.
    next: usize,
    /// How it fared, for the judgement of its entries.
    pub(super) fared: FolderMatch,
    /// Length of its path in bytes.
    pub(super) length: usize,
    /// Not selected itself, so that it goes out once something inside is.
    pub(super) passed: bool,
}

impl Folder {
    /// Lists the folder at `path`. `passed`: the folder itself isn't selected, so that not being
    /// allowed to read it does no harm.
    pub(super) fn open(
        tree: &Tree,
        path: &[u8],
        fared: FolderMatch,
        passed: bool,
    ) -> Result<Self, FsError> {
        let at = if path.is_empty() { b"." } else { path };
        let names = match tree.list(at) {
            Ok(names) => names,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Names::default(),
            Err(Errno::ACCESS | Errno::PERM) if passed => Names::default(),
            Err(e) => return Err(tree.error("read the directory", path, e)),
        };
        Ok(Self {
            names,
            next: 0,
            fared,
            length: path.len(),
            passed,
        })
    }

    /// Makes `path` that of the next entry, and gives its kind.
    pub(super) fn advance(&mut self, path: &mut Vec<u8>) -> Option<FileType> {
        path.truncate(self.length);
        let (name, kind) = self.names.get(self.next)?;
        self.next += 1;
        if self.length > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Some(kind)
    }
}

struct Walker<'a> {
    tree: &'a Tree,
    filter: &'a Filter,
    normalise: Normalise,
    visit: &'a mut dyn FnMut(&Found<'_>) -> Result<(), FsError>,
    /// The path of the entry at hand.
    path: Vec<u8>,
    /// Folders above it that weren't selected themselves: the lengths of their
    /// paths. They go out once something inside is selected.
    waiting: Vec<usize>,
    first_paths: HashMap<(u64, u64), Box<[u8]>>,
}

/// Names of files that mlbuild is writing, or that it was killed at: they go into no image.
pub const UNFINISHED: &str = ".mlbuild-*.tmp";

/// Whether a path is that of such a file.
pub(super) fn is_unfinished(path: &[u8]) -> bool {
    let name = path.rsplit(|&b| b == b'/').next().unwrap_or(path);
    name.starts_with(b".mlbuild-") && name.ends_with(b".tmp")
}

impl Walker<'_> {
    /// Visits folders from a list of those that are open, and not by recursion: how deep a tree is,
    /// its maker decides.
    fn walk(&mut self) -> Result<(), FsError> {
        let mut open = vec![Folder::open(self.tree, b"", FolderMatch::default(), false)?];
        while let Some(folder) = open.last_mut() {
            let Some(kind) = folder.advance(&mut self.path) else {
                if folder.passed && self.waiting.last() == Some(&folder.length) {
                    self.waiting.pop();
                }
                open.pop();
                continue;
            };
            if let Some((fared, passed)) = self.entry(kind, &folder.fared)? {
                if passed {
                    self.waiting.push(self.path.len());
                }
                open.push(Folder::open(self.tree, &self.path, fared, passed)?);
            }
        }
        Ok(())
    }

    /// Judges the entry at `self.path`, and visits it where it is selected. For a folder to look into:
    /// how it fared, and whether it isn't selected itself.
    fn entry(
        &mut self,
        kind: FileType,
        above: &FolderMatch,
    ) -> Result<Option<(FolderMatch, bool)>, FsError> {
        let (mut stat, mut kind) = (None, kind);
        if kind == FileType::Unknown {
            let Some(read) = self.stat(&self.path)? else {
                return Ok(None);
            };
            kind = FileType::from_raw_mode(read.st_mode);
            stat = Some(read);
        }
        if kind == FileType::RegularFile && is_unfinished(&self.path) {
            return Ok(None);
        }
        let is_dir = kind == FileType::Directory;
        let (verdict, here) = self.filter.judge(&self.path, is_dir, above)?;
        if verdict == Verdict::Take {
            let stat = match stat {
                Some(stat) => stat,
                None => match self.stat(&self.path)? {
                    Some(stat) => stat,
                    None => return Ok(None),
                },
            };
            for end in std::mem::take(&mut self.waiting) {
                if let Some(stat) = self.stat(&self.path[..end])? {
                    self.emit(end, &stat)?;
                }
            }
            self.emit(self.path.len(), &stat)?;
        }
        let looked_into = is_dir && verdict != Verdict::Skip;
        Ok(looked_into.then_some((here, verdict == Verdict::Pass)))
    }

    /// The entry's stat; `None` if it has gone since its name was read.
    fn stat(&self, path: &[u8]) -> Result<Option<Stat>, FsError> {
        match self.tree.lstat(path) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(e) => Err(self.tree.error("read", path, e)),
        }
    }

    fn emit(&mut self, end: usize, stat: &Stat) -> Result<(), FsError> {
        let path = &self.path[..end];
        let kind = FileType::from_raw_mode(stat.st_mode);
        let linkable = !matches!(kind, FileType::Directory | FileType::Symlink);
        let mut hard_link = None;
        if linkable && stat.st_nlink > 1 && !self.normalise.hard_links {
            match self.first_paths.entry((stat.st_dev, stat.st_ino)) {
                std::collections::hash_map::Entry::Occupied(first) => {
                    hard_link = Some(&**first.into_mut());
                }
                std::collections::hash_map::Entry::Vacant(none) => {
                    none.insert(path.into());
                }
            }
        }
        (self.visit)(&Found {
            path,
            stat,
            hard_link,
            tree: self.tree,
            normalise: self.normalise,
        })
    }
}

/// What a transfer of this selection would announce, in order.
pub fn entries(
    root: &std::path::Path,
    selection: &super::Selection,
    normalise: Normalise,
) -> Result<Vec<types::Stat>, FsError> {
    let tree = Tree::open(root)?;
    let filter = Filter::new(Some(&tree), selection)?;
    let mut out = Vec::new();
    walk(&tree, &filter, normalise, &mut |found| {
        out.extend(found.to_stat()?);
        Ok(())
    })?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{Normalise, entries};
    use crate::fsutil::Selection;

    #[test]
    fn a_tree_is_as_deep_as_its_maker_likes() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = root.path().to_owned();
        // As deep as a path may be long.
        let levels = (4096 - folder.as_os_str().len() - 10) / 2;
        for _ in 0..levels {
            folder.push("d");
            std::fs::create_dir(&folder).unwrap();
        }
        std::fs::write(folder.join("f"), "").unwrap();
        let found = entries(root.path(), &Selection::default(), Normalise::default()).unwrap();
        assert_eq!(found.len(), levels + 1);
        let last = found.last().unwrap();
        assert_eq!(last.path.len(), levels * 2 + 1);
    }
}
