//! From a tar to a blob.

use std::io::{self, Write};

use sha2::{Digest as _, Sha256};

use crate::crc64::Crc64;
use crate::pieces::Pieces;
use crate::tar::{BLOCK, Block, Header, bad, block, header};
use crate::toc::{Chunk, Toc, named};
use crate::zstd_chunked::{self, TarSplit};
use crate::{CHUNK, Format, Written, estargz};

/// Bytes of zeros at the end of a tar.
const END: usize = 2 * BLOCK;

/// Takes a tar, as its [`Write`], and writes the blob of a layer that can be pulled lazily.
pub struct LazyWriter<W> {
    format: Format,
    out: Pieces<W>,
    diff_id: Sha256,
    unpacked: u64,
    toc: Toc,
    /// zstd:chunked's.
    split: Option<TarSplit>,
    state: State,
    /// Bytes of the tar since the last entry's content: its padding, records and a header.
    head: Vec<u8>,
    /// Where in these the records are.
    records: std::ops::Range<usize>,
    /// The entry whose content or padding is read.
    file: Option<Content>,
    /// The entry isn't written.
    is_dropped: bool,
}

#[derive(Clone, Copy)]
enum State {
    /// So many bytes of a block are there.
    Header(usize),
    /// So many bytes of records and their padding are still to come.
    Records(u64),
    Content {
        left: u64,
        padding: u64,
    },
    Padding(u64),
    End,
}

/// The content of a file, as far as it was read.
struct Content {
    header: Header,
    whole: Sha256,
    chunk: Sha256,
    /// Bytes of the piece so far.
    filled: usize,
    sum: Crc64,
    chunks: Vec<Chunk>,
    read: u64,
}

