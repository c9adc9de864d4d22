//! Takes the documents out of a file. The file is a stranger's: everything in it is checked, and little of
//! it is read.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

use crate::header::{
    DEFINITION, DESCRIPTOR, DESCRIPTORS_OFFSET, DESCRIPTORS_TOTAL, HEADER, JSON, LAUNCH, MAGIC,
    PARTITION, PRIMARY,
};

/// Most descriptors that are looked at.
const MOST: u64 = 1024;
/// Largest document, in bytes.
const LARGEST: u64 = 4 << 20;

/// Why a file can't be read as an image.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It can't be read at all.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("it isn't a SIF: it doesn't begin as one")]
    NotASif,
    /// It makes no sense.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

/// What stands in a file beside its file system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sif {
    /// The definition file; empty where there is none.
    pub definition: Vec<u8>,
    /// JSON documents by name.
    pub json: BTreeMap<String, Vec<u8>>,
    /// Where the root file system lies, and its size.
    pub partition: Option<(u64, u64)>,
}

impl Sif {
    /// Reads them.
    ///
    /// # Errors
    /// A file that is no image, or a damaged one.
    pub fn read(file: &mut (impl Read + Seek)) -> Result<Self, ReadError> {
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        let mut header = [0; HEADER];
        file.read_exact(&mut header).map_err(cut_off)?;
        if &header[LAUNCH.len()..LAUNCH.len() + MAGIC.len()] != MAGIC {
            return Err(ReadError::NotASif);
        }
        let total = number(&header, DESCRIPTORS_TOTAL);
        if total > MOST {
            return Err(damaged(format!("it has {total} descriptors")));
        }
        let mut found = Self::default();
        let start = number(&header, DESCRIPTORS_OFFSET);
        for at in 0..total {
            let place = start
                .checked_add(at * DESCRIPTOR as u64)
                .filter(|place| *place < end)
                .ok_or_else(|| damaged("its descriptors lie outside of it".to_owned()))?;
            file.seek(SeekFrom::Start(place))?;
            let mut bytes = [0; DESCRIPTOR];
            file.read_exact(&mut bytes).map_err(cut_off)?;
            if bytes[4] != 0 {
                found.take(file, &bytes, end)?;
            }
        }
        Ok(found)
    }

    fn take(
        &mut self,
        file: &mut (impl Read + Seek),
        descriptor: &[u8; DESCRIPTOR],
        end: u64,
    ) -> Result<(), ReadError> {
        let (at, size) = (number(descriptor, 17), number(descriptor, 25));
        if at.checked_add(size).is_none_or(|last| last > end) {
            return Err(damaged("an object of it lies outside of it".to_owned()));
        }
        let kind = small(descriptor, 0);
        match kind {
            PARTITION if small(descriptor, 205) == PRIMARY => {
                self.partition = Some((at, size));
                return Ok(());
            }
            DEFINITION | JSON => {}
            _ => return Ok(()),
        }
        if size > LARGEST {
            return Err(damaged(format!("a document of it has {size} bytes")));
        }
        file.seek(SeekFrom::Start(at))?;
        let mut text = Vec::new();
        file.take(size).read_to_end(&mut text)?;
        if kind == DEFINITION {
            self.definition = text;
            return Ok(());
        }
        let name = &descriptor[73..201];
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name).into_owned();
        self.json.insert(name, text);
        if self.json.values().map(Vec::len).sum::<usize>() as u64 > LARGEST {
            return Err(damaged("its documents are too large".to_owned()));
        }
        Ok(())
    }
}

fn damaged(why: String) -> ReadError {
    ReadError::Damaged(why)
}

fn cut_off(error: io::Error) -> ReadError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged("it is cut off".to_owned()),
        _ => error.into(),
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8]
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn small(bytes: &[u8], at: usize) -> i32 {
    let bytes = &bytes[at..at + 4];
    i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
