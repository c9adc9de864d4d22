//! A compiler's answer, checked, and the file that keeps it.
//!
//! An answer is a row of records: number of the source and length of its bytecode (32 bits each, the
//! lowest byte first), then the bytecode; the numbers ascend. A source that can't be compiled has none.
//!
//! The file that keeps it: each content compressed by itself, then the list of them, compressed, and the
//! length of that list in the last eight bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt as _;

use super::Sources;

/// Bytes of a header: version, flags, hash of the source (PEP 552).
const HEADER: usize = 16;
/// Bytecode that isn't compared with its source.
const UNCHECKED_HASH: [u8; 4] = [1, 0, 0, 0];
/// Bytes of bytecode that any source may come to, and how many times its size more.
const ALWAYS: u64 = 64 << 10;
const RATIO: u64 = 24;
/// Bytes of bytecode that a source may come to at most: each is held in memory once.
const MOST: u64 = 256 << 20;
/// Bytes that a list may have.
const MOST_LIST: usize = 64 << 20;

/// Why a compiler's answer isn't used.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It can't be read, or not be kept.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It isn't bytecode of these sources.
    #[error("it is no bytecode of this wheel: {0}")]
    Refused(String),
}

/// The bytecode of a wheel.
#[derive(Debug)]
pub struct Bytecode {
    file: File,
    all: BTreeMap<String, Slot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    at: u64,
    packed: u64,
    size: u64,
}

impl Bytecode {
    /// Reads the list of a file.
    pub(crate) fn open(file: File) -> io::Result<Self> {
        let bad = || io::Error::new(ErrorKind::InvalidData, "no file of bytecode");
        let end = file.metadata()?.len().checked_sub(8).ok_or_else(bad)?;
        let mut length = [0; 8];
        file.read_exact_at(&mut length, end)?;
        let length = u64::from_le_bytes(length);
        let start = end.checked_sub(length).ok_or_else(bad)?;
        if length > MOST_LIST as u64 {
            return Err(bad());
        }
        let mut list = vec![0; length as usize];
        file.read_exact_at(&mut list, start)?;
        let list = zstd::bulk::decompress(&list, MOST_LIST)?;
        let list = String::from_utf8(list).map_err(|_| bad())?;
        let mut all = BTreeMap::new();
        for line in list.lines() {
            let mut parts = line.splitn(4, ' ');
            let mut number = || parts.next()?.parse::<u64>().ok();
            let (at, packed, size) = (number(), number(), number());
            let (Some(at), Some(packed), Some(size), Some(path)) = (at, packed, size, parts.next())
            else {
                return Err(bad());
            };
            if at.checked_add(packed).is_none_or(|last| last > start) {
                return Err(bad());
            }
            all.insert(path.to_owned(), Slot { at, packed, size });
        }
        Ok(Self { file, all })
    }

    /// How many modules have bytecode.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// True where none has any.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Paths below the environment's folder, and sizes.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, u64)> {
        self.all
            .iter()
            .map(|(path, slot)| (path.as_str(), slot.size))
    }

    /// One of them.
    pub(crate) fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let damaged = || io::Error::new(ErrorKind::InvalidData, "kept bytecode is damaged");
        let slot = self.all.get(path).ok_or_else(damaged)?;
        let mut packed = vec![0; slot.packed as usize];
        self.file.read_exact_at(&mut packed, slot.at)?;
        let bytes = zstd::bulk::decompress(&packed, slot.size as usize).map_err(|_| damaged())?;
        if bytes.len() as u64 == slot.size {
            Ok(bytes)
        } else {
            Err(damaged())
        }
    }
}

/// Reads an answer about these sources, and writes the file that keeps it.
pub(crate) fn read_answer(
    sources: &Sources,
    mut answer: impl Read,
    mut out: impl Write,
) -> Result<(), AnswerError> {
    let refused = |why: String| AnswerError::Refused(why);
    let mut packer = zstd::bulk::Compressor::new(1)?;
    packer.include_checksum(true)?;
    let (mut list, mut at, mut next) = (String::new(), 0, 0);
    while let Some((number, length)) = record(&mut answer)? {
        let source = sources.0.get(number as usize).filter(|_| number >= next);
        let source = source.ok_or_else(|| refused(format!("it speaks of source {number}")))?;
        next = number + 1;
        let most = (ALWAYS + RATIO * source.size).min(MOST);
        let path = &source.cache;
        if u64::from(length) > most {
            return Err(refused(format!(
                "{path} has {length} bytes, and {most} are allowed"
            )));
        }
        let mut bytes = vec![0; length as usize];
        answer.read_exact(&mut bytes)?;
        if bytes.len() < HEADER || bytes[2..4] != *b"\r\n" || bytes[4..8] != UNCHECKED_HASH {
            return Err(refused(format!("{path} has another header")));
        }
        let packed = packer.compress(&bytes)?;
        out.write_all(&packed)?;
        list.push_str(&format!("{at} {} {length} {path}\n", packed.len()));
        at += packed.len() as u64;
    }
    let list = packer.compress(list.as_bytes())?;
    out.write_all(&list)?;
    out.write_all(&(list.len() as u64).to_le_bytes())?;
    Ok(())
}

/// The two numbers before a content; `None` at the end.
fn record(answer: &mut impl Read) -> io::Result<Option<(u32, u32)>> {
    let mut bytes = [0; 8];
    let mut found = 0;
    while found < bytes.len() {
        match answer.read(&mut bytes[found..]) {
            Ok(0) if found == 0 => return Ok(None),
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => found += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    Ok(Some((number(0), number(4))))
}
