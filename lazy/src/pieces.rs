//! The blob as it is written: piece by piece, each compressed so that it can be read alone.

use std::io::{self, Write};

use libdeflater::{CompressionLvl, Compressor};
use sha2::{Digest as _, Sha256};

use crate::{CHUNK, Format};

/// gzip's usual level, pinned: another one gives other bytes.
const GZIP_LEVEL: i32 = 6;
/// zstd's usual level, pinned.
const ZSTD_LEVEL: i32 = 3;
/// Bytes that make a piece even where nothing asks for a cut, as between many empty files.
const MOST: usize = CHUNK + (1 << 20);

enum Codec {
    Gzip(Compressor),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Codec {
    fn of(format: Format) -> io::Result<Self> {
        Ok(match format {
            Format::Estargz => {
                let level = CompressionLvl::new(GZIP_LEVEL);
                let level = level.map_err(|_| io::Error::other("no level of gzip"))?;
                Codec::Gzip(Compressor::new(level))
            }
            Format::ZstdChunked => Codec::Zstd(zstd::bulk::Compressor::new(ZSTD_LEVEL)?),
        })
    }

    fn compress(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Codec::Gzip(codec) => {
                let mut member = vec![0; codec.gzip_compress_bound(bytes.len())];
                let written = codec.gzip_compress(bytes, &mut member);
                let written = written.map_err(|error| io::Error::other(error.to_string()))?;
                member.truncate(written);
                Ok(member)
            }
            Codec::Zstd(codec) => codec.compress(bytes),
        }
    }
}

pub(crate) struct Pieces<W> {
    out: W,
    hash: Sha256,
    size: u64,
    codec: Codec,
    piece: Vec<u8>,
}

impl<W: Write> Pieces<W> {
    pub(crate) fn new(out: W, format: Format) -> io::Result<Self> {
        Ok(Self {
            out,
            hash: Sha256::new(),
            size: 0,
            codec: Codec::of(format)?,
            piece: Vec::new(),
        })
    }

    /// More of the tar.
    pub(crate) fn add(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while self.piece.len() + bytes.len() > MOST {
            let (fits, rest) = bytes.split_at(MOST - self.piece.len());
            self.piece.extend_from_slice(fits);
            self.cut()?;
            bytes = rest;
        }
        self.piece.extend_from_slice(bytes);
        Ok(())
    }

    /// Ends the piece; says where in the blob the next one begins.
    pub(crate) fn cut(&mut self) -> io::Result<u64> {
        if !self.piece.is_empty() {
            let packed = self.codec.compress(&self.piece)?;
            self.piece.clear();
            self.put(&packed)?;
        }
        Ok(self.size)
    }

    /// Bytes of the blob as they are.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Compresses something beside the tar.
    pub(crate) fn compress(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.codec.compress(bytes)
    }

    /// The output, and the blob's digest and size.
    pub(crate) fn finish(mut self) -> io::Result<(W, String, u64)> {
        self.out.flush()?;
        Ok((self.out, hex::encode(self.hash.finalize()), self.size))
    }
}
