//! What is kept of a file's content: a hash, and a little more of files that tell something.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

/// The header of a compiled Python file, in bytes.
const PYC_HEADER: usize = 16;
const PIECE: usize = 64 << 10;

/// A sha256 hash.
pub(super) type Hash = [u8; 32];

/// A compiled Python file: its header apart from its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pyc {
    /// Magic number, flags, and the source's time and size or its hash.
    pub(super) header: [u8; PYC_HEADER],
    /// Hash of what follows.
    pub(super) code: Hash,
}

impl Pyc {
    /// True if the header names the time of the source, which makes it stale with another one.
    pub(super) fn is_by_time(&self) -> bool {
        self.header[4..8] == [0; 4]
    }
}

/// What was seen of a content.
#[derive(Default)]
pub(super) struct Content {
    pub(super) hash: Hash,
    pub(super) pyc: Option<Box<Pyc>>,
    /// The first bytes, up to what was asked for.
    pub(super) start: Vec<u8>,
}

/// Room to read with: one for many files, because most of them are small.
pub(super) fn buffer() -> Vec<u8> {
    vec![0; PIECE]
}

/// Reads a content to its end, by way of a [`buffer`]. Keeps its first `keep` bytes.
pub(super) fn read(
    content: &mut dyn Read,
    is_pyc: bool,
    keep: usize,
    buffer: &mut [u8],
) -> io::Result<Content> {
    let (mut all, mut code) = (Sha256::new(), Sha256::new());
    let keep = if is_pyc { PYC_HEADER } else { keep };
    let mut start = Vec::new();
    loop {
        let piece = match content.read(buffer)? {
            0 => break,
            n => &buffer[..n],
        };
        all.update(piece);
        let kept = piece.len().min(keep - start.len());
        start.extend_from_slice(&piece[..kept]);
        if is_pyc {
            code.update(&piece[kept..]);
        }
    }
    let header = start.as_slice().try_into().ok().filter(|_| is_pyc);
    let pyc = header.map(|header| {
        Box::new(Pyc {
            header,
            code: code.finalize().into(),
        })
    });
    Ok(Content {
        hash: all.finalize().into(),
        pyc,
        start,
    })
}
