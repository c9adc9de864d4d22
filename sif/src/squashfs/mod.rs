//! A squashfs 4.0 of files that come one after the other, and a tree that says where they are.
//!
//! Blocks are packed with zlib, as the programs of old clusters read it, on several threads; they are written
//! in the order in which they came, so that the number of threads changes no byte. All files belong to root.
//! Memory holds the tree, some blocks under way and the tables, and no content.

mod blocks;
mod directories;
mod error;
mod inodes;
mod metadata;
mod tree;
mod walk;
mod xattrs;

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use self::blocks::{Packed, Packer, Target};
pub use self::error::TreeError;
use self::inodes::Inodes;
use self::metadata::Metadata;
pub use self::tree::{FileId, Kind, Limits, Name, Node, NodeId, Tree};

/// Bytes of a block.
const BLOCK: usize = 128 << 10;
/// In a block's size: it is stored as it is.
const RAW: u32 = 1 << 24;
/// A place where nothing is.
const NOWHERE: u64 = u64::MAX;
const SUPERBLOCK: usize = 96;
/// The whole is a multiple of this.
const ALIGNED: u64 = 4096;
/// Contents that may be there, in bytes: what a place in the format's tables can say, and then some.
const MOST_FILES: usize = u32::MAX as usize;

/// Where a file's content lies.
#[derive(Debug, Clone, Default)]
struct FileData {
    size: u64,
    start: u64,
    /// Sizes of its blocks as the format has them.
    blocks: Vec<u32>,
    /// Number of the fragment, and the place in it.
    fragment: Option<(u32, u32)>,
    /// Bytes of blocks that are all zeros, and so not there.
    holes: u64,
}

/// A file system under way.
pub struct Squashfs<W> {
    out: W,
    /// Where it begins in `out`.
    base: u64,
    /// Where the next block comes, from `base` on.
    at: u64,
    packer: Packer,
    files: HashMap<FileId, FileData>,
    fragments: Vec<(u64, u32)>,
    /// The fragment that is being filled.
    filling: Vec<u8>,
    /// How many fragments were given to the packer.
    begun: u32,
}

impl<W: Write + Seek> Squashfs<W> {
    /// Begins one at the place where `out` stands, packed by this many threads, up to a limit.
    ///
    /// # Errors
    /// Where `out` can't be written to, or there are no threads.
    pub fn new(mut out: W, threads: usize) -> io::Result<Self> {
        let base = out.stream_position()?;
        out.write_all(&[0; SUPERBLOCK])?;
        Ok(Self {
            out,
            base,
            at: SUPERBLOCK as u64,
            packer: Packer::start(threads)?,
            files: HashMap::new(),
            fragments: Vec::new(),
            filling: Vec::new(),
            begun: 0,
        })
    }

    /// Adds a file's content, of exactly `size` bytes.
    ///
    /// # Errors
    /// Where it can't be read, is shorter, or `out` can't be written to.
    pub fn file(&mut self, id: FileId, content: &mut dyn Read, size: u64) -> io::Result<()> {
        let data = FileData {
            size,
            start: NOWHERE,
            ..FileData::default()
        };
        if self.files.len() >= MOST_FILES || size / BLOCK as u64 > u64::from(u32::MAX) {
            return Err(io::Error::other("a squashfs has no room for so much"));
        }
        self.files.insert(id, data);
        if size < BLOCK as u64 {
            return self.small(id, content, size as usize);
        }
        let mut left = size;
        while left > 0 {
            let mut block = vec![0; left.min(BLOCK as u64) as usize];
            content.read_exact(&mut block)?;
            left -= block.len() as u64;
            if block.iter().all(|byte| *byte == 0) {
                self.pack(Target::Hole(id, block.len() as u64), Vec::new())?;
            } else {
                self.pack(Target::File(id), block)?;
            }
        }
        Ok(())
    }

    /// Several small files share a block.
    fn small(&mut self, id: FileId, content: &mut dyn Read, size: usize) -> io::Result<()> {
        if size == 0 {
            return Ok(());
        }
        if self.filling.len() + size > BLOCK {
            self.end_fragment()?;
        }
        let at = self.filling.len();
        self.filling.resize(at + size, 0);
        content.read_exact(&mut self.filling[at..])?;
        if let Some(data) = self.files.get_mut(&id) {
            data.fragment = Some((self.begun, at as u32));
        }
        Ok(())
    }