impl<W: Write> LazyWriter<W> {
    /// A layer that goes into `out`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, format: Format) -> io::Result<Self> {
        let mut new = Self {
            format,
            out: Pieces::new(out, format)?,
            diff_id: Sha256::new(),
            unpacked: 0,
            toc: Toc::new(format),
            split: match format {
                Format::Estargz => None,
                Format::ZstdChunked => Some(TarSplit::new()?),
            },
            state: State::Header(0),
            head: Vec::new(),
            records: 0..0,
            file: None,
            is_dropped: false,
        };
        if format == Format::Estargz {
            let (header, head, content) = estargz::landmark();
            new.plain(&head)?;
            new.begin(header);
            new.content(&content)?;
            new.end_of_file()?;
            new.head.resize(BLOCK - content.len(), 0);
        }
        Ok(new)
    }

    /// Writes the table of contents; gives back the output.
    ///
    /// # Errors
    /// Those of the output, and a tar that isn't whole.
    pub fn finish(mut self) -> io::Result<(W, Written)> {
        let zeros = self.records.start;
        if !matches!(self.state, State::End) || self.head.len() != zeros + END {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let head = std::mem::take(&mut self.head);
        let toc = std::mem::replace(&mut self.toc, Toc::new(self.format));
        let annotations = match self.split.take() {
            None => {
                // The zeros come behind the table of contents.
                self.plain(&head[..zeros])?;
                let toc = toc.finish(None);
                let at = self.out.cut()?;
                // Readers take one member of it, however large it is.
                let end = estargz::end(&toc);
                self.count(&end);
                let packed = self.out.compress(&end)?;
                self.out.put(&packed)?;
                self.out.put(&estargz::footer(at))?;
                estargz::annotations(&toc, self.unpacked)
            }
            Some(mut split) => {
                self.plain(&head)?;
                split.segment(&head)?;
                let split = split.finish()?;
                let toc = toc.finish(Some(&split.digest));
                let size = self.out.cut()?;
                let packed = self.out.compress(&toc)?;
                let (end, annotations) = zstd_chunked::end(size, &toc, &packed, &split)?;
                self.out.put(&end)?;
                annotations
            }
        };
        let (out, digest, size) = self.out.finish()?;
        let written = Written {
            diff_id: hex::encode(self.diff_id.finalize()),
            digest,
            size,
            unpacked: self.unpacked,
            annotations,
        };
        Ok((out, written))
    }

    /// Bytes of the tar.
    fn plain(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.count(bytes);
        self.out.add(bytes)
    }

    fn count(&mut self, bytes: &[u8]) {
        self.diff_id.update(bytes);
        self.unpacked += bytes.len() as u64;
    }

    fn begin(&mut self, header: Header) {
        self.file = Some(Content {
            header,
            whole: Sha256::new(),
            chunk: Sha256::new(),
            filled: 0,
            sum: Crc64::default(),
            chunks: Vec::new(),
            read: 0,
        });
    }

    /// Content of the file that was begun.
    fn content(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let Some(mut file) = self.file.take() else {
            return Ok(());
        };
        while !bytes.is_empty() {
            if file.filled == 0 {
                let offset = self.out.cut()?;
                file.chunks.push(Chunk {
                    offset,
                    at: file.read,
                    size: 0,
                    digest: String::new(),
                });
            }
            let (piece, rest) = bytes.split_at(bytes.len().min(CHUNK - file.filled));
            self.plain(piece)?;
            file.whole.update(piece);
            file.chunk.update(piece);
            if self.split.is_some() {
                file.sum.update(piece);
            }
            file.filled += piece.len();
            file.read += piece.len() as u64;
            if file.filled == CHUNK || file.read == file.header.size {
                if let Some(last) = file.chunks.last_mut() {
                    last.size = file.filled as u64;
                    last.digest = named(std::mem::take(&mut file.chunk));
                }
                file.filled = 0;
            }
            bytes = rest;
        }
        self.file = Some(file);
        Ok(())
    }

    fn end_of_file(&mut self) -> io::Result<()> {
        let Some(file) = self.file.take() else {
            return Ok(());
        };
        let has_content = file.header.size > 0;
        let mut end = 0;
        if let Some(split) = &mut self.split {
            split.entry(&file.header, has_content.then(|| file.sum.bytes()))?;
            if has_content {
                end = self.out.cut()?;
            }
        }
        let digest = if has_content {
            named(file.whole)
        } else {
            String::new()
        };
        self.toc.add(&file.header, digest, &file.chunks, end)
    }

    /// A whole block of a header is the last of what is there.
    fn take_block(&mut self) -> io::Result<State> {
        let start = self.head.len() - BLOCK;
        let mut bytes = [0; BLOCK];
        bytes.copy_from_slice(&self.head[start..]);
        match block(&bytes)? {
            Block::Zeros => {
                if !self.records.is_empty() {
                    return Err(bad("the tar ends after the records of an entry"));
                }
                self.records = start..start;
                Ok(State::End)
            }
            Block::Extension(size) => {
                if !self.records.is_empty() {
                    return Err(bad("an entry of the tar has two extensions"));
                }
                let end = self.head.len() + usize::try_from(size).unwrap_or(usize::MAX);
                self.records = self.head.len()..end;
                Ok(State::Records(size.next_multiple_of(BLOCK as u64)))
            }
            Block::Entry => {
                let header = header(&bytes, &self.head[self.records.clone()])?;
                self.take_entry(header, start)
            }
        }
    }

    fn take_entry(&mut self, header: Header, start: usize) -> io::Result<State> {
        let records = std::mem::replace(&mut self.records, 0..0);
        let own = if records.is_empty() {
            start
        } else {
            records.start - BLOCK
        };
        let head = std::mem::take(&mut self.head);
        self.is_dropped = self.format == Format::Estargz && estargz::is_own(&header.name);
        if self.is_dropped {
            // The padding of the entry before it stays.
            self.plain(&head[..own])?;
        } else {
            self.plain(&head)?;
            if let Some(split) = &mut self.split {
                split.segment(&head)?;
            }
        }
        let size = header.size;
        if !self.is_dropped {
            self.begin(header);
        }
        if size == 0 {
            self.end_of_file()?;
            return Ok(State::Header(0));
        }
        Ok(State::Content {
            left: size,
            padding: size.next_multiple_of(BLOCK as u64) - size,
        })
    }

    /// Takes some of the tar; says how much.
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = |left: u64| usize::try_from(left).map_or(bytes.len(), |n| n.min(bytes.len()));
        match self.state {
            State::Header(filled) => {
                let taken = bytes.len().min(BLOCK - filled);
                self.head.extend_from_slice(&bytes[..taken]);
                self.state = if filled + taken == BLOCK {
                    self.take_block()?
                } else {
                    State::Header(filled + taken)
                };
                Ok(taken)
            }
            State::Records(left) => {
                let taken = most(left);
                self.head.extend_from_slice(&bytes[..taken]);
                self.state = match left - taken as u64 {
                    0 => State::Header(0),
                    left => State::Records(left),
                };
                Ok(taken)
            }
            State::Content { left, padding } => {
                let taken = most(left);
                self.content(&bytes[..taken])?;
                self.state = match (left - taken as u64, padding) {
                    (0, padding) => {
                        self.end_of_file()?;
                        match padding {
                            0 => State::Header(0),
                            padding => State::Padding(padding),
                        }
                    }
                    (left, padding) => State::Content { left, padding },
                };
                Ok(taken)
            }
            State::Padding(left) => {
                let taken = most(left);
                if !self.is_dropped {
                    self.head.extend_from_slice(&bytes[..taken]);
                }
                self.state = match left - taken as u64 {
                    0 => State::Header(0),
                    left => State::Padding(left),
                };
                Ok(taken)
            }
            State::End => {
                if bytes.iter().any(|&byte| byte != 0) {
                    return Err(bad("the tar goes on after its end"));
                }
                if self.head.len() + bytes.len() > self.records.start + END {
                    return Err(bad("the tar has more than two blocks of zeros at its end"));
                }
                self.head.extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }
}

impl<W: Write> Write for LazyWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut at = 0;
        while at < bytes.len() {
            at += self.take(&bytes[at..])?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
