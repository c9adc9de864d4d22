//! One entry of a layer.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

/// A path inside an image, without a leading `/`: checked, so that it can't lead out. The root
/// folder is the empty path. Sorted as a walk through the tree meets it: a folder, what is in
/// it, then what comes after it.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct EntryPath(Box<[u8]>);

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// A file with content.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// Another name of a file of the same layer.
    HardLink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// Hides the path in the layers below.
    Whiteout,
    /// Hides all that the layers below have in the folder.
    Opaque,
}

/// A modification time, since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mtime {
    /// Seconds.
    pub seconds: i64,
    /// Nanoseconds after them, below 1,000,000,000.
    pub nanos: u32,
}

/// What a layer says of one path; the content comes beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerEntry {
    /// Where it is. For a whiteout, the path that it hides.
    pub path: EntryPath,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, with setuid, setgid and sticky: at most `0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Name of the owner on the machine that wrote it; often empty.
    pub uname: Vec<u8>,
    /// Name of the group there.
    pub gname: Vec<u8>,
    /// When it was changed.
    pub mtime: Mtime,
    /// Bytes of content; 0 for all but files.
    pub size: u64,
    /// Where a link leads: as it is written for a symbolic link, a checked path for a hard link.
    pub link: Option<Vec<u8>>,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[cfg(test)]
impl LayerEntry {
    /// An entry of root's with nothing special, for tests.
    pub(crate) fn plain(path: &str, kind: EntryKind) -> Self {
        Self {
            path: EntryPath::from(path),
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            uname: Vec::new(),
            gname: Vec::new(),
            mtime: Mtime::default(),
            size: 0,
            link: None,
            device: None,
            xattrs: BTreeMap::new(),
        }
    }
}

impl EntryPath {
    /// Takes bytes that were checked.
    pub(in crate::image) fn checked(bytes: Vec<u8>) -> Self {
        Self(bytes.into_boxed_slice())
    }

    /// A path of these bytes; `None` where it isn't one inside an image.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let mut names = bytes.split(|&byte| byte == b'/');
        let is_plain = |name: &[u8]| !matches!(name, b"" | b"." | b"..") && !name.contains(&0);
        names.all(is_plain).then(|| Self::checked(bytes.to_vec()))
    }

    /// The order of two paths' bytes.
    pub(in crate::image) fn compare(one: &[u8], other: &[u8]) -> Ordering {
        let key = |b: &u8| match b {
            b'/' => 0,
            other => u16::from(*other) + 1,
        };
        // Paths begin alike, as a rule: whole pieces of that are compared at once.
        const PIECE: usize = 16;
        let pieces = one.chunks_exact(PIECE).zip(other.chunks_exact(PIECE));
        let alike = PIECE * pieces.take_while(|(a, b)| a == b).count();
        let (a, b) = (&one[alike..], &other[alike..]);
        a.iter().map(key).cmp(b.iter().map(key))
    }

    /// The path's bytes, as a rule UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The last name of it.
    pub fn name(&self) -> &[u8] {
        let start = self.0.iter().rposition(|&b| b == b'/').map_or(0, |i| i + 1);
        &self.0[start..]
    }

    /// The folders above it, from the top; the root is left out.
    pub fn ancestors(&self) -> impl Iterator<Item = &[u8]> {
        let slashes = self.0.iter().enumerate().filter(|(_, b)| **b == b'/');
        slashes.map(|(at, _)| &self.0[..at])
    }

    /// True for `folder` itself and what lies below it.
    pub fn is_in(&self, folder: &[u8]) -> bool {
        match self.0.strip_prefix(folder) {
            Some(rest) => folder.is_empty() || rest.is_empty() || rest[0] == b'/',
            None => false,
        }
    }

    /// This path with the folder `from` replaced by `to`; `None` where it isn't in `from`.
    pub fn moved(&self, from: &[u8], to: &[u8]) -> Option<Self> {
        let inside = self.is_in(from).then(|| &self.0[from.len()..])?;
        Some(Self::checked([to, inside].concat()))
    }
}

impl From<&str> for EntryPath {
    /// For paths that are known to be plain, such as `etc/passwd`.
    fn from(path: &str) -> Self {
        Self::checked(path.trim_matches('/').as_bytes().to_vec())
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", printable(&self.0))
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Ord for EntryPath {
    fn cmp(&self, other: &Self) -> Ordering {
        Self::compare(&self.0, &other.0)
    }
}

impl PartialOrd for EntryPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EntryKind::File => "file",
            EntryKind::Folder => "folder",
            EntryKind::Symlink => "symbolic link",
            EntryKind::HardLink => "hard link",
            EntryKind::CharDevice => "character device",
            EntryKind::BlockDevice => "block device",
            EntryKind::Fifo => "named pipe",
            EntryKind::Whiteout => "whiteout",
            EntryKind::Opaque => "opaque folder",
        })
    }
}

/// Bytes for a terminal: control characters, which could rewrite what stands there, escaped.
pub(super) fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for c in String::from_utf8_lossy(bytes).chars() {
        if c.is_control() {
            text.extend(c.escape_default())
        } else {
            text.push(c)
        }
    }
    text
}
