//! The list of a zip archive's entries (APPNOTE 4.3.12).

use std::fs::File;
use std::io::{BufReader, Read as _};

use super::end::End;
use super::{
    ALWAYS, Entry, MOST_ENTRIES, MOST_NAMES, Part, RATIO, cut_off, u16_at, u32_at, u64_at,
};
use crate::error::Fault;

const HEADER: usize = 46;
/// Longest path that Linux takes.
const LONGEST_PATH: usize = 4096;
/// Size of the header before an entry's content, without name and extra fields.
const LOCAL_HEADER: u64 = 30;

pub(super) fn read(file: &File, end: &End, file_size: u64) -> Result<Vec<Entry>, Fault> {
    at_most("entries", end.entries, MOST_ENTRIES)?;
    let part = Part {
        file,
        at: end.offset,
        end: end.offset + end.size,
    };
    let mut input = BufReader::with_capacity(64 << 10, part);
    let mut entries = Vec::new();
    let (mut unpacked, mut names, mut listed) = (0u64, 0u64, 0u64);
    for _ in 0..end.entries {
        let mut header = [0; HEADER];
        input
            .read_exact(&mut header)
            .map_err(cut_off("the list of its entries"))?;
        if !header.starts_with(b"PK\x01\x02") {
            return Err(Fault::NotAZip(
                "the list of its entries makes no sense".to_owned(),
            ));
        }
        let lengths = [28, 30, 32].map(|at| usize::from(u16_at(&header, at)));
        let mut rest = vec![0; lengths.iter().sum()];
        input
            .read_exact(&mut rest)
            .map_err(cut_off("the list of its entries"))?;
        listed += (HEADER + rest.len()) as u64;
        let (name, rest) = rest.split_at(lengths[0]);
        let entry = entry(&header, name, &rest[..lengths[1]])?;
        unpacked = unpacked.saturating_add(entry.size);
        names += entry.path.len() as u64;
        at_most("bytes of names", names, MOST_NAMES)?;
        let most = file_size.saturating_mul(RATIO).max(ALWAYS);
        at_most("bytes of content", unpacked, most)?;
        entries.push(entry);
    }
    if listed != end.size {
        let why = "the list of its entries is longer than it says";
        return Err(Fault::NotAZip(why.to_owned()));
    }
    lie_apart(&entries, end.offset)?;
    Ok(entries)
}

fn at_most(what: &'static str, found: u64, most: u64) -> Result<(), Fault> {
    if found > most {
        return Err(Fault::TooLarge { what, found, most });
    }
    Ok(())
}

fn entry(header: &[u8; HEADER], name: &[u8], extra: &[u8]) -> Result<Entry, Fault> {
    let shown = || String::from_utf8_lossy(name).escape_debug().to_string();
    let flags = u16_at(header, 8);
    if flags & 1 != 0 || flags & 1 << 13 != 0 {
        return Err(Fault::Encrypted { entry: shown() });
    }
    let method = u16_at(header, 10);
    let (path, is_folder) = path(name)?;
    if !matches!(method, 0 | 8) {
        let entry = shown();
        return Err(Fault::Method { entry, method });
    }
    let stated = [24, 20, 42].map(|at| u32_at(header, at));
    let [size, packed, offset] = sizes(stated, extra).ok_or_else(|| Fault::Damaged {
        entry: shown(),
        why: "its sizes are missing",
    })?;
    if (method == 0 && size != packed) || (is_folder && size != 0) {
        let why = "its sizes contradict each other";
        return Err(Fault::Damaged {
            entry: shown(),
            why,
        });
    }
    // The upper byte says which system wrote it: 3 is Unix.
    let is_unix = header[5] == 3;
    let mode = if is_unix { u16_at(header, 40) } else { 0 };
    Ok(Entry {
        path: path.into_boxed_str(),
        is_folder,
        mode,
        size,
        is_deflated: method == 8,
        crc: u32_at(header, 16),
        packed,
        offset,
        name_length: name.len() as u16,
    })
}

/// Size, packed size and offset; those that don't fit in 32 bits stand in an extra field.
fn sizes(stated: [u32; 3], mut extra: &[u8]) -> Option<[u64; 3]> {
    let mut long: &[u8] = &[];
    while extra.len() >= 4 {
        let (id, length) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let field = extra.get(4..4 + length)?;
        if id == 1 {
            long = field;
        }
        extra = &extra[4 + length..];
    }
    let mut sizes = [0; 3];
    for (size, stated) in sizes.iter_mut().zip(stated) {
        *size = u64::from(stated);
        if stated == u32::MAX {
            *size = u64_at(long.get(..8)?, 0);
            long = &long[8..];
        }
    }
    Some(sizes)
}

/// A path without doubled slashes and `.`, and whether it is a folder's.
fn path(name: &[u8]) -> Result<(String, bool), Fault> {
    let bad = |why| Fault::Path {
        path: String::from_utf8_lossy(name).into_owned(),
        why,
    };
    let text = std::str::from_utf8(name).map_err(|_| bad("isn't UTF-8"))?;
    if text.len() > LONGEST_PATH {
        return Err(bad("is longer than any file system takes"));
    }
    if text.chars().any(char::is_control) {
        return Err(bad("has control characters in it"));
    }
    if text.starts_with('/') {
        return Err(bad("is absolute"));
    }
    if text.contains('\\') {
        return Err(bad(
            "has a backslash in it, which is a folder to some and a name to others",
        ));
    }
    let mut path = String::with_capacity(text.len());
    for part in text.split('/') {
        match part {
            "" | "." => continue,
            ".." => return Err(bad("climbs out of its folder")),
            part if part.len() > 255 => return Err(bad("has a name that is too long in it")),
            part if part.starts_with(".wh.") => {
                return Err(bad("has a name in it that removes files from an image"));
            }
            part => {
                if !path.is_empty() {
                    path.push('/');
                }
                path.push_str(part);
            }
        }
    }
    let is_folder = text.ends_with('/');
    if path.is_empty() && !is_folder {
        return Err(bad("names nothing"));
    }
    Ok((path, is_folder))
}

/// Refuses contents that several entries share: how the worst bombs are made.
fn lie_apart(entries: &[Entry], list: u64) -> Result<(), Fault> {
    let mut order: Vec<&Entry> = entries.iter().collect();
    order.sort_by_key(|entry| entry.offset);
    let starts = order.iter().skip(1).map(|entry| entry.offset);
    for (entry, next) in order.iter().zip(starts.chain([list])) {
        let length = LOCAL_HEADER + u64::from(entry.name_length);
        let end = entry.packed.checked_add(length);
        let end = end.and_then(|length| length.checked_add(entry.offset));
        if end.is_none_or(|end| end > next) {
            return Err(Fault::Damaged {
                entry: entry.path.to_string(),
                why: "its content lies over something else",
            });
        }
    }
    Ok(())
}
