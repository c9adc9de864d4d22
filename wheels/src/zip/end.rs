//! The end of a zip archive, which says where its list of entries is (APPNOTE 4.3.14 to 4.3.16).

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::{cut_off, u16_at, u32_at, u64_at};
use crate::error::Fault;

const END: u64 = 22;
const LOCATOR: u64 = 20;
const END_64: u64 = 56;
const LONGEST_COMMENT: u64 = 0xFFFF;

/// Where the list of entries is.
pub(super) struct End {
    pub(super) entries: u64,
    pub(super) offset: u64,
    pub(super) size: u64,
}

pub(super) fn find(file: &File, size: u64) -> Result<End, Fault> {
    let tail_size = size.min(END + LONGEST_COMMENT);
    let mut tail = vec![0; tail_size as usize];
    let read = file.read_exact_at(&mut tail, size - tail_size);
    read.map_err(cut_off("it became shorter while it was read"))?;
    let is_end = |at: &usize| {
        let record = &tail[*at..];
        record.starts_with(b"PK\x05\x06") && at + 22 + usize::from(u16_at(record, 20)) == tail.len()
    };
    let last = tail.len().checked_sub(END as usize);
    let at = last.and_then(|last| (0..=last).rev().find(is_end));
    let Some(at) = at else {
        if tail.is_empty() {
            return Err(Fault::Truncated("it is empty"));
        }
        let mut start = [0; 4];
        let is_zip = file.read_exact_at(&mut start, 0).is_ok() && start == *b"PK\x03\x04";
        if is_zip {
            return Err(Fault::Truncated("the list of its entries is missing"));
        }
        return Err(Fault::NotAZip(
            "it has neither beginning nor end of one".to_owned(),
        ));
    };
    let record = &tail[at..];
    let at = size - tail_size + at as u64;
    let disks = (u16_at(record, 4), u16_at(record, 6));
    let here = u16_at(record, 8);
    let end = End {
        entries: u64::from(u16_at(record, 10)),
        size: u64::from(u32_at(record, 12)),
        offset: u64::from(u32_at(record, 16)),
    };
    if let Some((end, at)) = find_64(file, at)? {
        return check(end, at);
    }
    if disks != (0, 0) || u64::from(here) != end.entries {
        return Err(Fault::NotAZip("it is one of several parts".to_owned()));
    }
    check(end, at)
}

/// The record of archives that are too large for the old one, and where it stands.
fn find_64(file: &File, end_at: u64) -> Result<Option<(End, u64)>, Fault> {
    let Some(locator_at) = end_at.checked_sub(LOCATOR) else {
        return Ok(None);
    };
    let mut locator = [0; LOCATOR as usize];
    file.read_exact_at(&mut locator, locator_at)
        .map_err(cut_off("its end"))?;
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(None);
    }
    let at = u64_at(&locator, 8);
    if at.checked_add(END_64) != Some(locator_at) {
        return Err(Fault::NotAZip(
            "its two ends contradict each other".to_owned(),
        ));
    }
    let mut record = [0; END_64 as usize];
    file.read_exact_at(&mut record, at)
        .map_err(cut_off("its end"))?;
    let is_one_part = (u32_at(&record, 16), u32_at(&record, 20)) == (0, 0);
    if !record.starts_with(b"PK\x06\x06") || !is_one_part {
        return Err(Fault::NotAZip("its end makes no sense".to_owned()));
    }
    let end = End {
        entries: u64_at(&record, 32),
        size: u64_at(&record, 40),
        offset: u64_at(&record, 48),
    };
    Ok(Some((end, at)))
}

/// The list must end where the end begins: anything else would be seen by some readers only.
fn check(end: End, at: u64) -> Result<End, Fault> {
    if end.offset.checked_add(end.size) == Some(at) {
        return Ok(end);
    }
    let why = "there are bytes before or behind the list of its entries";
    Err(Fault::NotAZip(why.to_owned()))
}
