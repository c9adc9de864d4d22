//! Writing a layer: the same entries give the same bytes, on every machine.
//!
//! Headers are those of POSIX (ustar), with PAX records where a value doesn't fit, as
//! containerd and Docker write them.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use flate2::{Compression, GzBuilder};
use mlbuild_lazy::{Format, LazyWriter};
use oci_spec::image::{Descriptor, Digest, MediaType};

use super::entry::{EntryKind, LayerEntry};
use super::headers::{BLOCK, sum};
use super::paths::written;
use super::read::descriptor;
use crate::image::ImageLayer;

/// gzip's usual level, pinned: another one gives other bytes.
const GZIP_LEVEL: u32 = 6;
/// zstd's usual level, pinned.
const ZSTD_LEVEL: i32 = 3;
/// Bytes of content on their way at once.
const PIECE: usize = 64 << 10;
/// Largest id that a header's seven octal digits hold.
const MAX_ID: u64 = 0o7777777;
/// Largest size or time that eleven octal digits hold.
const MAX_LONG: u64 = 0o77777777777;

/// How a layer's tar is packed into a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
    /// So that it can be pulled file by file.
    Lazy(Format),
}

impl Packing {
    /// What a media type says.
    pub fn of(media_type: &MediaType) -> Self {
        let name = media_type.as_ref();
        match name {
            _ if name.ends_with("gzip") => Packing::Gzip,
            _ if name.ends_with("zstd") => Packing::Zstd,
            _ => Packing::Plain,
        }
    }

    /// What a manifest says of a layer.
    pub fn of_blob(blob: &Descriptor) -> Self {
        let annotations = blob.annotations().iter().flatten();
        let names = annotations.map(|(name, _)| name.as_str());
        match Format::of_annotations(names) {
            Some(format) => Packing::Lazy(format),
            None => Self::of(blob.media_type()),
        }
    }

    /// Packs a tar: the blob's bytes, and what a manifest and a configuration say of it.
    pub fn pack(self, tar: Vec<u8>, media_type: MediaType) -> (Vec<u8>, ImageLayer) {
        let diff_id = mlbuild_manifests::digest::sha256(&tar);
        let bytes = match self {
            Packing::Plain => tar,
            Packing::Gzip => {
                let level = Compression::new(GZIP_LEVEL);
                let mut packer = GzBuilder::new().mtime(0).write(Vec::new(), level);
                let packed = packer.write_all(&tar).and_then(|()| packer.finish());
                packed.expect("memory can be written")
            }
            Packing::Zstd => zstd::bulk::compress(&tar, ZSTD_LEVEL).expect("memory can be written"),
            Packing::Lazy(format) => return pack_lazily(&tar, format, media_type),
        };
        let blob = descriptor(&bytes, media_type);
        (bytes, ImageLayer { blob, diff_id })
    }
}

/// A tar whose names aren't UTF-8 is packed as others are: nobody could say which files are in it.
fn pack_lazily(tar: &[u8], format: Format, media_type: MediaType) -> (Vec<u8>, ImageLayer) {
    let pack = || {
        let mut writer = LazyWriter::new(Vec::new(), format)?;
        writer.write_all(tar)?;
        writer.finish()
    };
    let Ok((bytes, written)): io::Result<_> = pack() else {
        return Packing::of(&media_type).pack(tar.to_vec(), media_type);
    };
    let layer = ImageLayer {
        blob: annotated(descriptor(&bytes, media_type), written.annotations),
        diff_id: of_hex(&written.diff_id),
    };
    (bytes, layer)
}

/// A blob with what a manifest says of it.
pub fn annotated(mut blob: Descriptor, annotations: BTreeMap<String, String>) -> Descriptor {
    if !annotations.is_empty() {
        blob.set_annotations(Some(annotations.into_iter().collect()));
    }
    blob
}

/// The digest of a hash's hexadecimal digits.
pub fn of_hex(digits: &str) -> Digest {
    let text = format!("sha256:{digits}");
    text.parse().expect("64 hexadecimal digits")
}

/// The tar of these entries, in this order. Content is taken for files only.
pub fn write_tar(entries: &[(LayerEntry, Vec<u8>)]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for (entry, content) in entries {
        let size = content.len() as u64;
        let written = tar.append(entry, size, &mut content.as_slice());
        written.expect("memory can be written");
    }
    tar.finish().expect("memory can be written")
}

/// Writes a tar entry by entry.
pub struct TarWriter<W> {
    inner: W,
    buffer: Vec<u8>,
}

impl<W: Write> TarWriter<W> {
    /// A tar that goes into `inner`.
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            buffer: vec![0; PIECE],
        }
    }

    /// Writes an entry; of a file also `size` bytes of content.
    ///
    /// # Errors
    /// Those of `inner` and of `content`, and where that has fewer bytes.
    pub fn append(
        &mut self,
        entry: &LayerEntry,
        size: u64,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        let size = match entry.kind {
            EntryKind::File => size,
            _ => 0,
        };
        let path = written(entry);
        let records = records(entry, &path, size);
        if !records.is_empty() {
            let extension = header(&Fields {
                path: &extension_name(&path),
                kind: b'x',
                size: records.len() as u64,
                ..Fields::default()
            });
            self.inner.write_all(&extension)?;
            self.inner.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        self.inner.write_all(&header(&Fields {
            path: &path,
            kind: kind(entry.kind),
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            size,
            mtime: u64::try_from(entry.mtime.seconds).unwrap_or(0),
            link: entry.link.as_deref().unwrap_or_default(),
            uname: &entry.uname,
            gname: &entry.gname,
            device: entry.device.unwrap_or_default(),
        }))?;
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            match content.read(&mut self.buffer[..most])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => {
                    self.inner.write_all(&self.buffer[..n])?;
                    left -= n as u64;
                }
            }
        }
        self.pad(size)
    }

    /// Writes the end.
    ///
    /// # Errors
    /// Those of `inner`.
    pub fn finish(mut self) -> io::Result<W> {
        self.inner.write_all(&[0; 2 * BLOCK])?;
        Ok(self.inner)
    }

    fn pad(&mut self, written: u64) -> io::Result<()> {
        let rest = written.next_multiple_of(BLOCK as u64) - written;
        self.inner.write_all(&[0; BLOCK][..rest as usize])
    }
}

