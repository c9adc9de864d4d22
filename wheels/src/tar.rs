//! A tar: the same entries give the same bytes. Headers are those of POSIX (ustar), with PAX
//! records where a path, a link's target or a size doesn't fit. Everything is root's, and as old
//! as [`MTIME`].

use std::io::{self, Write};

/// When everything in these layers was changed: 1980-01-01, the first day that zip archives know,
/// so that programs that pack files of an image into one can.
const MTIME: u64 = 315_532_800;
const BLOCK: usize = 512;
/// Largest size that eleven octal digits hold.
const MAX_SIZE: u64 = 0o77777777777;

/// One entry of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// Where it is, without a leading slash.
    pub path: String,
    /// What it is.
    pub content: Content,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A folder, mode 0755.
    Folder,
    /// A symbolic link, as it is written.
    Symlink(String),
    /// A file.
    File {
        /// True for mode 0755, otherwise 0644.
        is_executable: bool,
        /// What is in it.
        bytes: Vec<u8>,
    },
}

/// The header of an entry; of a file also its size.
pub(crate) enum Header<'a> {
    Folder,
    Symlink(&'a str),
    File { is_executable: bool, size: u64 },
}

/// Writes a tar entry by entry.
pub(crate) struct TarWriter<W: Write> {
    inner: W,
}

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner }
    }

    /// Writes an entry's header. The content of a file follows by [`piece`](Self::piece), then
    /// [`end_of_file`](Self::end_of_file).
    pub(crate) fn header(&mut self, path: &str, header: &Header<'_>) -> io::Result<()> {
        let (kind, mode, size, link) = match *header {
            Header::Folder => (b'5', 0o755, 0, ""),
            Header::Symlink(link) => (b'2', 0o777, 0, link),
            Header::File {
                is_executable,
                size,
            } => (b'0', if is_executable { 0o755 } else { 0o644 }, size, ""),
        };
        let slash = if kind == b'5' { "/" } else { "" };
        let path = format!("{path}{slash}");
        let records = records(&path, link, size);
        if !records.is_empty() {
            let extension = block(
                &extension_name(&path),
                b'x',
                0o644,
                records.len() as u64,
                "",
            );
            self.inner.write_all(&extension)?;
            self.inner.write_all(&records)?;
            self.end_of_file(records.len() as u64)?;
        }
        self.inner.write_all(&block(&path, kind, mode, size, link))
    }

    pub(crate) fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)
    }

    /// Fills the last block of a file of this size.
    pub(crate) fn end_of_file(&mut self, size: u64) -> io::Result<()> {
        let rest = size.next_multiple_of(BLOCK as u64) - size;
        self.inner.write_all(&[0; BLOCK][..rest as usize])
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.inner.write_all(&[0; 2 * BLOCK])?;
        Ok(self.inner)
    }
}

fn records(path: &str, link: &str, size: u64) -> Vec<u8> {
    let mut records = Vec::new();
    // In the order of their keys.
    for (key, value) in [("linkpath", link), ("path", path)] {
        if value.len() > 100 || !value.is_ascii() {
            records.extend(record(key, value));
        }
    }
    if size > MAX_SIZE {
        records.extend(record("size", &size.to_string()));
    }
    records
}

/// `LENGTH KEY=VALUE\n`, the length counting its own digits too.
fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n").into_bytes()
}

/// Where the extension header of a path is said to lie.
fn extension_name(path: &str) -> String {
    let path = path.trim_end_matches('/');
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut full = format!("{folder}/PaxHeaders.0/{name}");
    full.retain(|c| c.is_ascii());
    full.truncate(100);
    full
}

fn block(path: &str, kind: u8, mode: u32, size: u64, link: &str) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut text = |at: usize, width: usize, value: &str| {
        let ascii = value.bytes().filter(u8::is_ascii);
        for (slot, byte) in block[at..at + width].iter_mut().zip(ascii) {
            *slot = byte;
        }
    };
    let size = if size > MAX_SIZE { 0 } else { size };
    text(0, 100, path);
    text(100, 8, &format!("{mode:07o}"));
    text(108, 8, "0000000");
    text(116, 8, "0000000");
    text(124, 12, &format!("{size:011o}"));
    text(136, 12, &format!("{MTIME:011o}"));
    text(157, 100, link);
    text(257, 8, "ustar\x0000");
    text(329, 8, "0000000");
    text(337, 8, "0000000");
    block[156] = kind;
    // The checksum is of all bytes, with its own field as spaces.
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let checksum = format!("{:06o}\0 ", sum + 8 * u32::from(b' '));
    block[148..156].copy_from_slice(checksum.as_bytes());
    block
}
