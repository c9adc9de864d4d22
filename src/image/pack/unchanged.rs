//! Files of a layer that are as they were below it.
//!
//! Docker's classic store takes a layer from overlayfs, which copies a file up as soon as
//! somebody opens it for writing: lock files of apt and useradd, as a rule. Other stores compare,
//! and leave such a file out. So it is left out here too.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::ops::ControlFlow;

use sha2::{Digest as _, Sha256};

use crate::image::ImageLayer;
use crate::image::compare::Side;
use crate::image::layer::{EntryKind, EntryPath, LayerEntry, LayerError, LayerLimits, read_layer};

/// What decides whether a file is the same: all that its entry says, and its content.
type Seen = (LayerEntry, [u8; 32]);

/// The unchanged files of each layer from the `from`th on.
pub(super) fn find(side: &Side<'_>, from: usize) -> Result<Vec<BTreeSet<EntryPath>>, LayerError> {
    let (below, own) = side.image.layers.split_at(from);
    let mut wanted = BTreeSet::new();
    for layer in own {
        read(side, layer, &mut |entry, _| {
            if entry.kind == EntryKind::File {
                wanted.insert(entry.path.clone());
            }
            Ok(())
        })?;
    }
    let mut seen: BTreeMap<EntryPath, Seen> = BTreeMap::new();
    let mut unchanged = Vec::new();
    for (at, layer) in below.iter().chain(own).enumerate() {
        let mut same = BTreeSet::new();
        read(side, layer, &mut |entry, content| {
            match entry.kind {
                EntryKind::File if wanted.contains(&entry.path) => {
                    let now = (comparable(entry), hash(content)?);
                    if at >= from && seen.get(&entry.path) == Some(&now) {
                        same.insert(entry.path.clone());
                    }
                    seen.insert(entry.path.clone(), now);
                }
                // A folder that stays one keeps what is in it.
                EntryKind::Folder => drop(seen.remove(&entry.path)),
                _ => seen.retain(|path, _| !path.is_in(entry.path.as_bytes())),
            }
            Ok(())
        })?;
        if at >= from {
            unchanged.push(same);
        }
    }
    Ok(unchanged)
}

/// Without what two writers of the same file say differently.
fn comparable(entry: &LayerEntry) -> LayerEntry {
    let mut entry = entry.clone();
    entry.uname.clear();
    entry.gname.clear();
    entry.mtime.nanos = 0;
    entry
}

fn read(
    side: &Side<'_>,
    layer: &ImageLayer,
    visit: &mut dyn FnMut(&LayerEntry, &mut dyn Read) -> io::Result<()>,
) -> Result<(), LayerError> {
    let limits = LayerLimits::for_blob(layer.blob.size());
    let read = read_layer(side.open(layer)?, layer, &limits, &mut |entry, content| {
        visit(entry, content)?;
        Ok(ControlFlow::Continue(()))
    });
    read.map(drop)
}

fn hash(content: &mut dyn Read) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut piece = [0; 16 << 10];
    loop {
        match content.read(&mut piece)? {
            0 => return Ok(hash.finalize().into()),
            n => hash.update(&piece[..n]),
        }
    }
}
