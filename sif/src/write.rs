//! The file around the file system.

use std::io::{self, Seek, SeekFrom, Write};

use crate::header::{
    ALIGNED, DATA_AT, DEFINITION, DESCRIPTOR, DESCRIPTORS_AT, GROUP, HEADER, JSON, LAUNCH, MAGIC,
    PARTITION, PRIMARY, ROOM, SQUASHFS, VERSION,
};

/// What stands in the file beside the file system.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    /// The definition file.
    pub definition: Vec<u8>,
    /// JSON documents by name, in this order.
    pub json: Vec<(String, Vec<u8>)>,
    /// The file's id: of the image's digest, so that the same image has the same one.
    pub id: [u8; 16],
}

/// How the format names an architecture as OCI does; `None` for one that it has no name for.
pub fn architecture(oci: &str) -> Option<&'static str> {
    Some(match oci {
        "386" => "01",
        "amd64" => "02",
        "arm" => "03",
        "arm64" => "04",
        "ppc64" => "05",
        "ppc64le" => "06",
        "mips" => "07",
        "mipsle" => "08",
        "mips64" => "09",
        "mips64le" => "10",
        "s390x" => "11",
        "riscv64" => "12",
        _ => return None,
    })
}

struct Object<'a> {
    kind: i32,
    name: &'a str,
    at: u64,
    size: u64,
    padded: u64,
}

/// Writes an image: `partition` writes the file system from the place on where `out` stands then.
///
/// # Errors
/// Where `out` can't be written to, or there are too many documents.
pub fn write<W: Write + Seek>(
    out: &mut W,
    documents: &Documents,
    architecture: &str,
    partition: impl FnOnce(&mut W) -> io::Result<()>,
) -> io::Result<()> {
    if documents.json.len() as u64 + 2 > ROOM {
        return Err(io::Error::other("a SIF has no room for so many documents"));
    }
    out.seek(SeekFrom::Start(0))?;
    out.write_all(&vec![0; DATA_AT as usize])?;
    let mut at = DATA_AT;
    let mut objects = Vec::new();
    let texts = std::iter::once((DEFINITION, "", &documents.definition));
    let json = documents.json.iter();
    for (kind, name, text) in texts.chain(json.map(|(name, text)| (JSON, name.as_str(), text))) {
        out.write_all(text)?;
        let size = text.len() as u64;
        objects.push(Object {
            kind,
            name,
            at,
            size,
            padded: size,
        });
        at += size;
    }
    let start = at.next_multiple_of(ALIGNED);
    out.write_all(&vec![0; (start - at) as usize])?;
    partition(out)?;
    let end = out.stream_position()?;
    objects.push(Object {
        kind: PARTITION,
        name: "",
        at: start,
        size: end - start,
        padded: end - at,
    });
    out.seek(SeekFrom::Start(DESCRIPTORS_AT))?;
    for (at, object) in objects.iter().enumerate() {
        out.write_all(&descriptor(object, at as u32 + 1, architecture))?;
    }
    out.seek(SeekFrom::Start(0))?;
    let free = ROOM - objects.len() as u64;
    out.write_all(&header(documents.id, architecture, free, end))?;
    out.seek(SeekFrom::Start(end))?;
    Ok(())
}

fn header(id: [u8; 16], architecture: &str, free: u64, end: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER);
    bytes.extend_from_slice(LAUNCH);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(VERSION);
    bytes.extend_from_slice(&padded(architecture, 3));
    bytes.extend_from_slice(&id);
    let descriptors = ROOM * DESCRIPTOR as u64;
    // It was made and changed at the beginning of time.
    for number in [
        0,
        0,
        free,
        ROOM,
        DESCRIPTORS_AT,
        descriptors,
        DATA_AT,
        end - DATA_AT,
    ] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes
}

fn descriptor(object: &Object<'_>, id: u32, architecture: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(DESCRIPTOR);
    bytes.extend_from_slice(&object.kind.to_le_bytes());
    bytes.push(1);
    for number in [id, GROUP, 0] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    // Times, owner and group are 0.
    for number in [object.at, object.size, object.padded, 0, 0, 0, 0] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&padded(object.name, 128));
    if object.kind == PARTITION {
        bytes.extend_from_slice(&SQUASHFS.to_le_bytes());
        bytes.extend_from_slice(&PRIMARY.to_le_bytes());
        bytes.extend_from_slice(&padded(architecture, 3));
    }
    bytes.resize(DESCRIPTOR, 0);
    bytes
}

/// A text with zeros up to a length, of which at least one is there.
fn padded(text: &str, length: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.truncate(length - 1);
    bytes.resize(length, 0);
    bytes
}
