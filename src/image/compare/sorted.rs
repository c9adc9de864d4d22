//! Entries of layers, sorted by path in bounded memory: what there is no room for is written to a
//! temporary file in sorted pieces, which are merged when they are read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use super::row::Row;
use crate::image::layer::EntryPath;

/// Bytes of entries that are held before they are written out. As many tables are read at once as there
/// are cores, and at most eight.
const ROOM: usize = 4 << 20;
/// Bytes that are read of a piece at once.
const PIECE: usize = 16 << 10;

/// Takes entries in any order.
pub(super) struct Sorter {
    room: usize,
    /// Records, one after the other.
    held: Vec<u8>,
    /// Where each begins.
    starts: Vec<usize>,
    file: Option<BufWriter<File>>,
    /// Where each sorted piece stands in the file.
    pieces: Vec<Range<u64>>,
}

impl Default for Sorter {
    fn default() -> Self {
        Self::with_room(ROOM)
    }
}

impl Sorter {
    /// Holds this many bytes at most, and one entry.
    pub(super) fn with_room(room: usize) -> Self {
        Self {
            room,
            held: Vec::new(),
            starts: Vec::new(),
            file: None,
            pieces: Vec::new(),
        }
    }

    /// Takes an entry. Those of one path are given back in the order in which they came.
    pub(super) fn add(&mut self, path: &EntryPath, row: &Row) -> io::Result<()> {
        self.starts.push(self.held.len());
        put(&mut self.held, path, row);
        if self.held.len() + self.starts.len() * size_of::<usize>() > self.room {
            self.write_out()?;
        }
        Ok(())
    }

    /// All that came.
    pub(super) fn finish(mut self) -> io::Result<Sorted> {
        self.sort();
        let mut held = Vec::with_capacity(if self.file.is_some() {
            0
        } else {
            self.held.len()
        });
        let file = match self.file {
            Some(_) => {
                self.write_out()?;
                let file = self.file.take().expect("pieces were written");
                Some(file.into_inner().map_err(io::IntoInnerError::into_error)?)
            }
            None => {
                for start in &self.starts {
                    held.extend_from_slice(record_at(&self.held, *start));
                }
                None
            }
        };
        Ok(Sorted {
            held,
            file,
            pieces: self.pieces,
        })
    }

    fn sort(&mut self) {
        let held = &self.held;
        self.starts
            .sort_by(|a, b| EntryPath::compare(path_at(held, *a), path_at(held, *b)));
    }

    /// Writes what is held as one piece.
    fn write_out(&mut self) -> io::Result<()> {
        if self.starts.is_empty() {
            return Ok(());
        }
        self.sort();
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(BufWriter::with_capacity(PIECE, tempfile::tempfile()?)),
        };
        let begin = self.pieces.last().map_or(0, |piece| piece.end);
        for start in &self.starts {
            file.write_all(record_at(&self.held, *start))?;
        }
        self.pieces.push(begin..begin + self.held.len() as u64);
        self.held.clear();
        self.starts.clear();
        Ok(())
    }
}

/// Entries that can be read by path as often as they are wanted.
#[derive(Default)]
pub(super) struct Sorted {
    /// All of them, where they had room.
    held: Vec<u8>,
    file: Option<File>,
    pieces: Vec<Range<u64>>,
}

impl Sorted {
    /// The entries, by path; of one path in the order in which they came.
    pub(super) fn entries(&self) -> io::Result<Entries<'_>> {
        let mut all: Vec<Box<dyn Read + '_>> = vec![Box::new(self.held.as_slice())];
        if let Some(file) = &self.file {
            for Range { start: at, end } in self.pieces.iter().cloned() {
                let piece = Piece { file, at, end };
                all.push(Box::new(BufReader::with_capacity(PIECE, piece)));
            }
        }
        let mut entries = Entries {
            heads: BinaryHeap::new(),
            pieces: all,
        };
        for piece in 0..entries.pieces.len() {
            entries.advance(piece)?;
        }
        Ok(entries)
    }
}

/// A part of a file, read without moving the file's own place.
struct Piece<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Piece<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Entries in order.
pub(super) struct Entries<'a> {
    heads: BinaryHeap<Reverse<Head>>,
    pieces: Vec<Box<dyn Read + 'a>>,
}

/// The next entry of a piece. Pieces stand in the order in which their entries came.
struct Head {
    path: EntryPath,
    piece: usize,
    rest: Vec<u8>,
}

