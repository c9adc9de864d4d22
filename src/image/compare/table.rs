//! What some layers hold when they lie on one another: a row for each path, in bounded memory.

use std::io;
use std::iter::Peekable;
use std::ops::{ControlFlow, Range};

use super::hashed;
use super::packages::Packages;
use super::row::{More, Row};
use super::side::Side;
use super::sorted::{Entries, Sorted, Sorter};
use super::texts::{self, Contents, TextBudget};
use crate::image::installed;
use crate::image::layer::{
    EntryKind, EntryPath, LayerEntry, LayerError, LayerLimits, LayerProblem, read_layer,
};

/// The layers' paths.
pub(super) struct Table {
    /// All entries of all layers, also those that others replace or hide.
    sorted: Sorted,
    pub(super) packages: Packages,
    /// Small texts, as far as there was room.
    pub(super) texts: Contents,
    /// Bytes of the tars.
    pub(super) unpacked: u64,
}

impl Table {
    /// Reads layers of an image, lowest first.
    pub(super) fn read(
        side: &Side<'_>,
        layers: Range<usize>,
        budget: &TextBudget,
    ) -> Result<Self, LayerError> {
        let mut reading = Reading {
            sorter: Sorter::default(),
            packages: Packages::default(),
            texts: Contents::default(),
            buffer: hashed::buffer(),
            budget,
        };
        let (mut unpacked, mut last) = (0, None);
        for at in layers {
            let layer = &side.image.layers[at];
            let limits = LayerLimits::for_blob(layer.blob.size());
            let (mut order, mut failed) = (0, None);
            let blob = side.open(layer)?;
            let totals = read_layer(blob, layer, &limits, &mut |entry, content| {
                order += 1;
                let row = reading.row(entry, content, (at as u16, order))?;
                // What goes wrong with the temporary file is no fault of the layer's.
                Ok(match reading.sorter.add(&entry.path, &row) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                })
            })?;
            if let Some(error) = failed {
                return Err(not_kept(layer.blob.digest(), error));
            }
            unpacked += totals.unpacked;
            last = Some(layer.blob.digest());
        }
        let sorted = match last {
            Some(layer) => reading
                .sorter
                .finish()
                .map_err(|error| not_kept(layer, error))?,
            None => Sorted::default(),
        };
        Ok(Self {
            sorted,
            packages: reading.packages,
            texts: reading.texts,
            unpacked,
        })
    }

    /// What there is, by path. Can be read more than once.
    pub(super) fn rows(&self) -> io::Result<Rows<'_>> {
        Ok(Rows {
            entries: self.sorted.entries()?.peekable(),
            hiding: Vec::new(),
        })
    }
}

/// An error of the temporary file that holds what a layer has.
pub(super) fn not_kept(layer: &oci_spec::image::Digest, error: io::Error) -> LayerError {
    LayerError {
        layer: layer.clone(),
        problem: Box::new(LayerProblem::Temporary {
            folder: std::env::temp_dir(),
            why: error,
        }),
    }
}

/// Layers while they are read.
struct Reading<'a> {
    sorter: Sorter,
    packages: Packages,
    texts: Contents,
    buffer: Vec<u8>,
    budget: &'a TextBudget,
}

