//! Wheels for tests, made byte by byte, so that they can also be wrong.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libdeflater::{CompressionLvl, Compressor};
use sha2::{Digest as _, Sha256};

use crate::error::WheelError;
use crate::wheel::Wheel;

/// A wheel `NAME-1.0-py3-none-any.whl`.
#[derive(Clone)]
pub struct SmallWheel {
    name: String,
    entries: Vec<ZipEntry>,
    record: Option<String>,
}

/// An entry, with all that the archive says of it.
#[derive(Clone, Debug)]
pub struct ZipEntry {
    /// Its name in the list, and before its content where `local_name` has no other.
    pub name: Vec<u8>,
    /// Another name before its content.
    pub local_name: Option<Vec<u8>>,
    /// The content.
    pub bytes: Vec<u8>,
    /// Unix mode with the kind of file.
    pub mode: u16,
    /// The method that is stated; 8 is done, others are stored.
    pub method: u16,
    /// Flags; 1 says that it is encrypted.
    pub flags: u16,
    /// Added to the stated size.
    pub size_lie: i64,
    /// Added to the checksum.
    pub crc_lie: u32,
    /// Uses the content of the entry before it.
    pub shares_content: bool,
}

impl ZipEntry {
    /// A deflated file, mode 0644.
    pub fn new(name: &str, bytes: &[u8]) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            local_name: None,
            bytes: bytes.to_vec(),
            mode: 0o100644,
            method: 8,
            flags: 0,
            size_lie: 0,
            crc_lie: 0,
            shares_content: false,
        }
    }

    /// The same with another mode.
    pub fn mode(mut self, mode: u16) -> Self {
        self.mode = mode;
        self
    }
}

impl SmallWheel {
    /// A wheel with metadata alone.
    pub fn new(name: &str) -> Self {
        let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n");
        let format = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
        let info = format!("{name}-1.0.dist-info");
        Self {
            name: name.to_owned(),
            entries: Vec::new(),
            record: None,
        }
        .file(&format!("{info}/METADATA"), metadata.as_bytes())
        .file(&format!("{info}/WHEEL"), format.as_bytes())
    }

    /// With one more file.
    pub fn file(self, name: &str, bytes: &[u8]) -> Self {
        self.entry(ZipEntry::new(name, bytes))
    }

    /// With one more entry.
    pub fn entry(mut self, entry: ZipEntry) -> Self {
        self.entries.push(entry);
        self
    }

    /// Without a file of its metadata.
    pub fn without(mut self, name: &str) -> Self {
        self.entries.retain(|entry| entry.name != name.as_bytes());
        self
    }

    /// With this RECORD, not the true one.
    pub fn record(mut self, text: &str) -> Self {
        self.record = Some(text.to_owned());
        self
    }

    /// The name of its file.
    pub fn file_name(&self) -> String {
        format!("{}-1.0-py3-none-any.whl", self.name)
    }

    /// Its file.
    pub fn bytes(&self) -> Vec<u8> {
        let own = format!("{}-1.0.dist-info/RECORD", self.name);
        let record = self
            .record
            .clone()
            .unwrap_or_else(|| self.true_record(&own));
        let mut entries = self.entries.clone();
        entries.push(ZipEntry::new(&own, record.as_bytes()));
        zip(&entries)
    }

    fn true_record(&self, own: &str) -> String {
        let mut record = String::new();
        for entry in self.entries.iter().filter(|e| !e.name.ends_with(b"/")) {
            let name = String::from_utf8_lossy(&entry.name);
            let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(&entry.bytes));
            record.push_str(&format!("{name},sha256={hash},{}\n", entry.bytes.len()));
        }
        record + own + ",,\n"
    }

    /// The hash of its file.
    pub fn sha256(&self) -> String {
        hex::encode(Sha256::digest(self.bytes()))
    }

    /// Opens it.
    pub fn open(&self) -> Result<Wheel, WheelError> {
        open(&self.file_name(), &self.bytes())
    }
}

/// Opens these bytes as a wheel.
pub fn open(name: &str, bytes: &[u8]) -> Result<Wheel, WheelError> {
    let sha256 = hex::encode(Sha256::digest(bytes));
    Wheel::from_stream(name, bytes, &std::env::temp_dir(), &sha256)
}

/// A zip archive of these entries.
pub fn zip(entries: &[ZipEntry]) -> Vec<u8> {
    let (mut file, mut list) = (Vec::new(), Vec::new());
    let mut last_offset = 0;
    for entry in entries {
        let packed = if entry.method == 8 {
            deflate(&entry.bytes)
        } else {
            entry.bytes.clone()
        };
        let offset = if entry.shares_content {
            last_offset
        } else {
            file.len()
        };
        last_offset = offset;
        let crc = crc32fast::hash(&entry.bytes).wrapping_add(entry.crc_lie);
        let size = entry.bytes.len() as i64 + entry.size_lie;
        let common = |name: &[u8]| {
            let mut header = Vec::new();
            for short in [20, entry.flags, entry.method, 0, 0x21] {
                header.extend(short.to_le_bytes());
            }
            for long in [crc, packed.len() as u32, size as u32] {
                header.extend(long.to_le_bytes());
            }
            header.extend((name.len() as u16).to_le_bytes());
            header.extend(0u16.to_le_bytes());
            header
        };
        if !entry.shares_content {
            let local = entry.local_name.as_ref().unwrap_or(&entry.name);
            file.extend(b"PK\x03\x04");
            file.extend(common(local));
            file.extend(local);
            file.extend(&packed);
        }
        list.extend(b"PK\x01\x02\x14\x03");
        list.extend(common(&entry.name));
        list.extend([0; 6]);
        list.extend((u32::from(entry.mode) << 16).to_le_bytes());
        list.extend((offset as u32).to_le_bytes());
        list.extend(&entry.name);
    }
    let (offset, count) = (file.len() as u32, entries.len() as u16);
    file.extend(&list);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend(count.to_le_bytes());
    file.extend(count.to_le_bytes());
    file.extend((list.len() as u32).to_le_bytes());
    file.extend(offset.to_le_bytes());
    file.extend([0; 2]);
    file
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::new(CompressionLvl::new(6).expect("a level"));
    let mut packed = vec![0; compressor.deflate_compress_bound(bytes.len())];
    let written = compressor.deflate_compress(bytes, &mut packed);
    packed.truncate(written.expect("the bound is enough"));
    packed
}
