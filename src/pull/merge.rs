//! Layers' entries, put into one tree.

use mlbuild_sif::squashfs::{FileId, Kind, Node, Tree, TreeError};

use crate::image::layer::{EntryKind, LayerEntry};

/// Layers have numbers from here on, so that others are left for what is added.
const LAYER: u64 = 1 << 32;

/// The content of a layer's entry.
pub(super) fn file_id(layer: usize, entry: u64) -> FileId {
    FileId((layer as u64 + 1) * LAYER + entry)
}

#[derive(Default)]
pub(super) struct Merge {
    pub(super) tree: Tree,
    layer: usize,
    entry: u64,
}

impl Merge {
    pub(super) fn begin_layer(&mut self, layer: usize) {
        self.tree.begin_layer();
        self.layer = layer;
        self.entry = 0;
    }

    pub(super) fn add(&mut self, entry: &LayerEntry) -> Result<(), TreeError> {
        let id = file_id(self.layer, self.entry);
        self.entry += 1;
        let path = entry.path.as_bytes();
        let link = || entry.link.clone().unwrap_or_default();
        let (major, minor) = entry.device.unwrap_or_default();
        let kind = match entry.kind {
            EntryKind::Whiteout => return self.tree.hide(path),
            EntryKind::Opaque => return self.tree.hide_contents(path),
            EntryKind::HardLink => return self.tree.link(path, &link()),
            EntryKind::File => Kind::File(id),
            EntryKind::Folder => Kind::folder(),
            EntryKind::Symlink => Kind::Symlink(link()),
            EntryKind::CharDevice => Kind::CharDevice(major, minor),
            EntryKind::BlockDevice => Kind::BlockDevice(major, minor),
            EntryKind::Fifo => Kind::Fifo,
        };
        let mut node = Node::new(kind, entry.mode);
        node.mtime = u32::try_from(entry.mtime.seconds.max(0)).unwrap_or(u32::MAX);
        node.xattrs.clone_from(&entry.xattrs);
        self.tree.put(path, node)
    }
}
