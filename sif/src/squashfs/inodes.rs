//! The tables of inodes and folders.

use std::collections::HashMap;
use std::io;

use super::directories::{Entry, Listing};
use super::metadata::{Metadata, Place, narrow};
use super::tree::{FileId, Kind, NodeId, Tree};
use super::xattrs::{NONE, Xattrs};
use super::{FileData, NOWHERE};

/// Kinds of inodes; an extended one is [`EXTENDED`] more.
const FOLDER: u16 = 1;
const FILE: u16 = 2;
const SYMLINK: u16 = 3;
const BLOCK_DEVICE: u16 = 4;
const CHAR_DEVICE: u16 = 5;
const FIFO: u16 = 6;
const EXTENDED: u16 = 7;
/// A file that has no fragment.
const NO_FRAGMENT: u32 = u32::MAX;
/// A listing counts so many bytes that aren't there.
const LISTING_EXTRA: usize = 3;

/// Tables that were written.
pub(super) struct Inodes {
    pub(super) inodes: Vec<u8>,
    pub(super) directories: Vec<u8>,
    pub(super) xattrs: Option<Xattrs>,
    pub(super) count: u32,
    /// Where the root's inode is.
    pub(super) root: u64,
}

struct Writer<'a> {
    tree: &'a Tree,
    files: &'a HashMap<FileId, FileData>,
    numbers: HashMap<NodeId, u32>,
    links: HashMap<NodeId, u32>,
    places: HashMap<NodeId, Place>,
    inodes: Metadata,
    directories: Metadata,
    xattrs: Xattrs,
}

impl Inodes {
    pub(super) fn write(tree: &Tree, files: &HashMap<FileId, FileData>) -> io::Result<Self> {
        // Folders, each before those in it.
        let (mut folders, mut waiting) = (Vec::new(), vec![(0, 0)]);
        let (mut numbers, mut links) = (HashMap::new(), HashMap::<NodeId, u32>::new());
        while let Some((id, parent)) = waiting.pop() {
            folders.push((id, parent));
            for child in children(tree, id).map(|(_, child)| child) {
                *links.entry(child).or_default() += 1;
                let next = numbers.len() as u32 + 1;
                numbers.entry(child).or_insert(next);
                if matches!(tree.nodes[child].kind, Kind::Folder(_)) {
                    waiting.push((child, id));
                }
            }
        }
        let count = numbers.len() as u32 + 1;
        numbers.insert(0, count);
        let mut writer = Writer {
            tree,
            files,
            numbers,
            links,
            places: HashMap::new(),
            inodes: Metadata::default(),
            directories: Metadata::default(),
            xattrs: Xattrs::default(),
        };
        let mut root = Place::default();
        for (id, parent) in folders.into_iter().rev() {
            for (_, child) in children(tree, id) {
                if !matches!(tree.nodes[child].kind, Kind::Folder(_)) {
                    writer.other(child)?;
                }
            }
            root = writer.folder(id, parent)?;
        }
        Ok(Self {
            inodes: writer.inodes.finish(),
            directories: writer.directories.finish(),
            xattrs: writer.xattrs.finish(),
            count,
            root: root.packed(),
        })
    }
}

fn children(tree: &Tree, id: NodeId) -> impl Iterator<Item = (&[u8], NodeId)> {
    let names = match &tree.nodes[id].kind {
        Kind::Folder(names) => Some(names),
        _ => None,
    };
    let all = names.into_iter().flatten();
    all.map(|(name, child)| (name.as_slice(), child.node))
}

