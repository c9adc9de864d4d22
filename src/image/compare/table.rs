//! What some layers hold when they lie on one another: a row for each path.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use super::hashed::{self, Hash, Pyc};
use super::packages::Packages;
use super::side::Side;
use super::texts::{self, Contents, TextBudget};
use crate::image::installed;
use crate::image::layer::{
    EntryKind, EntryPath, LayerEntry, LayerError, LayerLimits, Mtime, read_layer,
};

/// What is kept of an entry: small, because large images have hundreds of thousands.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Place of the layer in the image, from 0.
    pub(super) layer: u16,
    /// Place in the tar.
    pub(super) order: u32,
    pub(super) kind: EntryKind,
    /// True if it hides what layers below have in the folder.
    pub(super) is_opaque: bool,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Place of the owner's and group's names in [`Table::names`].
    names: u16,
    pub(super) mtime: Mtime,
    pub(super) size: u64,
    pub(super) hash: Hash,
    pub(super) more: Option<Box<More>>,
}

/// What few entries have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct More {
    pub(super) link: Option<Vec<u8>>,
    pub(super) device: Option<(u32, u32)>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) pyc: Option<Box<Pyc>>,
}

/// The layers' paths.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) rows: BTreeMap<EntryPath, Row>,
    /// Names of owners and groups that occur.
    names: Vec<(Vec<u8>, Vec<u8>)>,
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
        let (mut table, mut buffer) = (Self::default(), hashed::buffer());
        for at in layers {
            let layer = &side.image.layers[at];
            let limits = LayerLimits::for_blob(layer.blob.size());
            let mut order = 0;
            let blob = side.open(layer)?;
            let totals = read_layer(blob, layer, &limits, &mut |entry, content| {
                order += 1;
                table.add(entry, content, (at as u16, order), &mut buffer, budget)?;
                Ok(ControlFlow::Continue(()))
            })?;
            table.unpacked += totals.unpacked;
        }
        let rows = &table.rows;
        table.packages.keep(|path| rows.contains_key(path));
        Ok(table)
    }

    /// The names of an entry's owner and group.
    pub(super) fn owner_names(&self, row: &Row) -> (&[u8], &[u8]) {
        let (owner, group) = &self.names[usize::from(row.names)];
        (owner, group)
    }

    fn add(
        &mut self,
        entry: &LayerEntry,
        content: &mut dyn std::io::Read,
        (layer, order): (u16, u32),
        buffer: &mut [u8],
        budget: &TextBudget,
    ) -> std::io::Result<()> {
        let path = &entry.path;
        match entry.kind {
            EntryKind::Opaque => {
                self.hide_below(path, layer);
                if let Some(folder) = self.rows.get_mut(path) {
                    folder.is_opaque = true;
                    return Ok(());
                }
            }
            EntryKind::Whiteout => self.hide_below(path, layer),
            _ => {}
        }
        let is_pyc = path.as_bytes().ends_with(b".pyc");
        let keep = installed::keeps(path);
        let is_file = entry.kind == EntryKind::File;
        let may_be_shown = is_file && texts::may_be_shown(path.as_bytes(), entry.size);
        let keep_all = if may_be_shown { entry.size as usize } else { 0 };
        let mut seen = if is_file {
            hashed::read(content, is_pyc, keep.max(keep_all), buffer)?
        } else {
            hashed::Content::default()
        };
        if keep > 0 {
            let start = &seen.start[..seen.start.len().min(keep)];
            self.packages.add(path, start);
        }
        if may_be_shown && texts::may_be_text(&seen.start) && budget.take(path, &seen.start) {
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
        let was_opaque = self
            .rows
            .get(path)
            .is_some_and(|row| row.is_opaque && row.layer == layer);
        let row = Row {
            layer,
            order,
            kind: entry.kind,
            is_opaque: was_opaque || entry.kind == EntryKind::Opaque,
            mode: entry.mode as u16,
            uid: u32::try_from(entry.uid).unwrap_or(u32::MAX),
            gid: u32::try_from(entry.gid).unwrap_or(u32::MAX),
            names: self.name(&entry.uname, &entry.gname),
            mtime: entry.mtime,
            size: entry.size,
            hash: seen.hash,
            more: (more != More::default()).then(|| Box::new(more)),
        };
        self.rows.insert(path.clone(), row);
        Ok(())
    }

    /// Drops what lower layers of the table have below a path.
    fn hide_below(&mut self, path: &EntryPath, layer: u16) {
        let below = self.rows.range(path.clone()..);
        let below = below.take_while(|(at, _)| at.is_in(path.as_bytes()));
        let hidden = below.filter(|(at, row)| *at != path && row.layer < layer);
        let hidden: Vec<EntryPath> = hidden.map(|(at, _)| at.clone()).collect();
        for at in hidden {
            self.rows.remove(&at);
        }
    }

    fn name(&mut self, owner: &[u8], group: &[u8]) -> u16 {
        let same = |(o, g): &(Vec<u8>, Vec<u8>)| o == owner && g == group;
        if let Some(at) = self.names.iter().position(same) {
            return at as u16;
        }
        // More pairs of names than any machine has users: they can't be told apart then.
        if self.names.len() < usize::from(u16::MAX) {
            self.names.push((owner.to_vec(), group.to_vec()));
        }
        (self.names.len() - 1) as u16
    }
}