impl Head {
    fn key(&self) -> (&EntryPath, usize) {
        (&self.path, self.piece)
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Entries<'_> {
    /// Takes the next entry of a piece.
    fn advance(&mut self, piece: usize) -> io::Result<()> {
        let input = &mut self.pieces[piece];
        let mut lengths = [0; LENGTHS];
        if input.read(&mut lengths[..1])? == 0 {
            return Ok(());
        }
        input.read_exact(&mut lengths[1..])?;
        let (path_length, length) = parse_lengths(&lengths);
        let mut path = vec![0; path_length];
        input.read_exact(&mut path)?;
        let mut rest = vec![0; length - path_length];
        input.read_exact(&mut rest)?;
        self.heads.push(Reverse(Head {
            path: EntryPath::checked(path),
            piece,
            rest,
        }));
        Ok(())
    }
}

impl Iterator for Entries<'_> {
    type Item = io::Result<(EntryPath, Row)>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse(head) = self.heads.pop()?;
        if let Err(error) = self.advance(head.piece) {
            return Some(Err(error));
        }
        Some(Row::read(&head.rest).map(|row| (head.path, row)))
    }
}

/// Bytes before each record: the length of its path, and of all that follows.
const LENGTHS: usize = 8;

fn put(out: &mut Vec<u8>, path: &EntryPath, row: &Row) {
    let (path, begin) = (path.as_bytes(), out.len());
    out.extend_from_slice(&(path.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(path);
    row.write(out);
    let length = (out.len() - begin - LENGTHS) as u32;
    out[begin + 4..begin + LENGTHS].copy_from_slice(&length.to_le_bytes());
}

fn parse_lengths(lengths: &[u8]) -> (usize, usize) {
    let of = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes")) as usize;
    (of(&lengths[..4]), of(&lengths[4..LENGTHS]))
}

fn path_at(held: &[u8], start: usize) -> &[u8] {
    let (length, _) = parse_lengths(&held[start..]);
    &held[start + LENGTHS..][..length]
}

fn record_at(held: &[u8], start: usize) -> &[u8] {
    let (_, length) = parse_lengths(&held[start..]);
    &held[start..][..LENGTHS + length]
}

#[cfg(test)]
mod tests {
    use super::super::row::More;
    use super::*;
    use crate::image::layer::{EntryKind, Mtime};

    fn row(order: u32) -> Row {
        Row {
            layer: 3,
            order,
            kind: EntryKind::CharDevice,
            is_opaque: false,
            mode: 0o4755,
            uid: 7,
            gid: u32::MAX,
            owner: b"me".to_vec(),
            group: Vec::new(),
            mtime: Mtime {
                seconds: -5,
                nanos: 999,
            },
            size: u64::MAX,
            hash: [order as u8; 32],
            more: order.is_multiple_of(2).then(|| {
                Box::new(More {
                    link: Some(vec![0; 5000]),
                    device: Some((1, u32::MAX)),
                    xattrs: [(b"user.a".to_vec(), b"\0".to_vec())].into(),
                    pyc: None,
                })
            }),
        }
    }

    #[test]
    fn entries_are_the_same_whatever_room_there_is() {
        let paths = ["b/c", "b", "b-", "", "b/c", "a", "b", "b/c"].map(EntryPath::from);
        let sorted = |room| {
            let mut sorter = Sorter::with_room(room);
            for (at, path) in paths.iter().enumerate() {
                sorter.add(path, &row(at as u32)).unwrap();
            }
            let sorted = sorter.finish().unwrap();
            let of = || -> Vec<(EntryPath, Row)> {
                sorted.entries().unwrap().map(Result::unwrap).collect()
            };
            assert_eq!(of(), of());
            (of(), sorted.pieces.len())
        };
        let (held, none) = sorted(usize::MAX);
        assert_eq!(none, 0);
        let places: Vec<_> = held
            .iter()
            .map(|(path, row)| (path.to_string(), row.order))
            .collect();
        let places: Vec<_> = places
            .iter()
            .map(|(path, order)| (path.as_str(), *order))
            .collect();
        let expected = [
            ("/", 3),
            ("/a", 5),
            ("/b", 1),
            ("/b", 6),
            ("/b/c", 0),
            ("/b/c", 4),
            ("/b/c", 7),
            ("/b-", 2),
        ];
        assert_eq!(places, expected);
        assert_eq!(held[3].1, row(6));
        for room in [0, 100, 6000, 12_000] {
            let (spilled, pieces) = sorted(room);
            assert!(pieces > 1, "{room}: {pieces}");
            assert_eq!(spilled, held, "{room}");
        }
        assert_eq!(
            Sorter::default()
                .finish()
                .unwrap()
                .entries()
                .unwrap()
                .count(),
            0
        );
    }
}