impl Writer<'_> {
    /// What every inode begins with.
    fn head(&self, id: NodeId, kind: u16) -> Vec<u8> {
        let node = &self.tree.nodes[id];
        let mut bytes = Vec::with_capacity(64);
        for number in [kind, node.mode, 0, 0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        push(&mut bytes, &[node.mtime, self.numbers[&id]]);
        bytes
    }

    fn xattr(&mut self, id: NodeId) -> io::Result<u32> {
        self.xattrs.add(&self.tree.nodes[id].xattrs)
    }

    fn folder(&mut self, id: NodeId, parent: NodeId) -> io::Result<Place> {
        let (mut listing, mut inner) = (Listing::default(), 0);
        for (name, child) in children(self.tree, id) {
            let kind = basic_kind(&self.tree.nodes[child].kind);
            inner += u32::from(kind == FOLDER);
            listing.add(Entry {
                name,
                place: self.places[&child],
                number: self.numbers[&child],
                kind,
            });
        }
        let start = self.directories.place()?;
        let bytes = listing.finish();
        self.directories.write(&bytes);
        let size = bytes.len() + LISTING_EXTRA;
        // The root's parent is a number that nobody has.
        let above = match id {
            0 => self.numbers[&0] + 1,
            _ => self.numbers[&parent],
        };
        let (links, xattr) = (inner + 2, self.xattr(id)?);
        let basic = u16::try_from(size).ok().filter(|_| xattr == NONE);
        let mut inode;
        if let Some(size) = basic {
            inode = self.head(id, FOLDER);
            push(&mut inode, &[start.block, links]);
            inode.extend_from_slice(&size.to_le_bytes());
            inode.extend_from_slice(&start.offset.to_le_bytes());
            push(&mut inode, &[above]);
        } else {
            inode = self.head(id, FOLDER + EXTENDED);
            push(&mut inode, &[links, narrow(size)?, start.block, above]);
            // It has no index.
            inode.extend_from_slice(&0_u16.to_le_bytes());
            inode.extend_from_slice(&start.offset.to_le_bytes());
            push(&mut inode, &[xattr]);
        }
        self.end(id, &inode)
    }

    /// Anything but a folder; one with several names is written once.
    fn other(&mut self, id: NodeId) -> io::Result<()> {
        if self.places.contains_key(&id) {
            return Ok(());
        }
        let tree = self.tree;
        let kind = &tree.nodes[id].kind;
        let (links, xattr) = (self.links[&id], self.xattr(id)?);
        let number = basic_kind(kind);
        let extended = if xattr == NONE { 0 } else { EXTENDED };
        let mut inode = self.head(id, number + extended);
        match kind {
            Kind::File(file) => {
                let data = self.files.get(file);
                let data = data.ok_or_else(|| io::Error::other("a file's content is missing"))?;
                inode = self.file(id, data, xattr);
            }
            Kind::Symlink(target) => {
                push(&mut inode, &[links, target.len() as u32]);
                inode.extend_from_slice(target);
            }
            Kind::CharDevice(major, minor) | Kind::BlockDevice(major, minor) => {
                let device = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
                push(&mut inode, &[links, device]);
            }
            Kind::Fifo | Kind::Folder(_) => push(&mut inode, &[links]),
        }
        if xattr != NONE && !matches!(kind, Kind::File(_)) {
            push(&mut inode, &[xattr]);
        }
        self.end(id, &inode)?;
        Ok(())
    }

    fn file(&self, id: NodeId, data: &FileData, xattr: u32) -> Vec<u8> {
        let links = self.links[&id];
        let (fragment, offset) = data.fragment.unwrap_or((NO_FRAGMENT, 0));
        let start = if data.start == NOWHERE { 0 } else { data.start };
        let small = u32::try_from(start).ok().zip(u32::try_from(data.size).ok());
        let is_plain = links == 1 && xattr == NONE && data.holes == 0;
        let mut inode;
        if let Some((start, size)) = small.filter(|_| is_plain) {
            inode = self.head(id, FILE);
            push(&mut inode, &[start, fragment, offset, size]);
        } else {
            inode = self.head(id, FILE + EXTENDED);
            for number in [start, data.size, data.holes] {
                inode.extend_from_slice(&number.to_le_bytes());
            }
            push(&mut inode, &[links, fragment, offset, xattr]);
        }
        push(&mut inode, &data.blocks);
        inode
    }

    fn end(&mut self, id: NodeId, inode: &[u8]) -> io::Result<Place> {
        let place = self.inodes.place()?;
        self.inodes.write(inode);
        self.places.insert(id, place);
        Ok(place)
    }
}

fn basic_kind(kind: &Kind) -> u16 {
    match kind {
        Kind::Folder(_) => FOLDER,
        Kind::File(_) => FILE,
        Kind::Symlink(_) => SYMLINK,
        Kind::BlockDevice(..) => BLOCK_DEVICE,
        Kind::CharDevice(..) => CHAR_DEVICE,
        Kind::Fifo => FIFO,
    }
}

fn push(bytes: &mut Vec<u8>, numbers: &[u32]) {
    for number in numbers {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
}
