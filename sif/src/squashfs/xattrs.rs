//! Extended attributes: each set of them once.

use std::collections::{BTreeMap, HashMap};
use std::io;

use super::metadata::{self, Metadata, Place, narrow};

/// A file without any.
pub(super) const NONE: u32 = u32::MAX;
/// Beginnings of names, by the format's number for them.
const PREFIXES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
/// Longest name after that, and longest value.
const LONGEST_NAME: usize = 255;
const LONGEST_VALUE: usize = 65536;

/// The format's number for a name's beginning, and the rest; `None` for names of other kinds.
fn kind(name: &[u8]) -> Option<(u16, &[u8])> {
    let mut kinds = (0..).zip(PREFIXES);
    kinds.find_map(|(kind, prefix)| Some((kind, name.strip_prefix(prefix)?)))
}

/// Whether a file can have an attribute. One of another kind is left out, whatever it is.
pub(super) fn can_be(name: &[u8], value: &[u8]) -> bool {
    kind(name).is_none_or(|(_, rest)| {
        (1..=LONGEST_NAME).contains(&rest.len()) && value.len() <= LONGEST_VALUE
    })
}

/// Sets of attributes under way.
#[derive(Default)]
pub(super) struct Xattrs {
    under_way: Metadata,
    known: HashMap<Vec<u8>, u32>,
    /// Where each is, how many attributes, how many bytes.
    sets: Vec<(Place, u32, u32)>,
    pub(super) values: Vec<u8>,
}

impl Xattrs {
    /// Takes a set; gives its number. Names of other kinds are left out.
    pub(super) fn add(&mut self, xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) -> io::Result<u32> {
        let (mut bytes, mut count) = (Vec::new(), 0);
        for (name, value) in xattrs {
            let Some((kind, rest)) = kind(name) else {
                continue;
            };
            for number in [kind, rest.len() as u16] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(rest);
            bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
            bytes.extend_from_slice(value);
            count += 1;
        }
        if count == 0 {
            return Ok(NONE);
        }
        if let Some(known) = self.known.get(&bytes) {
            return Ok(*known);
        }
        let place = self.under_way.place()?;
        self.under_way.write(&bytes);
        let number = self.sets.len() as u32;
        // The format counts the bytes of names and values, and of the numbers before them.
        self.sets.push((place, count, narrow(bytes.len())?));
        self.known.insert(bytes, number);
        Ok(number)
    }

    /// `None` where there are none.
    pub(super) fn finish(mut self) -> Option<Self> {
        if self.sets.is_empty() {
            return None;
        }
        self.values = std::mem::take(&mut self.under_way).finish();
        Some(self)
    }

    /// Writes the table of sets from `at` on, whose values begin at `values`; gives where its head is.
    pub(super) fn write_lookup(
        &self,
        mut at: u64,
        values: u64,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<u64> {
        let mut entries = Vec::with_capacity(self.sets.len() * 16);
        for (place, count, size) in &self.sets {
            entries.extend_from_slice(&place.packed().to_le_bytes());
            entries.extend_from_slice(&count.to_le_bytes());
            entries.extend_from_slice(&size.to_le_bytes());
        }
        let mut places = Vec::new();
        for piece in entries.chunks(metadata::SIZE) {
            let mut packed = Metadata::default();
            packed.write(piece);
            let packed = packed.finish();
            write(&packed)?;
            places.extend_from_slice(&at.to_le_bytes());
            at += packed.len() as u64;
        }
        let mut head = values.to_le_bytes().to_vec();
        head.extend_from_slice(&(self.sets.len() as u32).to_le_bytes());
        head.extend_from_slice(&[0; 4]);
        write(&head)?;
        write(&places)?;
        Ok(at)
    }
}
