//! The content of a zip archive's entries, streamed.

use std::os::unix::fs::FileExt as _;

use zlib_rs::{Inflate, InflateFlush, Status};

use super::{Archive, Entry, Part, cut_off, u16_at};
use crate::error::Fault;

const INPUT: usize = 128 << 10;
const OUTPUT: usize = 256 << 10;
/// Bits of the window that zip archives are deflated with.
const WINDOW: u8 = 15;

/// What reading needs and can use again.
pub(crate) struct Scratch {
    inflate: Inflate,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self {
            inflate: Inflate::new(false, WINDOW),
            input: vec![0; INPUT],
            output: vec![0; OUTPUT],
        }
    }
}

impl Archive {
    /// Gives an entry's content to `sink`, piece by piece; then size and checksum have been
    /// compared with the list's.
    pub(crate) fn content<E: From<Fault>>(
        &self,
        entry: &Entry,
        scratch: &mut Scratch,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut input = self.packed(entry)?;
        let mut crc = crc32fast::Hasher::new();
        let mut left = entry.size;
        let mut take = |piece: &[u8]| {
            left = left
                .checked_sub(piece.len() as u64)
                .ok_or_else(|| damaged(entry, "it is longer than the archive says"))?;
            crc.update(piece);
            sink(piece)
        };
        if entry.is_deflated {
            inflate(entry, &mut input, scratch, &mut take)?;
        } else {
            while input.at < input.end {
                let read = fill(&mut input, &mut scratch.input)?;
                take(&scratch.input[..read])?;
            }
        }
        if left != 0 {
            return Err(damaged(entry, "it is shorter than the archive says").into());
        }
        if crc.finalize() != entry.crc {
            return Err(damaged(entry, "its checksum is wrong").into());
        }
        Ok(())
    }

    /// An entry's content in memory, for what is at most `most` bytes long.
    pub(crate) fn bytes(
        &self,
        entry: &Entry,
        scratch: &mut Scratch,
        most: u64,
    ) -> Result<Vec<u8>, Fault> {
        if entry.size > most {
            let (what, found) = ("bytes in one file of its metadata", entry.size);
            return Err(Fault::TooLarge { what, found, most });
        }
        let mut bytes = Vec::with_capacity(entry.size as usize);
        self.content(entry, scratch, |piece| {
            bytes.extend_from_slice(piece);
            Ok::<(), Fault>(())
        })?;
        Ok(bytes)
    }

    /// The first bytes of an entry's content: at most `most`, fewer only where there are no more.
    pub(crate) fn start(
        &self,
        entry: &Entry,
        scratch: &mut Scratch,
        most: usize,
    ) -> Result<Vec<u8>, Fault> {
        /// Why it ends: enough is there, or it can't be read.
        enum Stop {
            Enough,
            Bad(Fault),
        }
        impl From<Fault> for Stop {
            fn from(fault: Fault) -> Self {
                Stop::Bad(fault)
            }
        }
        let mut start = Vec::new();
        let read = self.content(entry, scratch, |piece| {
            start.extend_from_slice(&piece[..piece.len().min(most - start.len())]);
            if start.len() == most {
                return Err(Stop::Enough);
            }
            Ok(())
        });
        match read {
            Ok(()) | Err(Stop::Enough) => Ok(start),
            Err(Stop::Bad(fault)) => Err(fault),
        }
    }

    /// The bytes that an entry's content is packed in.
    fn packed(&self, entry: &Entry) -> Result<Part<'_>, Fault> {
        let mut header = [0; 30];
        self.file
            .read_exact_at(&mut header, entry.offset)
            .map_err(cut_off("the header of an entry"))?;
        let is_same = header.starts_with(b"PK\x03\x04")
            && u16_at(&header, 26) == entry.name_length
            && u16_at(&header, 8) == u16::from(entry.is_deflated) * 8
            && u16_at(&header, 6) & 1 == 0;
        if !is_same {
            let why = "the header before it and the list contradict each other";
            return Err(damaged(entry, why));
        }
        let names = u64::from(u16_at(&header, 26)) + u64::from(u16_at(&header, 28));
        let at = entry.offset + header.len() as u64 + names;
        Ok(Part {
            file: &self.file,
            at,
            end: at + entry.packed,
        })
    }
}

fn inflate<E: From<Fault>>(
    entry: &Entry,
    input: &mut Part<'_>,
    scratch: &mut Scratch,
    take: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let Scratch {
        inflate,
        input: packed,
        output,
    } = scratch;
    inflate.reset(false);
    let (mut at, mut filled) = (0, 0);
    loop {
        if at == filled && input.at < input.end {
            (at, filled) = (0, fill(input, packed)?);
        }
        let (read, written) = (inflate.total_in(), inflate.total_out());
        let status = inflate
            .decompress(&packed[at..filled], output, InflateFlush::NoFlush)
            .map_err(|_| damaged(entry, "it can't be inflated"))?;
        let read = (inflate.total_in() - read) as usize;
        let written = (inflate.total_out() - written) as usize;
        at += read;
        take(&output[..written])?;
        if status == Status::StreamEnd {
            break;
        }
        if read == 0 && written == 0 {
            return Err(damaged(entry, "it ends before its content does").into());
        }
    }
    if at != filled || input.at != input.end {
        return Err(damaged(entry, "there is something behind its content").into());
    }
    Ok(())
}

fn fill(input: &mut Part<'_>, buffer: &mut [u8]) -> Result<usize, Fault> {
    use std::io::Read as _;
    match input.read(buffer) {
        Ok(0) => Err(Fault::Truncated("the content of an entry")),
        Ok(read) => Ok(read),
        Err(error) => Err(Fault::Read(error)),
    }
}

fn damaged(entry: &Entry, why: &'static str) -> Fault {
    Fault::Damaged {
        entry: entry.path.to_string(),
        why,
    }
}
