//! Bytes on their way: counted, hashed, limited, and unpacked.

use std::io::{self, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use mlbuild_manifests::digest;
use oci_spec::image::Digest;
use sha2::{Digest as _, Sha256};

const PIECE: usize = 64 << 10;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The error of a [`Tap`] that would give more than its limit.
#[derive(Debug, thiserror::Error)]
#[error("more bytes than there may be")]
pub(super) struct TooMuch;

/// Counts and hashes what is read through it, and stops at a limit.
pub(super) struct Tap<R> {
    inner: R,
    hash: Option<Sha256>,
    /// Bytes read so far.
    pub(super) count: u64,
    limit: u64,
    /// True once the source itself failed.
    pub(super) has_failed: bool,
}

impl<R: Read> Tap<R> {
    pub(super) fn new(inner: R, limit: u64, hashes: bool) -> Self {
        Self {
            inner,
            hash: hashes.then(Sha256::new),
            count: 0,
            limit,
            has_failed: false,
        }
    }

    /// The digest of what was read so far; `None` where nothing was hashed.
    pub(super) fn digest(&self) -> Option<Digest> {
        Some(digest::of_hash(self.hash.clone()?))
    }

    pub(super) fn inner(&self) -> &R {
        &self.inner
    }
}

impl<R: Read> Read for Tap<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = match self.inner.read(buffer) {
            Ok(n) => n,
            Err(error) => {
                self.has_failed |= error.kind() != io::ErrorKind::Interrupted;
                return Err(error);
            }
        };
        self.count += n as u64;
        if self.count > self.limit {
            return Err(io::Error::other(TooMuch));
        }
        if let Some(hash) = &mut self.hash {
            hash.update(&buffer[..n]);
        }
        Ok(n)
    }
}

type Sniffed<R> = BufReader<Chain<Cursor<Vec<u8>>, Tap<R>>>;

/// A blob, unpacked. What it is packed with is seen from its first bytes: builders were seen
/// to write another media type than that.
pub(super) enum Unpacked<R: Read> {
    Plain(Sniffed<R>),
    Gzip(MultiGzDecoder<Sniffed<R>>),
    Zstd(zstd::stream::read::Decoder<'static, Sniffed<R>>),
}

impl<R: Read> Unpacked<R> {
    pub(super) fn new(mut blob: Tap<R>) -> io::Result<Self> {
        let mut first = Vec::with_capacity(ZSTD.len());
        blob.by_ref()
            .take(ZSTD.len() as u64)
            .read_to_end(&mut first)?;
        let (is_gzip, is_zstd) = (first.starts_with(&GZIP), first == ZSTD);
        let source = BufReader::with_capacity(PIECE, Cursor::new(first).chain(blob));
        if is_gzip {
            return Ok(Self::Gzip(MultiGzDecoder::new(source)));
        }
        if is_zstd {
            let decoder = zstd::stream::read::Decoder::with_buffer(source)?;
            return Ok(Self::Zstd(decoder));
        }
        Ok(Self::Plain(source))
    }

    /// The blob's own bytes, as far as they were read.
    pub(super) fn blob(&self) -> &Tap<R> {
        match self {
            Self::Plain(source) => source.get_ref().get_ref().1,
            Self::Gzip(decoder) => decoder.get_ref().get_ref().get_ref().1,
            Self::Zstd(decoder) => decoder.get_ref().get_ref().get_ref().1,
        }
    }

    pub(super) fn is_packed(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

/// True if a reader failed because a [`Tap`] had reached its limit.
pub(super) fn is_too_much(error: &io::Error) -> bool {
    let mut at: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|e| e as _);
    while let Some(error) = at {
        if error.is::<TooMuch>() {
            return true;
        }
        at = match error.downcast_ref::<io::Error>() {
            Some(inner) => inner.get_ref().map(|e| e as _),
            None => error.source(),
        };
    }
    false
}
