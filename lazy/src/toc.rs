//! The table of contents. Both formats have the one of Google's CRFS, with a few fields of their own.

use std::collections::BTreeMap;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::Format;
use crate::tar::{Header, Kind, bad};

/// An entry, or the second and every further piece of a file's content.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    link_name: String,
    #[serde(skip_serializing_if = "is_zero")]
    mode: u64,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    uid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    gid: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    user_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    group_name: String,
    #[serde(rename = "modtime", skip_serializing_if = "Option::is_none")]
    modified: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    dev_major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    dev_minor: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    digest: String,
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    end_offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_size: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    chunk_digest: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A piece of a file's content.
pub(crate) struct Chunk {
    /// Where it begins in the blob.
    pub(crate) offset: u64,
    /// Where it begins in the file.
    pub(crate) at: u64,
    pub(crate) size: u64,
    pub(crate) digest: String,
}

/// A table of contents in the making: its text, but for the end.
pub(crate) struct Toc {
    format: Format,
    json: Vec<u8>,
}

impl Toc {
    pub(crate) fn new(format: Format) -> Self {
        let json = br#"{"version":1,"entries":["#.to_vec();
        Self { format, json }
    }

    /// An entry; of a file with content also its digest, its pieces, and where the last of them ends in
    /// the blob.
    pub(crate) fn add(
        &mut self,
        header: &Header,
        digest: String,
        chunks: &[Chunk],
        end: u64,
    ) -> io::Result<()> {
        let is_lazy_gzip = self.format == Format::Estargz;
        let is_split = chunks.len() > 1;
        let piece = |entry: Entry, chunk: &Chunk| Entry {
            offset: chunk.offset,
            chunk_offset: chunk.at,
            chunk_size: if is_split { chunk.size } else { 0 },
            chunk_digest: if is_split || is_lazy_gzip {
                chunk.digest.clone()
            } else {
                String::new()
            },
            ..entry
        };
        let mut first = entry(header, self.format)?;
        first.digest = digest;
        if let Some(chunk) = chunks.first() {
            first = piece(first, chunk);
            if !is_lazy_gzip {
                first.end_offset = end;
            }
        }
        self.write(&first)?;
        for chunk in chunks.iter().skip(1) {
            let further = Entry {
                kind: "chunk",
                name: header.name.clone(),
                ..Entry::default()
            };
            self.write(&piece(further, chunk))?;
        }
        Ok(())
    }

    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        if self.json.last() != Some(&b'[') {
            self.json.push(b',');
        }
        Ok(serde_json::to_writer(&mut self.json, entry)?)
    }

    /// The text. `tar_split` is the digest of what the tar can be put together again with.
    pub(crate) fn finish(mut self, tar_split: Option<&str>) -> Vec<u8> {
        self.json.push(b']');
        if let Some(digest) = tar_split {
            let field = format!(r#","tarSplitDigest":"{digest}""#);
            self.json.extend_from_slice(field.as_bytes());
        }
        self.json.push(b'}');
        self.json
    }
}

fn entry(header: &Header, format: Format) -> io::Result<Entry> {
    let has_owners = format == Format::Estargz;
    let modified = match header.mtime {
        // In zstd:chunked a time that isn't there is the time at which the file is pulled.
        (0, 0) if format == Format::Estargz => None,
        (seconds, nanos) => {
            let time = Timestamp::new(seconds, nanos);
            let time = time.map_err(|_| bad(format!("{} is of no year", header.name)))?;
            Some(time.to_string())
        }
    };
    let xattrs = header.xattrs.iter();
    let name = |name: &str| match has_owners {
        true => name.to_owned(),
        false => String::new(),
    };
    Ok(Entry {
        kind: match header.kind {
            Kind::File => "reg",
            Kind::HardLink => "hardlink",
            Kind::Symlink => "symlink",
            Kind::CharDevice => "char",
            Kind::BlockDevice => "block",
            Kind::Folder => "dir",
            Kind::Fifo => "fifo",
        },
        name: header.name.clone(),
        link_name: header.link.clone(),
        mode: header.mode,
        size: header.size,
        uid: header.uid,
        gid: header.gid,
        user_name: name(&header.uname),
        group_name: name(&header.gname),
        modified,
        dev_major: header.device.0,
        dev_minor: header.device.1,
        xattrs: xattrs
            .map(|(name, value)| (name.clone(), STANDARD.encode(value)))
            .collect(),
        ..Entry::default()
    })
}

/// A digest as manifests write it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    named(Sha256::new_with_prefix(bytes))
}

pub(crate) fn named(hash: Sha256) -> String {
    format!("sha256:{}", hex::encode(hash.finalize()))
}
