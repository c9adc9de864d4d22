//! Tar headers: one block each, and the extension headers before it (PAX, and GNU's long
//! names). Their sizes are bounded before they are read.

use std::collections::BTreeMap;
use std::io::{self, Read};

use tar::Header;

use super::entry::{EntryKind, Mtime};

pub(super) const BLOCK: usize = 512;
/// Largest extension header, in bytes: room for extended attributes.
const MAX_EXTENSION: u64 = 1 << 20;
const XATTR: &[u8] = b"SCHILY.xattr.";
const SPARSE: &[u8] = b"GNU.sparse.";

/// An entry as its headers have it; nothing is checked yet.
pub(super) struct RawEntry {
    pub(super) path: Vec<u8>,
    pub(super) kind: EntryKind,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) uname: Vec<u8>,
    pub(super) gname: Vec<u8>,
    pub(super) mtime: Mtime,
    pub(super) size: u64,
    pub(super) link: Option<Vec<u8>>,
    pub(super) device: Option<(u32, u32)>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Why the next header can't be read.
pub(super) enum HeaderError {
    Io(io::Error),
    /// The path, as far as it is known, and what is wrong.
    Bad(Vec<u8>, String),
}

impl From<io::Error> for HeaderError {
    fn from(error: io::Error) -> Self {
        HeaderError::Io(error)
    }
}

/// What extension headers said of the entry to come.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// The next entry's headers; `None` at the tar's end.
pub(super) fn next(input: &mut impl Read) -> Result<Option<RawEntry>, HeaderError> {
    let mut extensions = Extensions::default();
    loop {
        let Some(block) = block(input)? else {
            return Ok(None);
        };
        let header = Header::from_byte_slice(&block);
        let name = header.path_bytes().into_owned();
        let bad = |why: String| HeaderError::Bad(name.clone(), why);
        let found: u32 = sum(&block);
        let stated = header.cksum().map_err(|e| bad(e.to_string()))?;
        if found != stated {
            return Err(bad("the checksum of its header is wrong".to_owned()));
        }
        let size = if is_blank(&header.as_old().size) {
            0
        } else {
            header.entry_size().map_err(|e| bad(e.to_string()))?
        };
        match header.entry_type().as_byte() {
            b'x' => extensions.records = records(&extension(input, size, &name)?).map_err(bad)?,
            // Of the whole archive: a comment, as a rule.
            b'g' => drop(extension(input, size, &name)?),
            b'L' => extensions.path = Some(until_zero(extension(input, size, &name)?)),
            b'K' => extensions.link = Some(until_zero(extension(input, size, &name)?)),
            _ => return entry(header, size, extensions).map(Some),
        }
    }
}

