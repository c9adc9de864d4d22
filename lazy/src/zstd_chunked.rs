//! What zstd:chunked has beside the files, all in frames that decompressors skip: the table of contents, what the
//! tar can be put together again with, and a footer that says where both are.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::tar::Header;
use crate::toc::named;

/// Level of what isn't content.
const LEVEL: i32 = 3;
/// The annotation with the digest of the table of contents, as it is in the blob.
pub(crate) const CHECKSUM: &str = "io.github.containers.zstd-chunked.manifest-checksum";
/// The annotation that says where it is.
const POSITION: &str = "io.github.containers.zstd-chunked.manifest-position";
/// The annotation that says where the rest of the tar is.
const SPLIT_POSITION: &str = "io.github.containers.zstd-chunked.tarsplit-position";
/// What the table of contents is in.
const CRFS: u64 = 1;

/// Everything of a tar but the files' content, as tar-split writes it: a line of JSON for each piece.
pub(crate) struct TarSplit {
    out: zstd::stream::write::Encoder<'static, Vec<u8>>,
    unpacked: u64,
    position: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    payload: Option<String>,
    position: u64,
}

/// What it came to.
pub(crate) struct Split {
    packed: Vec<u8>,
    unpacked: u64,
    pub(crate) digest: String,
}

impl TarSplit {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            out: zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?,
            unpacked: 0,
            position: 0,
        })
    }

    /// Bytes of the tar that aren't content.
    pub(crate) fn segment(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.line("", None, 2, Some(bytes))
    }

    /// An entry, with the sum of its content where it has some.
    pub(crate) fn entry(&mut self, header: &Header, sum: Option<[u8; 8]>) -> io::Result<()> {
        let size = Some(header.size).filter(|size| *size > 0);
        self.line(&header.name, size, 1, sum.as_ref().map(|sum| &sum[..]))
    }

    fn line(
        &mut self,
        name: &str,
        size: Option<u64>,
        kind: u8,
        payload: Option<&[u8]>,
    ) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line {
            kind,
            name,
            size,
            payload: payload.map(|bytes| STANDARD.encode(bytes)),
            position: self.position,
        })?;
        line.push(b'\n');
        self.out.write_all(&line)?;
        self.unpacked += line.len() as u64;
        self.position += 1;
        Ok(())
    }

    pub(crate) fn finish(self) -> io::Result<Split> {
        let packed = self.out.finish()?;
        Ok(Split {
            digest: named(Sha256::new_with_prefix(&packed)),
            packed,
            unpacked: self.unpacked,
        })
    }
}

/// The end of a blob that has `size` bytes so far, and the annotations that say what is in it.
pub(crate) fn end(
    size: u64,
    toc: &[u8],
    packed_toc: &[u8],
    split: &Split,
) -> io::Result<(Vec<u8>, BTreeMap<String, String>)> {
    const FRAME: u64 = 8;
    let toc_at = size + FRAME;
    let split_at = toc_at + packed_toc.len() as u64 + FRAME;
    let (toc_length, split_length) = (packed_toc.len() as u64, split.packed.len() as u64);
    let (toc_unpacked, split_unpacked) = (toc.len() as u64, split.unpacked);
    let mut bytes = frame(packed_toc)?;
    bytes.extend(frame(&split.packed)?);
    let mut footer = Vec::new();
    for number in [
        toc_at,
        toc_length,
        toc_unpacked,
        CRFS,
        split_at,
        split_length,
        split_unpacked,
    ] {
        footer.extend(number.to_le_bytes());
    }
    footer.extend(b"GNUlInUx");
    bytes.extend(frame(&footer)?);
    let annotations = [
        (CHECKSUM, crate::toc::sha256(packed_toc)),
        (
            POSITION,
            format!("{toc_at}:{toc_length}:{toc_unpacked}:{CRFS}"),
        ),
        (
            SPLIT_POSITION,
            format!("{split_at}:{split_length}:{split_unpacked}"),
        ),
    ];
    let annotations = annotations.map(|(name, value)| (name.to_owned(), value));
    Ok((bytes, annotations.into()))
}

/// A frame that decompressors skip.
fn frame(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(bytes.len());
    let length =
        length.map_err(|_| crate::tar::bad("the layer has too many files for an index"))?;
    let mut all = vec![0x50, 0x2a, 0x4d, 0x18];
    all.extend(length.to_le_bytes());
    all.extend(bytes);
    Ok(all)
}
