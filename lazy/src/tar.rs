//! The tar that comes in: what its headers say.

use std::collections::BTreeMap;
use std::io;

/// Bytes of a header, and what everything is padded to.
pub(crate) const BLOCK: usize = 512;
/// Most bytes that extension records of one entry have: names and attributes, never content.
const MOST_EXTENSION: u64 = 16 << 20;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Folder,
    Fifo,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// As it is written: a folder's ends with `/`.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) mode: u64,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) size: u64,
    /// Seconds since 1970-01-01, and nanoseconds after them.
    pub(crate) mtime: (i64, i32),
    pub(crate) link: String,
    pub(crate) uname: String,
    pub(crate) gname: String,
    pub(crate) device: (u64, u64),
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
}

/// A block of the tar where a header may be.
pub(crate) enum Block {
    /// Extension records of the entry after it: so many bytes.
    Extension(u64),
    Entry,
    /// The end.
    Zeros,
}

pub(crate) fn bad(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

fn text(field: &[u8]) -> io::Result<String> {
    let end = field.iter().position(|&byte| byte == 0);
    utf8(&field[..end.unwrap_or(field.len())])
}

fn utf8(bytes: &[u8]) -> io::Result<String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| {
        let name = String::from_utf8_lossy(bytes).escape_debug().to_string();
        bad(format!(
            "`{name}` isn't UTF-8, and a table of contents has no other names"
        ))
    })
}

/// An octal number, as every writer of tars in this program writes it.
fn number(field: &[u8]) -> io::Result<u64> {
    let digits = field
        .iter()
        .copied()
        .skip_while(|byte| *byte == b' ')
        .take_while(|byte| !matches!(byte, 0 | b' '));
    digits.into_iter().try_fold(0u64, |sum, digit| match digit {
        b'0'..=b'7' if sum >> 61 == 0 => Ok(sum * 8 + u64::from(digit - b'0')),
        _ => Err(bad("a header of the tar has a number that isn't octal")),
    })
}

/// Looks at a block; its sum is checked.
pub(crate) fn block(bytes: &[u8; BLOCK]) -> io::Result<Block> {
    if bytes.iter().all(|&byte| byte == 0) {
        return Ok(Block::Zeros);
    }
    let of = |range: std::ops::Range<usize>| bytes[range].iter().map(|&b| u64::from(b)).sum();
    let (before, after): (u64, u64) = (of(0..148), of(156..BLOCK));
    if number(&bytes[148..156])? != before + after + 8 * u64::from(b' ') {
        return Err(bad(
            "a header of the tar is damaged: its sum is another one",
        ));
    }
    match bytes[156] {
        b'x' => {
            let size = number(&bytes[124..136])?;
            if size > MOST_EXTENSION {
                return Err(bad(format!(
                    "an entry of the tar has {size} bytes of extensions"
                )));
            }
            Ok(Block::Extension(size))
        }
        0 | b'0'..=b'6' => Ok(Block::Entry),
        other => Err(bad(format!(
            "the tar has an entry of the unknown kind {:?}",
            char::from(other)
        ))),
    }
}

/// Reads an entry's header with the records before it.
pub(crate) fn header(block: &[u8; BLOCK], records: &[u8]) -> io::Result<Header> {
    let prefix = match &block[257..263] {
        b"ustar\0" => text(&block[345..500])?,
        _ => String::new(),
    };
    let mut name = text(&block[..100])?;
    if !prefix.is_empty() {
        name = format!("{prefix}/{name}");
    }
    let mut header = Header {
        name,
        kind: match block[156] {
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Folder,
            b'6' => Kind::Fifo,
            _ => Kind::File,
        },
        mode: number(&block[100..108])?,
        uid: number(&block[108..116])?,
        gid: number(&block[116..124])?,
        size: number(&block[124..136])?,
        mtime: (i64::try_from(number(&block[136..148])?).unwrap_or(0), 0),
        link: text(&block[157..257])?,
        uname: text(&block[265..297])?,
        gname: text(&block[297..329])?,
        device: (number(&block[329..337])?, number(&block[337..345])?),
        xattrs: BTreeMap::new(),
    };
    for (key, value) in split(records)? {
        extend(&mut header, key, value)?;
    }
    if header.kind != Kind::File {
        header.size = 0;
    }
    Ok(header)
}

/// `LENGTH KEY=VALUE\n`, the length counting itself.
fn split(mut records: &[u8]) -> io::Result<Vec<(&[u8], &[u8])>> {
    let broken = || bad("extension records of the tar are damaged");
    let mut all = Vec::new();
    while !records.is_empty() {
        let space = records.iter().position(|&byte| byte == b' ');
        let space = space.filter(|at| *at < 10).ok_or_else(broken)?;
        let length = std::str::from_utf8(&records[..space]).ok();
        let length: usize = length.and_then(|n| n.parse().ok()).ok_or_else(broken)?;
        let is_whole = length > space + 1 && length <= records.len();
        let record = is_whole.then(|| &records[space + 1..length]);
        let record = record.and_then(|record| record.strip_suffix(b"\n"));
        let record = record.ok_or_else(broken)?;
        let equals = record.iter().position(|&byte| byte == b'=');
        let equals = equals.ok_or_else(broken)?;
        all.push((&record[..equals], &record[equals + 1..]));
        records = &records[length..];
    }
    Ok(all)
}

fn extend(header: &mut Header, key: &[u8], value: &[u8]) -> io::Result<()> {
    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
        header.xattrs.insert(utf8(name)?, value.to_vec());
        return Ok(());
    }
    let whole = || {
        let number = std::str::from_utf8(value).ok().and_then(|n| n.parse().ok());
        number.ok_or_else(|| bad("an extension record of the tar has no number"))
    };
    match key {
        b"path" => header.name = utf8(value)?,
        b"linkpath" => header.link = utf8(value)?,
        b"uname" => header.uname = utf8(value)?,
        b"gname" => header.gname = utf8(value)?,
        b"size" => header.size = whole()?,
        b"uid" => header.uid = whole()?,
        b"gid" => header.gid = whole()?,
        b"mtime" => header.mtime = time(value)?,
        _ => {
            let key = String::from_utf8_lossy(key).escape_debug().to_string();
            return Err(bad(format!("the tar has the unknown extension `{key}`")));
        }
    }
    Ok(())
}

/// Seconds with a fraction.
fn time(value: &[u8]) -> io::Result<(i64, i32)> {
    let broken = || bad("an entry of the tar has no readable time");
    let text = std::str::from_utf8(value).map_err(|_| broken())?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().map_err(|_| broken())?;
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(broken());
    }
    let nanos: i32 = format!("{fraction:0<9}").parse().map_err(|_| broken())?;
    let sign = if whole.starts_with('-') { -1 } else { 1 };
    Ok((seconds, sign * nanos))
}

/// The header of a file of root's that this crate adds.
pub(crate) fn own_file(name: &str, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| {
        block[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    put(329, "0000000\0");
    put(337, "0000000\0");
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
