//! What is kept of a layer's entry, and its form in a temporary file.

use std::collections::BTreeMap;
use std::io;

use super::hashed::{Hash, Pyc};
use crate::image::layer::{EntryKind, Mtime};

/// What is kept of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Place of the layer in the image, from 0.
    pub(super) layer: u16,
    /// Place in the tar, from 1.
    pub(super) order: u32,
    pub(super) kind: EntryKind,
    /// True if it hides what layers below have in the folder.
    pub(super) is_opaque: bool,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) owner: Vec<u8>,
    pub(super) group: Vec<u8>,
    pub(super) mtime: Mtime,
    pub(super) size: u64,
    pub(super) hash: Hash,
    pub(super) more: Option<Box<More>>,
}

/// What few entries have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct More {
    pub(super) link: Option<Vec<u8>>,
    pub(super) device: Option<(u32, u32)>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) pyc: Option<Box<Pyc>>,
}

/// Kinds by their number in the file.
const KINDS: [EntryKind; 9] = [
    EntryKind::File,
    EntryKind::Folder,
    EntryKind::Symlink,
    EntryKind::HardLink,
    EntryKind::CharDevice,
    EntryKind::BlockDevice,
    EntryKind::Fifo,
    EntryKind::Whiteout,
    EntryKind::Opaque,
];
/// What follows the fields that all entries have.
const LINK: u8 = 1;
const DEVICE: u8 = 2;
const XATTRS: u8 = 4;
const PYC: u8 = 8;
const OPAQUE: u8 = 16;

impl Row {
    /// Appends it as bytes, which only this process reads.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let none = More::default();
        let more = self.more.as_deref().unwrap_or(&none);
        let kind = KINDS.iter().position(|kind| *kind == self.kind);
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        out.push(kind.expect("all kinds are listed") as u8);
        out.push(
            flag(more.link.is_some(), LINK)
                | flag(more.device.is_some(), DEVICE)
                | flag(!more.xattrs.is_empty(), XATTRS)
                | flag(more.pyc.is_some(), PYC)
                | flag(self.is_opaque, OPAQUE),
        );
        out.extend(self.layer.to_le_bytes());
        out.extend(self.mode.to_le_bytes());
        for number in [self.order, self.uid, self.gid, self.mtime.nanos] {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.mtime.seconds.to_le_bytes());
        out.extend(self.size.to_le_bytes());
        out.extend(self.hash);
        put(out, &self.owner);
        put(out, &self.group);
        if let Some(link) = &more.link {
            put(out, link);
        }
        if let Some((major, minor)) = more.device {
            out.extend(major.to_le_bytes());
            out.extend(minor.to_le_bytes());
        }
        if !more.xattrs.is_empty() {
            out.extend((more.xattrs.len() as u32).to_le_bytes());
            for (name, value) in &more.xattrs {
                put(out, name);
                put(out, value);
            }
        }
        if let Some(pyc) = &more.pyc {
            out.extend(pyc.header);
            out.extend(pyc.code);
        }
    }

    /// Reads what [`Row::write`] wrote. An error means that the temporary file was changed.
    pub(super) fn read(bytes: &[u8]) -> io::Result<Self> {
        Self::parse(bytes).ok_or_else(|| {
            let why = "a temporary file was changed while it was in use";
            io::Error::new(io::ErrorKind::InvalidData, why)
        })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut input = bytes;
        let [kind, flags] = take(&mut input)?;
        let has = |flag| flags & flag != 0;
        let (layer, mode) = (take(&mut input)?, take(&mut input)?);
        let order = number(&mut input)?;
        let (uid, gid, nanos) = (
            number(&mut input)?,
            number(&mut input)?,
            number(&mut input)?,
        );
        let seconds = i64::from_le_bytes(take(&mut input)?);
        let size = u64::from_le_bytes(take(&mut input)?);
        let hash = take(&mut input)?;
        let (owner, group) = (some(&mut input)?, some(&mut input)?);
        let mut more = More::default();
        if has(LINK) {
            more.link = Some(some(&mut input)?);
        }
        if has(DEVICE) {
            more.device = Some((number(&mut input)?, number(&mut input)?));
        }
        if has(XATTRS) {
            for _ in 0..number(&mut input)? {
                more.xattrs.insert(some(&mut input)?, some(&mut input)?);
            }
        }
        if has(PYC) {
            let (header, code) = (take(&mut input)?, take(&mut input)?);
            more.pyc = Some(Box::new(Pyc { header, code }));
        }
        Some(Self {
            layer: u16::from_le_bytes(layer),
            order,
            kind: *KINDS.get(usize::from(kind))?,
            is_opaque: has(OPAQUE),
            mode: u16::from_le_bytes(mode),
            uid,
            gid,
            owner,
            group,
            mtime: Mtime { seconds, nanos },
            size,
            hash,
            more: has(LINK | DEVICE | XATTRS | PYC).then(|| Box::new(more)),
        })
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(*first)
}

fn number(input: &mut &[u8]) -> Option<u32> {
    take(input).map(u32::from_le_bytes)
}

fn some(input: &mut &[u8]) -> Option<Vec<u8>> {
    let length = number(input)? as usize;
    let (first, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(first.to_vec())
}