/// One block; `None` for the zero block at the end, or where nothing follows.
fn block(input: &mut impl Read) -> io::Result<Option<[u8; BLOCK]>> {
    let mut block = [0; BLOCK];
    let mut filled = 0;
    while filled < BLOCK {
        match input.read(&mut block[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(block.iter().any(|&b| b != 0).then_some(block))
}

/// The header's checksum: of all bytes, with its own field as spaces.
pub(super) fn sum(block: &[u8; BLOCK]) -> u32 {
    let bytes = block.iter().enumerate();
    bytes
        .map(|(at, &b)| match at {
            148..156 => u32::from(b' '),
            _ => u32::from(b),
        })
        .sum()
}

fn extension(input: &mut impl Read, size: u64, name: &[u8]) -> Result<Vec<u8>, HeaderError> {
    if size > MAX_EXTENSION {
        let why = format!("an extension header of {size} bytes, more than {MAX_EXTENSION}");
        return Err(HeaderError::Bad(name.to_vec(), why));
    }
    let mut bytes = vec![0; size.next_multiple_of(BLOCK as u64) as usize];
    input.read_exact(&mut bytes)?;
    bytes.truncate(size as usize);
    Ok(bytes)
}

fn until_zero(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|&b| b == 0) {
        bytes.truncate(end);
    }
    bytes
}

/// Records of a PAX header: `LENGTH KEY=VALUE\n`, the length counting all of that.
fn records(mut bytes: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, String> {
    let mut records = BTreeMap::new();
    while !bytes.is_empty() {
        let record = take_record(&mut bytes).ok_or("a malformed PAX header")?;
        let equals = record.iter().position(|&b| b == b'=');
        let equals = equals.ok_or("a malformed PAX header")?;
        records.insert(record[..equals].to_vec(), record[equals + 1..].to_vec());
    }
    Ok(records)
}

fn take_record<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let space = bytes.iter().take(8).position(|&b| b == b' ')?;
    let length: usize = number(&bytes[..space])?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    *bytes = &bytes[length..];
    Some(record)
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    let digits = std::str::from_utf8(digits).ok()?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

fn entry(header: &Header, size: u64, extensions: Extensions) -> Result<RawEntry, HeaderError> {
    let Extensions {
        path,
        link,
        mut records,
    } = extensions;
    let path = records
        .remove(&b"path"[..])
        .or(path)
        .unwrap_or_else(|| header.path_bytes().into_owned());
    let bad = |why: &str| HeaderError::Bad(path.clone(), why.to_owned());
    if records.keys().any(|key| key.starts_with(SPARSE)) {
        return Err(bad("a sparse file, which images don't have"));
    }
    let kind = kind(header.entry_type().as_byte(), &path)
        .ok_or_else(|| bad("an entry of a kind that images don't have"))?;
    let mut of = |key: &str| records.remove(key.as_bytes());
    let fields = header.as_old();
    let plain = |field: &[u8], value: io::Result<u64>, what: &str| {
        if is_blank(field) {
            Ok(0)
        } else {
            value.map_err(|_| bad(what))
        }
    };
    let numeric =
        |record: Option<Vec<u8>>, of_header: Result<u64, HeaderError>, what: &str| match record {
            Some(text) => number(&text).ok_or_else(|| bad(what)),
            None => of_header,
        };
    let (owner, group, time) = ("a malformed owner", "a malformed group", "a malformed time");
    let size = numeric(of("size"), Ok(size), "a malformed size")?;
    let uid = numeric(of("uid"), plain(&fields.uid, header.uid(), owner), owner)?;
    let gid = numeric(of("gid"), plain(&fields.gid, header.gid(), group), group)?;
    let mtime = match of("mtime") {
        Some(text) => mtime(&text).ok_or_else(|| bad(time))?,
        None => Mtime {
            seconds: plain(&fields.mtime, header.mtime(), time)? as i64,
            nanos: 0,
        },
    };
    let uname = of("uname").or_else(|| header.username_bytes().map(<[u8]>::to_vec));
    let gname = of("gname").or_else(|| header.groupname_bytes().map(<[u8]>::to_vec));
    let link = of("linkpath")
        .or(link)
        .or_else(|| header.link_name_bytes().map(|l| l.into_owned()));
    let is_device = matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice);
    let device = || {
        let (major, minor) = (header.device_major(), header.device_minor());
        Some((major.ok()?.unwrap_or(0), minor.ok()?.unwrap_or(0)))
    };
    let mode = header.mode().map(u64::from);
    let mode = plain(&fields.mode, mode, "a malformed mode")? as u32;
    let xattrs = records
        .into_iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(XATTR)?.to_vec(), value)));
    Ok(RawEntry {
        kind,
        mode: mode & 0o7777,
        uid,
        gid,
        uname: uname.unwrap_or_default(),
        gname: gname.unwrap_or_default(),
        mtime,
        size: if kind == EntryKind::File { size } else { 0 },
        link: link.filter(|_| matches!(kind, EntryKind::Symlink | EntryKind::HardLink)),
        device: if is_device {
            Some(device().ok_or_else(|| bad("a malformed device number"))?)
        } else {
            None
        },
        xattrs: xattrs.collect(),
        path,
    })
}

/// A number that somebody left out: 0, as every tar takes it.
fn is_blank(field: &[u8]) -> bool {
    field.iter().all(|b| matches!(b, 0 | b' '))
}

fn kind(byte: u8, path: &[u8]) -> Option<EntryKind> {
    Some(match byte {
        // Before POSIX, a folder was a file whose name ends so.
        b'\0' if path.ends_with(b"/") => EntryKind::Folder,
        b'0' | b'\0' | b'7' => EntryKind::File,
        b'1' => EntryKind::HardLink,
        b'2' => EntryKind::Symlink,
        b'3' => EntryKind::CharDevice,
        b'4' => EntryKind::BlockDevice,
        b'5' => EntryKind::Folder,
        b'6' => EntryKind::Fifo,
        _ => return None,
    })
}

/// `SECONDS[.FRACTION]`, with a sign before it perhaps.
fn mtime(text: &[u8]) -> Option<Mtime> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let nanos: u32 = digits.parse().ok()?;
    if whole.starts_with('-') && nanos > 0 {
        Some(Mtime {
            seconds: seconds.checked_sub(1)?,
            nanos: 1_000_000_000 - nanos,
        })
    } else {
        Some(Mtime { seconds, nanos })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_records_may_hold_anything() {
        let all = records(b"12 path=a/b\n21 SCHILY.xattr.a=\n\n\n6 b==\n").unwrap();
        assert_eq!(all[&b"path"[..]], b"a/b");
        assert_eq!(all[&b"SCHILY.xattr.a"[..]], b"\n\n");
        assert_eq!(all[&b"b"[..]], b"=");
        for bad in [
            &b"12 path=a/"[..],
            b"x",
            b"5 a=b",
            b"99 a=b\n",
            b"0 \n",
            b"6 abc\n",
            b" ",
        ] {
            assert!(records(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times_are_read_to_the_nanosecond() {
        let of = |text: &str| mtime(text.as_bytes()).map(|t| (t.seconds, t.nanos));
        assert_eq!(of("12"), Some((12, 0)));
        assert_eq!(of("12.5"), Some((12, 500_000_000)));
        assert_eq!(of("12.1234567899"), Some((12, 123_456_789)));
        assert_eq!(of("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(of("1.x"), None);
        assert_eq!(of(""), None);
    }
}
