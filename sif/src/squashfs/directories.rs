//! The listing of a folder: names in runs, whose inodes lie in the same block and have near numbers.

use super::metadata::Place;

/// Most names of a run.
const RUN: usize = 256;

/// A name in a folder.
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) place: Place,
    pub(super) number: u32,
    pub(super) kind: u16,
}

/// A listing under way; names come in order.
#[derive(Default)]
pub(super) struct Listing {
    done: Vec<u8>,
    run: Vec<u8>,
    count: usize,
    block: u32,
    first: u32,
}

impl Listing {
    pub(super) fn add(&mut self, entry: Entry<'_>) {
        let delta = i64::from(entry.number) - i64::from(self.first);
        let fits = i16::try_from(delta).is_ok() && self.block == entry.place.block;
        if self.count == RUN || !fits {
            self.end_run();
        }
        if self.count == 0 {
            self.block = entry.place.block;
            self.first = entry.number;
        }
        let delta = (i64::from(entry.number) - i64::from(self.first)) as i16;
        self.run
            .extend_from_slice(&entry.place.offset.to_le_bytes());
        self.run.extend_from_slice(&delta.to_le_bytes());
        self.run.extend_from_slice(&entry.kind.to_le_bytes());
        let length = entry.name.len() as u16 - 1;
        self.run.extend_from_slice(&length.to_le_bytes());
        self.run.extend_from_slice(entry.name);
        self.count += 1;
    }

    fn end_run(&mut self) {
        if self.count == 0 {
            return;
        }
        for number in [self.count as u32 - 1, self.block, self.first] {
            self.done.extend_from_slice(&number.to_le_bytes());
        }
        self.done.append(&mut self.run);
        self.count = 0;
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.end_run();
        self.done
    }
}
