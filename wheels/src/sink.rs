//! A layer's bytes on their way: hashed, compressed, hashed again, written.
//!
//! One stream and one thread a layer: with zstd's own workers the bytes would be others. Several
//! layers are written beside each other.

use std::collections::BTreeMap;
use std::io::{self, Write};

use libdeflater::{CompressionLvl, Compressor};
use mlbuild_lazy::{Format, LazyWriter};
use oci_spec::image::{Descriptor, Digest, MediaType};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// zstd's usual level, pinned: another one gives other bytes.
const ZSTD_LEVEL: i32 = 3;
/// gzip's usual level, pinned.
const GZIP_LEVEL: i32 = 6;
/// Bytes that make a gzip member, each compressed by itself (RFC 1952, 2.2).
const GZIP_MEMBER: usize = 1 << 20;

/// How a layer's tar is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// zstd 1.5.7, level 3. Docker 20.10 can't read it.
    Zstd,
    /// gzip by libdeflate, level 6.
    Gzip,
    /// The same, to be pulled file by file.
    Estargz,
    /// zstd, to be pulled file by file.
    #[serde(rename = "zstd:chunked")]
    ZstdChunked,
}

impl Compression {
    /// What a manifest says of such a layer.
    pub fn media_type(self) -> MediaType {
        match self {
            Compression::Zstd | Compression::ZstdChunked => MediaType::ImageLayerZstd,
            Compression::Gzip | Compression::Estargz => MediaType::ImageLayerGzip,
        }
    }

    /// How a layer is packed, by what a manifest says of it; none where it isn't.
    pub fn of(blob: &Descriptor) -> Option<Self> {
        let annotations = blob.annotations().iter().flatten();
        let names = annotations.map(|(name, _)| name.as_str());
        match (blob.media_type(), Format::of_annotations(names)) {
            (_, Some(Format::Estargz)) => Some(Compression::Estargz),
            (_, Some(Format::ZstdChunked)) => Some(Compression::ZstdChunked),
            (MediaType::ImageLayerGzip, None) => Some(Compression::Gzip),
            (MediaType::ImageLayerZstd, None) => Some(Compression::Zstd),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Compression::Zstd => "zstd",
            Compression::Gzip => "gzip",
            Compression::Estargz => "estargz",
            Compression::ZstdChunked => "zstd:chunked",
        }
    }
}

/// What a sink came to.
pub(crate) struct Written {
    pub(crate) diff_id: Digest,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) unpacked: u64,
    pub(crate) annotations: BTreeMap<String, String>,
}

pub(crate) struct Sink<W: Write> {
    diff_id: Sha256,
    unpacked: u64,
    packer: Packer<W>,
}

enum Packer<W: Write> {
    Zstd(zstd::stream::write::Encoder<'static, Hashed<W>>),
    Gzip(GzipMembers<W>),
    /// Hashes for itself what goes in and what comes out.
    Lazy(Box<LazyWriter<W>>),
}

impl<W: Write> Sink<W> {
    pub(crate) fn new(out: W, compression: Compression) -> io::Result<Self> {
        let hashed = |out| Hashed {
            out,
            hash: Sha256::new(),
            size: 0,
        };
        let lazy =
            |out, format| LazyWriter::new(out, format).map(|new| Packer::Lazy(Box::new(new)));
        let packer = match compression {
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(hashed(out), ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Packer::Zstd(encoder)
            }
            Compression::Gzip => Packer::Gzip(GzipMembers::new(hashed(out))),
            Compression::Estargz => lazy(out, Format::Estargz)?,
            Compression::ZstdChunked => lazy(out, Format::ZstdChunked)?,
        };
        Ok(Self {
            diff_id: Sha256::new(),
            unpacked: 0,
            packer,
        })
    }

    pub(crate) fn finish(self) -> io::Result<Written> {
        let mut out = match self.packer {
            Packer::Zstd(encoder) => encoder.finish()?,
            Packer::Gzip(members) => members.finish()?,
            Packer::Lazy(lazy) => {
                let (_, written) = lazy.finish()?;
                return Ok(Written {
                    diff_id: of_hex(&written.diff_id),
                    digest: of_hex(&written.digest),
                    size: written.size,
                    unpacked: written.unpacked,
                    annotations: written.annotations,
                });
            }
        };
        out.out.flush()?;
        Ok(Written {
            diff_id: digest(self.diff_id),
            digest: digest(out.hash),
            size: out.size,
            unpacked: self.unpacked,
            annotations: BTreeMap::new(),
        })
    }
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.packer {
            Packer::Zstd(encoder) => encoder.write_all(bytes)?,
            Packer::Gzip(members) => members.write_all(bytes)?,
            Packer::Lazy(lazy) => {
                lazy.write_all(bytes)?;
                return Ok(bytes.len());
            }
        }
        self.diff_id.update(bytes);
        self.unpacked += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Hashed<W> {
    out: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// gzip, a member for every [`GZIP_MEMBER`] bytes.
struct GzipMembers<W> {
    out: Hashed<W>,
    compressor: Compressor,
    piece: Vec<u8>,
    member: Vec<u8>,
    is_first: bool,
}

impl<W: Write> GzipMembers<W> {
    fn new(out: Hashed<W>) -> Self {
        let level = CompressionLvl::new(GZIP_LEVEL).expect("gzip has levels 1 to 9");
        Self {
            out,
            compressor: Compressor::new(level),
            piece: Vec::with_capacity(GZIP_MEMBER),
            member: Vec::new(),
            is_first: true,
        }
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let fits = bytes.len().min(GZIP_MEMBER - self.piece.len());
            self.piece.extend_from_slice(&bytes[..fits]);
            bytes = &bytes[fits..];
            if self.piece.len() == GZIP_MEMBER {
                self.end_member()?;
            }
        }
        Ok(())
    }

    fn end_member(&mut self) -> io::Result<()> {
        let bound = self.compressor.gzip_compress_bound(self.piece.len());
        self.member.resize(bound, 0);
        let written = self.compressor.gzip_compress(&self.piece, &mut self.member);
        let written = written.expect("the bound is enough");
        self.piece.clear();
        self.is_first = false;
        self.out.write_all(&self.member[..written])
    }

    fn finish(mut self) -> io::Result<Hashed<W>> {
        // A file of no bytes is no gzip.
        if !self.piece.is_empty() || self.is_first {
            self.end_member()?;
        }
        Ok(self.out)
    }
}

fn digest(hash: Sha256) -> Digest {
    of_hex(&hex::encode(hash.finalize()))
}

fn of_hex(digits: &str) -> Digest {
    let text = format!("sha256:{digits}");
    text.parse().expect("64 hexadecimal digits")
}
