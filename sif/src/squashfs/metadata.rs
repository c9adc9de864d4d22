//! Tables are packed in blocks of 8 KiB, each with its length before it.

use std::io;

use libdeflater::Compressor;

use super::blocks::{compressor, pack};

/// Bytes of a block.
pub(super) const SIZE: usize = 8192;
/// In a block's length: it is stored as it is.
const RAW: u16 = 1 << 15;

/// A table under way.
pub(super) struct Metadata {
    done: Vec<u8>,
    block: Vec<u8>,
    packer: Compressor,
}

impl Default for Metadata {
    fn default() -> Self {
        Self {
            done: Vec::new(),
            block: Vec::with_capacity(SIZE),
            packer: compressor(),
        }
    }
}

/// A place in a table: where its block begins, and how far in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) block: u32,
    pub(super) offset: u16,
}

impl Place {
    /// As the format has it in one number.
    pub(super) fn packed(self) -> u64 {
        u64::from(self.block) << 16 | u64::from(self.offset)
    }
}

/// A number of the format's tables, which go up to 4 GiB.
pub(super) fn narrow(number: usize) -> io::Result<u32> {
    let full = |_| io::Error::other("a squashfs has no room for so many files");
    u32::try_from(number).map_err(full)
}

impl Metadata {
    /// Where the next byte comes.
    pub(super) fn place(&self) -> io::Result<Place> {
        Ok(Place {
            block: narrow(self.done.len())?,
            offset: self.block.len() as u16,
        })
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = SIZE - self.block.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == SIZE {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        if self.block.is_empty() {
            return;
        }
        match pack(&mut self.packer, &self.block) {
            Some(packed) => {
                let length = packed.len() as u16;
                self.done.extend_from_slice(&length.to_le_bytes());
                self.done.extend_from_slice(&packed);
            }
            None => {
                let length = self.block.len() as u16 | RAW;
                self.done.extend_from_slice(&length.to_le_bytes());
                self.done.extend_from_slice(&self.block);
            }
        }
        self.block.clear();
    }

    /// The whole table.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.flush();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::narrow;

    #[test]
    fn a_number_that_the_format_has_no_room_for_is_an_error() {
        assert_eq!(narrow(u32::MAX as usize).unwrap(), u32::MAX);
        assert!(narrow(u32::MAX as usize + 1).is_err());
    }
}
