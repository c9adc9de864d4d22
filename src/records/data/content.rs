//! What is read of a file.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use super::DataHash;
use super::remembered::Remembered;

/// Bytes of a sample.
const SAMPLE: u64 = 64 << 10;
/// A file of so many bytes is one sample: the whole of it.
pub(super) const WHOLE: u64 = 3 * SAMPLE;
/// Bytes that are read at once.
const BUFFER: usize = 1 << 20;

/// SHA-256 of a file's samples, and of all of it.
pub(super) struct Content {
    pub(super) sample: [u8; 32],
    pub(super) full: Option<[u8; 32]>,
}

/// Reads a file that had this metadata.
///
/// # Errors
/// Where it can't be read, is something else by now, or changes meanwhile.
pub(super) fn read(
    path: &Path,
    metadata: &Metadata,
    hash: DataHash,
    remembered: Option<&mut Remembered>,
) -> io::Result<Content> {
    // A pipe that takes the file's place keeps nobody waiting.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    same(&file, metadata)?;
    let size = metadata.len();
    let sample = sample(&file, size)?;
    let full = match (hash, remembered) {
        (DataHash::Sampled, _) => None,
        (DataHash::Full, _) if size <= WHOLE => Some(sample),
        (DataHash::Full, None) => Some(whole(&file)?),
        (DataHash::Full, Some(remembered)) => match remembered.get(metadata) {
            Some(known) => Some(known),
            None => {
                let full = whole(&file)?;
                same(&file, metadata)?;
                remembered.put(metadata, full);
                Some(full)
            }
        },
    };
    same(&file, metadata)?;
    Ok(Content { sample, full })
}

/// Sees that the open file is the one that was looked at, and as it was.
fn same(file: &File, metadata: &Metadata) -> io::Result<()> {
    let now = file.metadata()?;
    let of = |m: &Metadata| (m.dev(), m.ino(), m.len(), m.mtime(), m.mtime_nsec());
    if now.is_file() && of(&now) == of(metadata) {
        Ok(())
    } else {
        Err(io::Error::other("it changed while it was read"))
    }
}

/// Of the first bytes, those in the middle and the last ones; of all where that isn't more.
fn sample(file: &File, size: u64) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let pieces = if size <= WHOLE {
        vec![(0, size)]
    } else {
        let (middle, end) = (size / 2, size - SAMPLE);
        vec![(0, SAMPLE), (middle, SAMPLE), (end, SAMPLE)]
    };
    for (at, length) in pieces {
        let mut bytes = vec![0; usize::try_from(length).expect("a sample fits")];
        file.read_exact_at(&mut bytes, at)?;
        hash.update(&bytes);
    }
    Ok(hash.finalize().into())
}

fn whole(mut file: &File) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&buffer[..read]),
        }
    }
}