impl Reading<'_> {
    fn row(
        &mut self,
        entry: &LayerEntry,
        content: &mut dyn io::Read,
        (layer, order): (u16, u32),
    ) -> io::Result<Row> {
        let path = &entry.path;
        let is_pyc = path.as_bytes().ends_with(b".pyc");
        let keep = installed::keeps(path);
        let is_file = entry.kind == EntryKind::File;
        let may_be_shown = is_file && texts::may_be_shown(path.as_bytes(), entry.size);
        let keep_all = if may_be_shown { entry.size as usize } else { 0 };
        let mut seen = if is_file {
            hashed::read(content, is_pyc, keep.max(keep_all), &mut self.buffer)?
        } else {
            hashed::Content::default()
        };
        if keep > 0 {
            let start = &seen.start[..seen.start.len().min(keep)];
            self.packages.add(path, start);
        }
        if may_be_shown && texts::may_be_text(&seen.start) && self.budget.take(path, &seen.start) {
            seen.start.shrink_to_fit();
            let key = (usize::from(layer) + 1, path.as_bytes().to_vec());
            self.texts.insert(key, seen.start);
        }
        let more = More {
            link: entry.link.clone(),
            device: entry.device,
            xattrs: entry.xattrs.clone(),
            pyc: seen.pyc,
        };
        Ok(Row {
            layer,
            order,
            kind: entry.kind,
            is_opaque: entry.kind == EntryKind::Opaque,
            mode: entry.mode as u16,
            uid: u32::try_from(entry.uid).unwrap_or(u32::MAX),
            gid: u32::try_from(entry.gid).unwrap_or(u32::MAX),
            owner: entry.uname.clone(),
            group: entry.gname.clone(),
            mtime: entry.mtime,
            size: entry.size,
            hash: seen.hash,
            more: (more != More::default()).then(|| Box::new(more)),
        })
    }
}

/// What there is, by path: of several entries of one path the one that counts.
pub(super) struct Rows<'a> {
    entries: Peekable<Entries<'a>>,
    /// Folders above the next path that hide what lower layers have in them.
    hiding: Vec<(EntryPath, Hides)>,
}

/// Where a path is hidden from layers below: a layer, and the first place in its tar. By layer.
type Hides = Vec<(u16, u32)>;

impl Rows<'_> {
    /// The row of a path, of which this is the first entry.
    fn row_of(&mut self, path: &EntryPath, first: Row) -> io::Result<Option<Row>> {
        while let Some((folder, _)) = self.hiding.last()
            && !path.is_in(folder.as_bytes())
        {
            self.hiding.pop();
        }
        let none = Hides::new();
        let mut own: Option<Hides> = None;
        let (mut found, mut next) = (None, Some(first));
        while let Some(row) = next {
            let above = self.hiding.last().map_or(&none, |(_, hides)| hides);
            found = found.filter(|old: &Row| !is_hidden(above, old, (row.layer, row.order)));
            if matches!(row.kind, EntryKind::Opaque | EntryKind::Whiteout) {
                add(
                    own.get_or_insert_with(|| above.clone()),
                    (row.layer, row.order),
                );
            }
            found = Some(laid_on(found, row));
            let is_same = |next: &io::Result<(EntryPath, Row)>| match next {
                Ok((other, _)) => other == path,
                Err(_) => true,
            };
            next = self
                .entries
                .next_if(is_same)
                .transpose()?
                .map(|(_, row)| row);
        }
        let above = self.hiding.last().map_or(&none, |(_, hides)| hides);
        found = found.filter(|row| !is_hidden(above, row, (u16::MAX, u32::MAX)));
        if let Some(own) = own {
            self.hiding.push((path.clone(), own));
        }
        Ok(found)
    }
}

/// An entry of a path that had another one before.
fn laid_on(old: Option<Row>, mut row: Row) -> Row {
    match old {
        // It stands beside the folder's own entry.
        Some(mut folder) if row.kind == EntryKind::Opaque => {
            folder.is_opaque = true;
            folder
        }
        old => {
            row.is_opaque |= old.is_some_and(|old| old.is_opaque && old.layer == row.layer);
            row
        }
    }
}

/// True where something above hides a row, as far as the tars were read until `now`.
fn is_hidden(hides: &Hides, row: &Row, now: (u16, u32)) -> bool {
    let higher = hides.partition_point(|(layer, _)| *layer <= row.layer);
    hides.get(higher).is_some_and(|hide| *hide < now)
}

/// Adds where a path is hidden, if that is the first place of its layer.
fn add(hides: &mut Hides, hide: (u16, u32)) {
    match hides.binary_search_by_key(&hide.0, |(layer, _)| *layer) {
        Ok(at) => hides[at].1 = hides[at].1.min(hide.1),
        Err(at) => hides.insert(at, hide),
    }
}

impl Iterator for Rows<'_> {
    type Item = io::Result<(EntryPath, Row)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (path, first) = match self.entries.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            match self.row_of(&path, first) {
                Ok(Some(row)) => return Some(Ok((path, row))),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