fn kind(kind: EntryKind) -> u8 {
    match kind {
        EntryKind::File | EntryKind::Whiteout | EntryKind::Opaque => b'0',
        EntryKind::HardLink => b'1',
        EntryKind::Symlink => b'2',
        EntryKind::CharDevice => b'3',
        EntryKind::BlockDevice => b'4',
        EntryKind::Folder => b'5',
        EntryKind::Fifo => b'6',
    }
}

/// The PAX records that an entry needs, sorted by key.
fn records(entry: &LayerEntry, path: &[u8], size: u64) -> Vec<u8> {
    let fits = |value: &[u8], width: usize| value.len() <= width && value.is_ascii();
    let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut add = |key: &str, value: Vec<u8>| records.push((key.into(), value));
    let link = entry.link.as_deref().unwrap_or_default();
    for (key, value, width) in [
        ("path", path, 100),
        ("linkpath", link, 100),
        ("uname", &entry.uname, 32),
        ("gname", &entry.gname, 32),
    ] {
        if !fits(value, width) {
            add(key, value.to_vec());
        }
    }
    for (key, value, most) in [
        ("uid", entry.uid, MAX_ID),
        ("gid", entry.gid, MAX_ID),
        ("size", size, MAX_LONG),
    ] {
        if value > most {
            add(key, value.to_string().into_bytes());
        }
    }
    let (seconds, nanos) = (entry.mtime.seconds, entry.mtime.nanos);
    if nanos != 0 || !(0..=MAX_LONG as i64).contains(&seconds) {
        add("mtime", decimal(seconds, nanos).into_bytes());
    }
    for (name, value) in &entry.xattrs {
        records.push(([b"SCHILY.xattr.", name.as_slice()].concat(), value.clone()));
    }
    records.sort();
    records.iter().flat_map(|(k, v)| record(k, v)).collect()
}

fn decimal(seconds: i64, nanos: u32) -> String {
    let (sign, seconds, nanos) = match seconds < 0 && nanos > 0 {
        true => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanos),
        false if seconds < 0 => ("-", seconds.unsigned_abs(), 0),
        false => ("", seconds.unsigned_abs(), nanos),
    };
    let text = format!("{sign}{seconds}.{nanos:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `LENGTH KEY=VALUE\n`, the length counting its own digits too.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

/// Where the extension header of a path is said to lie.
fn extension_name(path: &[u8]) -> Vec<u8> {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let slash = path.iter().rposition(|&b| b == b'/');
    let (folder, name) = path.split_at(slash.map_or(0, |at| at + 1));
    let mut full = [folder, b"PaxHeaders.0/", name].concat();
    full.retain(u8::is_ascii);
    full.truncate(100);
    full
}

/// The values of a header.
#[derive(Default)]
struct Fields<'a> {
    path: &'a [u8],
    kind: u8,
    mode: u32,
    uid: u64,
    gid: u64,
    size: u64,
    mtime: u64,
    link: &'a [u8],
    uname: &'a [u8],
    gname: &'a [u8],
    device: (u32, u32),
}

/// A ustar header. What doesn't fit is cut or zero: the PAX records have it.
fn header(fields: &Fields<'_>) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut text = |at: usize, width: usize, value: &[u8]| {
        let ascii = value.iter().copied().filter(u8::is_ascii);
        for (slot, byte) in block[at..at + width].iter_mut().zip(ascii) {
            *slot = byte;
        }
    };
    let octal = |value: u64, most: u64, digits: usize| {
        let value = if value > most { 0 } else { value };
        format!("{value:0digits$o}").into_bytes()
    };
    text(0, 100, fields.path);
    text(100, 8, &octal(u64::from(fields.mode), MAX_ID, 7));
    text(108, 8, &octal(fields.uid, MAX_ID, 7));
    text(116, 8, &octal(fields.gid, MAX_ID, 7));
    text(124, 12, &octal(fields.size, MAX_LONG, 11));
    text(136, 12, &octal(fields.mtime, MAX_LONG, 11));
    text(156, 1, &[fields.kind]);
    text(157, 100, fields.link);
    text(257, 8, b"ustar\x0000");
    text(265, 32, fields.uname);
    text(297, 32, fields.gname);
    text(329, 8, &octal(u64::from(fields.device.0), MAX_ID, 7));
    text(337, 8, &octal(u64::from(fields.device.1), MAX_ID, 7));
    let checksum = format!("{:06o}\0 ", sum(&block));
    block[148..156].copy_from_slice(checksum.as_bytes());
    block
}
