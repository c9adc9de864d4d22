//! A zip archive, read as if it came from an enemy: its list of entries once, each bounded and
//! checked, then the entries' contents in any order, streamed.
//!
//! Where the list and what stands before an entry disagree, or entries lie over each other, two
//! readers would see two archives: such a file is refused.

mod content;
mod directory;
mod end;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use crate::error::Fault;

pub(crate) use content::Scratch;

/// What an archive may unpack to in any case, in bytes.
const ALWAYS: u64 = 1 << 30;
/// How many times its own size an archive may unpack to. Real wheels stay below 20.
const RATIO: u64 = 200;
/// The largest wheels have some twenty thousand entries.
pub(crate) const MOST_ENTRIES: u64 = 200_000;
/// Bytes of all names together.
const MOST_NAMES: u64 = 24 << 20;

/// An archive whose list of entries has been read.
pub(crate) struct Archive {
    file: File,
    entries: Vec<Entry>,
}

/// One entry, as the list has it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its path without doubled slashes and `.`; it can't lead out.
    pub(crate) path: Box<str>,
    /// True for a folder.
    pub(crate) is_folder: bool,
    /// Permission bits and kind of file as Unix has them, 0 where the archive has none.
    pub(crate) mode: u16,
    /// Bytes of content.
    pub(crate) size: u64,
    is_deflated: bool,
    crc: u32,
    packed: u64,
    /// Where the header before its content stands.
    offset: u64,
    /// Bytes of its name in the archive.
    name_length: u16,
}

impl Archive {
    /// Reads the list of entries.
    pub(crate) fn read(file: File) -> Result<Self, Fault> {
        let size = file.metadata().map_err(Fault::Read)?.len();
        let end = end::find(&file, size)?;
        let entries = directory::read(&file, &end, size)?;
        Ok(Self { file, entries })
    }

    /// Its entries, in the order of the list. Of two with one path, the later one counts.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// A part of a file, read from its beginning.
struct Part<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Says of an end that came too early where it came.
fn cut_off(what: &'static str) -> impl Fn(io::Error) -> Fault {
    move |error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Fault::Truncated(what)
        } else {
            Fault::Read(error)
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
