//! Entries of a layer that change nothing.
//!
//! Docker's classic store takes a layer from overlayfs, which copies a file up as soon as somebody
//! opens it for writing (lock files of apt and useradd), with the folders that it is in, and marks
//! new folders as hiding what lies below, where nothing does. Other stores compare, and leave such
//! entries out. So they are left out here too.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::ops::ControlFlow;

use sha2::{Digest as _, Sha256};

use crate::image::ImageLayer;
use crate::image::compare::Side;
use crate::image::layer::{
    EntryKind, EntryPath, LayerEntry, LayerError, LayerLimits, Mtime, read_layer,
};

/// Entries by kind and path: a folder and its mark have the same path.
pub(super) type Entries = BTreeSet<(EntryKind, EntryPath)>;

/// What decides whether a path is as it was: all that its entry says, and its content.
#[derive(PartialEq)]
struct Seen(LayerEntry, [u8; 32]);

/// The entries without effect of each layer from the `from`th on.
pub(super) fn find(side: &Side<'_>, from: usize) -> Result<Vec<Entries>, LayerError> {
    let (below, own) = side.image.layers.split_at(from);
    // Of files, only those are looked at that occur above the base.
    let mut wanted = BTreeSet::new();
    for layer in own {
        read(side, layer, &mut |entry, _| {
            if entry.kind == EntryKind::File {
                wanted.insert(entry.path.clone());
            }
            Ok(())
        })?;
    }
    let mut tree: BTreeMap<EntryPath, Seen> = BTreeMap::new();
    let mut found = Vec::new();
    for (at, layer) in below.iter().chain(own).enumerate() {
        let mut step = Step::default();
        read(side, layer, &mut |entry, content| {
            let is_wanted = match entry.kind {
                EntryKind::File => wanted.contains(&entry.path),
                kind => kind == EntryKind::Folder,
            };
            let now = if is_wanted {
                Some(Seen(comparable(entry), hash(content)?))
            } else {
                None
            };
            step.pass(&tree, entry, now);
            Ok(())
        })?;
        if at >= from {
            found.push(step.without_effect());
        }
        step.apply(&mut tree);
    }
    Ok(found)
}

/// One layer on the tree below it.
#[derive(Default)]
struct Step {
    /// Paths that something happens to.
    changed: BTreeSet<EntryPath>,
    /// Folders that are as they were: there for what is in them, if anything is.
    same_folders: BTreeSet<EntryPath>,
    without_effect: Entries,
    now: BTreeMap<EntryPath, Seen>,
    gone: Vec<(EntryKind, EntryPath)>,
}

impl Step {
    fn pass(&mut self, tree: &BTreeMap<EntryPath, Seen>, entry: &LayerEntry, now: Option<Seen>) {
        let path = &entry.path;
        let is_same = now.as_ref().is_some_and(|now| tree.get(path) == Some(now));
        match entry.kind {
            EntryKind::File if is_same => {
                self.without_effect.insert((entry.kind, path.clone()));
            }
            EntryKind::Folder if is_same => drop(self.same_folders.insert(path.clone())),
            EntryKind::Opaque if !tree.contains_key(path) => {
                self.without_effect.insert((entry.kind, path.clone()));
            }
            _ => drop(self.changed.insert(path.clone())),
        }
        if entry.kind != EntryKind::Folder {
            self.gone.push((entry.kind, path.clone()));
        }
        self.now.extend(now.map(|now| (path.clone(), now)));
    }

    fn without_effect(&self) -> Entries {
        let mut all = self.without_effect.clone();
        for folder in &self.same_folders {
            let next = self.changed.range(folder.clone()..).next();
            if next.is_none_or(|path| !path.is_in(folder.as_bytes())) {
                all.insert((EntryKind::Folder, folder.clone()));
            }
        }
        all
    }

    fn apply(self, tree: &mut BTreeMap<EntryPath, Seen>) {
        for (kind, path) in self.gone {
            let below = tree.range(path.clone()..);
            let below = below.take_while(|(at, _)| at.is_in(path.as_bytes()));
            let is_gone = |at: &EntryPath| kind != EntryKind::Opaque || *at != path;
            let gone: Vec<EntryPath> = below.map(|(at, _)| at.clone()).filter(is_gone).collect();
            for at in gone {
                tree.remove(&at);
            }
        }
        tree.extend(self.now);
    }
}

/// Without what two writers of the same file say differently; and a folder without its time, which
/// changes with whatever comes and goes in it.
fn comparable(entry: &LayerEntry) -> LayerEntry {
    let mut entry = entry.clone();
    entry.uname.clear();
    entry.gname.clear();
    entry.mtime.nanos = 0;
    if entry.kind == EntryKind::Folder {
        entry.mtime = Mtime::default();
    }
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
