//! Layers that can be pulled file by file: a container starts before the image is there, and fetches what it
//! reads.
//!
//! Both forms are ordinary layers to whoever doesn't know them. What they have beside the tar is a table of
//! contents, and every file begins where a decompressor can begin:
//!
//! | format | is | table of contents | who pulls it lazily |
//! | --- | --- | --- | --- |
//! | [`Format::Estargz`] | gzip | the last file of the tar, `stargz.index.json` | containerd's stargz snapshotter |
//! | [`Format::ZstdChunked`] | zstd | a frame that decompressors skip | Podman, CRI-O: files that are there already aren't fetched |
//!
//! The same tar gives the same bytes, on every machine. Beside the table of contents, which grows with the number
//! of files, a few MiB are in memory.

mod crc64;
mod estargz;
mod pieces;
mod tar;
#[cfg(test)]
mod tests;
mod toc;
mod writer;
mod zstd_chunked;

use std::collections::BTreeMap;

pub use writer::LazyWriter;

/// Most bytes of a file that are compressed as one piece: what is fetched at once.
const CHUNK: usize = 4 << 20;

/// How a layer that can be pulled lazily is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// eStargz: gzip of level 6.
    Estargz,
    /// zstd:chunked: zstd of level 3.
    ZstdChunked,
}

impl Format {
    /// The format of a layer of which a manifest says these annotations; none where it can't be pulled lazily.
    pub fn of_annotations<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        names.into_iter().find_map(|name| match name {
            estargz::TOC_DIGEST => Some(Format::Estargz),
            zstd_chunked::CHECKSUM => Some(Format::ZstdChunked),
            _ => None,
        })
    }
}

/// What a layer came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// SHA-256 of the tar, in hexadecimal digits. eStargz adds two files to it.
    pub diff_id: String,
    /// SHA-256 of the blob, in hexadecimal digits.
    pub digest: String,
    /// Bytes of the blob.
    pub size: u64,
    /// Bytes of the tar.
    pub unpacked: u64,
    /// What a manifest has to say of the layer: without it nobody pulls it lazily.
    pub annotations: BTreeMap<String, String>,
}