    fn end_fragment(&mut self) -> io::Result<()> {
        if self.filling.is_empty() {
            return Ok(());
        }
        self.begun += 1;
        let block = std::mem::take(&mut self.filling);
        self.pack(Target::Fragment, block)
    }

    fn pack(&mut self, target: Target, block: Vec<u8>) -> io::Result<()> {
        if let Some(done) = self.packer.push(target, block)? {
            self.take(done)?;
        }
        Ok(())
    }

    /// Writes a block that is packed.
    fn take(&mut self, (target, packed): (Target, Packed)) -> io::Result<()> {
        let mut size = packed.bytes.len() as u32;
        if packed.is_raw && size > 0 {
            size |= RAW;
        }
        let start = self.at;
        self.out.write_all(&packed.bytes)?;
        self.at += packed.bytes.len() as u64;
        let id = match target {
            Target::Fragment => {
                self.fragments.push((start, size));
                return Ok(());
            }
            Target::File(id) | Target::Hole(id, _) => id,
        };
        let data = self.files.get_mut(&id);
        let data = data.ok_or_else(|| io::Error::other("a block of no file"))?;
        if data.start == NOWHERE {
            data.start = start;
        }
        if let Target::Hole(_, bytes) = target {
            data.holes += bytes;
        }
        data.blocks.push(size);
        Ok(())
    }

    /// Writes the tree, all whose files were added, and gives `out` back, which stands at the end.
    ///
    /// # Errors
    /// Where a file of the tree is missing, or `out` can't be written to.
    pub fn finish(mut self, tree: &Tree) -> io::Result<W> {
        self.end_fragment()?;
        while let Some(done) = self.packer.next()? {
            self.take(done)?;
        }
        let written = Inodes::write(tree, &self.files)?;
        let inode_table = self.table(&written.inodes)?;
        let directory_table = self.table(&written.directories)?;
        let fragment_table = self.fragment_table()?;
        let id_table = self.lookup(&[0; 4], 4)?;
        let xattr_table = match &written.xattrs {
            None => NOWHERE,
            Some(xattrs) => {
                let start = self.table(&xattrs.values)?;
                xattrs.write_lookup(self.at, start, |bytes| {
                    self.out.write_all(bytes)?;
                    self.at += bytes.len() as u64;
                    Ok(())
                })?
            }
        };
        let used = self.at;
        let padding = used.next_multiple_of(ALIGNED) - used;
        self.out.write_all(&vec![0; padding as usize])?;
        let mut block = Vec::with_capacity(SUPERBLOCK);
        block.extend_from_slice(b"hsqs");
        for number in [written.count, 0, BLOCK as u32, self.fragments.len() as u32] {
            block.extend_from_slice(&number.to_le_bytes());
        }
        let flags: u16 = if written.xattrs.is_some() { 0 } else { 0x200 };
        // zlib, the block's logarithm, flags, one id, version 4.0.
        for number in [1, BLOCK.ilog2() as u16, flags, 1, 4, 0] {
            block.extend_from_slice(&number.to_le_bytes());
        }
        for number in [
            written.root,
            used,
            id_table,
            xattr_table,
            inode_table,
            directory_table,
            fragment_table,
            NOWHERE,
        ] {
            block.extend_from_slice(&number.to_le_bytes());
        }
        self.out.seek(SeekFrom::Start(self.base))?;
        self.out.write_all(&block)?;
        self.out.seek(SeekFrom::End(0))?;
        Ok(self.out)
    }

    /// Writes bytes; gives where they begin.
    fn table(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let start = self.at;
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(start)
    }

    fn fragment_table(&mut self) -> io::Result<u64> {
        let mut entries = Vec::with_capacity(self.fragments.len() * 16);
        for (start, size) in &self.fragments {
            entries.extend_from_slice(&start.to_le_bytes());
            entries.extend_from_slice(&size.to_le_bytes());
            entries.extend_from_slice(&[0; 4]);
        }
        self.lookup(&entries, 16)
    }

    /// Entries of that size in packed blocks, and then where each block is; gives the place of the latter.
    fn lookup(&mut self, entries: &[u8], size: usize) -> io::Result<u64> {
        let mut places = Vec::new();
        for piece in entries.chunks(metadata::SIZE / size * size) {
            let mut packed = Metadata::default();
            packed.write(piece);
            let start = self.table(&packed.finish())?;
            places.extend_from_slice(&start.to_le_bytes());
        }
        self.table(&places)
    }
}
