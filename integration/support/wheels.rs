//! Wheels that a test makes, byte by byte, so that they can be wrong; and an index that has them beside the usual
//! one.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use sha2::{Digest as _, Sha256};

use super::server::{Act, Server};

/// A file of a wheel.
#[derive(Clone)]
pub struct Entry {
    pub name: &'static str,
    pub content: &'static [u8],
    /// Unix mode with the kind of file.
    pub mode: u16,
    /// The size that the archive states, where it isn't the true one.
    pub size: Option<u32>,
}

/// A plain file.
pub fn file(name: &'static str, content: &'static [u8]) -> Entry {
    Entry {
        name,
        content,
        mode: 0o100_644,
        size: None,
    }
}

/// The wheel `NAME-1.0-TAG.whl` with these files, and these lines of its RECORD.
pub fn wheel(name: &str, tag: &str, files: &[Entry], record: &str) -> (String, Vec<u8>) {
    let info = format!("{name}-1.0.dist-info");
    let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n");
    let format = format!("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n");
    let record = format!("{record}{info}/RECORD,,\n");
    let mut zip = Zip::default();
    for file in files {
        zip.add(file.name, file.content, file.mode, file.size);
    }
    for (file, text) in [
        ("METADATA", metadata),
        ("WHEEL", format),
        ("RECORD", record),
    ] {
        zip.add(&format!("{info}/{file}"), text.as_bytes(), 0o100_644, None);
    }
    (format!("{name}-1.0-{tag}.whl"), zip.end())
}

/// A zip archive while it is written: the files, and the list of them.
#[derive(Default)]
struct Zip {
    files: Vec<u8>,
    list: Vec<u8>,
    count: u16,
}

impl Zip {
    fn add(&mut self, name: &str, content: &[u8], mode: u16, size: Option<u32>) {
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::default());
        packed.write_all(content).unwrap();
        let packed = packed.finish().unwrap();
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let mut common = Vec::new();
        for short in [20u16, 0, 8, 0, 0x21] {
            common.extend(short.to_le_bytes());
        }
        let size = size.unwrap_or(content.len() as u32);
        for long in [crc.sum(), packed.len() as u32, size] {
            common.extend(long.to_le_bytes());
        }
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0; 2]);
        let offset = self.files.len() as u32;
        self.files.extend(b"PK\x03\x04");
        self.files.extend(&common);
        self.files.extend(name.as_bytes());
        self.files.extend(&packed);
        self.list.extend(b"PK\x01\x02\x14\x03");
        self.list.extend(&common);
        self.list.extend([0; 6]);
        self.list.extend((u32::from(mode) << 16).to_le_bytes());
        self.list.extend(offset.to_le_bytes());
        self.list.extend(name.as_bytes());
        self.count += 1;
    }

    fn end(mut self) -> Vec<u8> {
        let (offset, size) = (self.files.len() as u32, self.list.len() as u32);
        self.files.extend(&self.list);
        self.files.extend(b"PK\x05\x06\0\0\0\0");
        self.files.extend(self.count.to_le_bytes());
        self.files.extend(self.count.to_le_bytes());
        self.files.extend(size.to_le_bytes());
        self.files.extend(offset.to_le_bytes());
        self.files.extend([0; 2]);
        self.files
    }
}

/// A package index with these wheels and nothing else. Its pages have an ETag, and aren't sent to who knows them.
pub fn index(wheels: Vec<(String, Vec<u8>)>) -> Server {
    Server::before("", move |request| {
        let html = "Content-Type: text/html\r\n".to_owned();
        let name = request.path.rsplit('/').next().unwrap();
        if let Some((_, bytes)) = wheels.iter().find(|(file, _)| file == name) {
            return Act::Answer(200, String::new(), bytes.clone());
        }
        let package = request.path.trim_end_matches('/').rsplit('/').next();
        let of_package = |file: &str| file.split('-').next() == package;
        let links: String = wheels
            .iter()
            .filter(|(file, _)| of_package(file))
            .map(|(file, bytes)| {
                let hash = hex::encode(Sha256::digest(bytes));
                format!("<a href=\"/files/{file}#sha256={hash}\">{file}</a>\n")
            })
            .collect();
        if links.is_empty() {
            return Act::Answer(404, html, Vec::new());
        }
        let page = format!("<!DOCTYPE html><html><body>{links}</body></html>");
        let tag = format!("\"{}\"", hex::encode(Sha256::digest(&page)));
        let head = format!("{html}ETag: {tag}\r\n");
        match request.header("if-none-match") == Some(tag.as_str()) {
            true => Act::Answer(304, head, Vec::new()),
            false => Act::Answer(200, head, page.into_bytes()),
        }
    })
}
