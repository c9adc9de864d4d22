//! What eStargz has beside the files: a mark before them, the table of contents behind them, and a footer that
//! says where that is.

use std::collections::BTreeMap;

use crate::tar::{BLOCK, Header, Kind, own_file};

/// The file of the table of contents.
const TOC: &str = "stargz.index.json";
/// The first file where nothing is to be fetched before it is read.
const LANDMARK: &str = ".no.prefetch.landmark";
/// The other mark, of layers of which some is.
const PREFETCHED: &str = ".prefetch.landmark";
/// What marks hold.
const MARK: u8 = 0xf;

/// The annotation with the digest of the table of contents.
pub(crate) const TOC_DIGEST: &str = "containerd.io/snapshot/stargz/toc.digest";
/// The annotation with the bytes of the tar.
const UNPACKED: &str = "io.containers.estargz.uncompressed-size";

/// What a manifest says of the layer.
pub(crate) fn annotations(toc: &[u8], unpacked: u64) -> BTreeMap<String, String> {
    [
        (TOC_DIGEST.to_owned(), crate::toc::sha256(toc)),
        (UNPACKED.to_owned(), unpacked.to_string()),
    ]
    .into()
}

/// Whether a file of the tar that comes in is one that the format has for itself: that of a layer which had it.
pub(crate) fn is_own(name: &str) -> bool {
    let name = name.trim_start_matches("./").trim_start_matches('/');
    [TOC, LANDMARK, PREFETCHED].contains(&name)
}

/// The first file, as a tar has it.
pub(crate) fn landmark() -> (Header, [u8; BLOCK], [u8; 1]) {
    let header = Header {
        name: LANDMARK.to_owned(),
        kind: Kind::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: 1,
        mtime: (0, 0),
        link: String::new(),
        uname: String::new(),
        gname: String::new(),
        device: (0, 0),
        xattrs: BTreeMap::new(),
    };
    (header, own_file(LANDMARK, 1), [MARK])
}

/// The end of the tar: the table of contents, and two blocks of zeros.
pub(crate) fn end(toc: &[u8]) -> Vec<u8> {
    let mut tar = own_file(TOC, toc.len() as u64).to_vec();
    tar.extend_from_slice(toc);
    tar.resize(tar.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    tar
}

/// A gzip member of nothing whose extra field says where that of the table of contents begins.
pub(crate) fn footer(toc: u64) -> Vec<u8> {
    let field = format!("{toc:016x}STARGZ");
    let mut bytes = vec![0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff];
    let length = |length: usize| (length as u16).to_le_bytes();
    bytes.extend(length(4 + field.len()));
    bytes.extend(b"SG");
    bytes.extend(length(field.len()));
    bytes.extend(field.as_bytes());
    // A last, stored block of nothing; the sum and the length of nothing.
    bytes.extend([1, 0, 0, 0xff, 0xff]);
    bytes.extend([0; 8]);
    bytes
}
