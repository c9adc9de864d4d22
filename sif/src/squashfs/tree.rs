//! The merged tree of an image's layers.
//!
//! A layer's paths lead through symbolic links of the layers below, as they do where the layers are unpacked
//! one over the other, and never out of the image. What a layer hides is hidden in the layers below alone.

use std::collections::BTreeMap;

use super::error::{MAJOR, MINOR, TreeError};
use super::walk::split;
use super::xattrs;

/// Longest target of a link, in bytes.
const LONGEST_TARGET: usize = 4095;
/// About what a node takes in memory beside its texts, and its map where it has one. Bytes.
const NODE: usize = 256;
const MAP: usize = 512;

/// What all layers together may take, so that a small image can't fill the memory or take hours.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of memory, whether or not an upper layer hides what takes them.
    pub bytes: usize,
    /// Folders and links that are looked at on the way to files.
    pub steps: usize,
}

impl Default for Limits {
    /// Far beyond any real image, which has a few hundred thousand files.
    fn default() -> Self {
        Self {
            bytes: 2 << 30,
            steps: 32_000_000,
        }
    }
}

/// A file's content, by the number of whoever adds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// Which of a tree's nodes.
pub type NodeId = usize;

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder, and what is in it.
    Folder(BTreeMap<Vec<u8>, Name>),
    /// A file.
    File(FileId),
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// A character device: major and minor number.
    CharDevice(u32, u32),
    /// A block device.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

impl Kind {
    /// An empty folder.
    pub fn folder() -> Self {
        Self::Folder(BTreeMap::new())
    }
}

/// What a name in a folder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    pub(super) node: NodeId,
    /// The last layer that had something to do with the name: a file's other names don't count.
    pub(super) layer: usize,
}

/// A file of any kind. Several names may have the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u16,
    /// When it was changed, in seconds since 1970.
    pub mtime: u32,
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Node {
    /// One of the beginning of time, without attributes.
    pub fn new(kind: Kind, mode: u32) -> Self {
        Self {
            kind,
            mode: (mode & 0o7777) as u16,
            mtime: 0,
            xattrs: BTreeMap::new(),
        }
    }

    /// What it takes in memory, about.
    fn bytes(&self) -> usize {
        let kind = match &self.kind {
            Kind::Folder(_) => MAP,
            Kind::Symlink(target) => target.len(),
            _ => 0,
        };
        NODE + kind + self.bytes_of_xattrs()
    }

    fn bytes_of_xattrs(&self) -> usize {
        let texts = self
            .xattrs
            .iter()
            .map(|(name, value)| name.len() + value.len());
        texts.sum::<usize>() + if self.xattrs.is_empty() { 0 } else { MAP }
    }

    /// Whether a file system can have it.
    fn check(&self) -> Result<(), TreeError> {
        match &self.kind {
            Kind::Symlink(target) if target.len() > LONGEST_TARGET => return Err(TreeError::Depth),
            Kind::CharDevice(major, minor) | Kind::BlockDevice(major, minor)
                if *major > MAJOR || *minor > MINOR =>
            {
                return Err(TreeError::Device(*major, *minor));
            }
            _ => {}
        }
        let mut all = self.xattrs.iter();
        match all.find(|(name, value)| !xattrs::can_be(name, value)) {
            Some((name, _)) => Err(TreeError::Attribute(name.clone())),
            None => Ok(()),
        }
    }
}

/// The tree. The root is its first node.
#[derive(Debug, Clone)]
pub struct Tree {
    pub(super) nodes: Vec<Node>,
    pub(super) layer: usize,
    /// What is left.
    left: Limits,
    limits: Limits,
    /// The folder that was found last, by its path, as long as nothing changed on the way.
    pub(super) last: Option<(Vec<u8>, NodeId)>,
}

impl Default for Tree {
    fn default() -> Self {
        Self::within(Limits::default())
    }
}

impl Tree {
    /// An empty tree that may take so much.
    pub fn within(limits: Limits) -> Self {
        Self {
            nodes: vec![Node::new(Kind::folder(), 0o755)],
            layer: 0,
            left: limits,
            limits,
            last: None,
        }
    }

    /// What comes from now on is a layer over what is there.
    pub fn begin_layer(&mut self) {
        self.layer += 1;
        self.last = None;
    }

    /// Puts a node at a path; a folder over a folder keeps what is in it.
    ///
    /// # Errors
    /// A path or a node that can't be, or is one too many.
    pub fn put(&mut self, path: &[u8], node: Node) -> Result<(), TreeError> {
        node.check()?;
        if path.is_empty() {
            return self.restate(0, node);
        }
        let (folder, name) = self.place(path)?;
        let there = self.child(folder, name);
        let merged = there.filter(|there| {
            let kinds = (&self.nodes[*there].kind, &node.kind);
            matches!(kinds, (Kind::Folder(_), Kind::Folder(_)))
        });
        let id = match merged {
            Some(there) => {
                self.restate(there, node)?;
                there
            }
            None => self.add(node)?,
        };
        self.enter(folder, name, id)
    }

    /// Another name for the file at `target`.
    ///
    /// # Errors
    /// A path that can't be, or a target that isn't there or is a folder.
    pub fn link(&mut self, path: &[u8], target: &[u8]) -> Result<(), TreeError> {
        let missing = || TreeError::NoTarget(target.to_vec());
        let there = self.find(target)?.ok_or_else(missing)?;
        if matches!(self.nodes[there].kind, Kind::Folder(_)) {
            return Err(missing());
        }
        let (folder, name) = self.place(path)?;
        self.enter(folder, name, there)
    }

    /// Hides what the layers below have at a path.
    ///
    /// # Errors
    /// Where the image takes too long.
    pub fn hide(&mut self, path: &[u8]) -> Result<(), TreeError> {
        let (folder, name) = split(path);
        let Some(folder) = self.folder(folder)? else {
            return Ok(());
        };
        let Some(there) = self
            .names(folder)
            .and_then(|names| names.get(name))
            .copied()
        else {
            return Ok(());
        };
        if there.layer == self.layer {
            return self.clear(there.node);
        }
        self.forget(folder, name);
        Ok(())
    }

    /// Hides what the layers below have in a folder.
    ///
    /// # Errors
    /// Where the image takes too long.
    pub fn hide_contents(&mut self, path: &[u8]) -> Result<(), TreeError> {
        match self.folder(path)? {
            Some(folder) => self.clear(folder),
            None => Ok(()),
        }
    }

    /// Takes what is at a path away, whichever layer it is of; true where something was there.
    ///
    /// # Errors
    /// Where the image takes too long.
    pub fn remove(&mut self, path: &[u8]) -> Result<bool, TreeError> {
        let (folder, name) = split(path);
        let folder = self.folder(folder)?;
        Ok(folder.is_some_and(|folder| self.forget(folder, name)))
    }

    /// What there is at a path, links at its end not followed.
    ///
    /// # Errors
    /// Where the image takes too long.
    pub fn at(&mut self, path: &[u8]) -> Result<Option<&Kind>, TreeError> {
        let found = self.find(path)?;
        Ok(found.map(|id| &self.nodes[id].kind))
    }

    /// The contents that the tree has, each once.
    pub fn files(&self) -> std::collections::HashSet<FileId> {
        let mut found = std::collections::HashSet::new();
        let mut waiting = vec![0];
        while let Some(id) = waiting.pop() {
            match &self.nodes[id].kind {
                Kind::Folder(names) => waiting.extend(names.values().map(|name| name.node)),
                Kind::File(file) => drop(found.insert(*file)),
                _ => {}
            }
        }
        found
    }

    fn find(&mut self, path: &[u8]) -> Result<Option<NodeId>, TreeError> {
        let (folder, name) = split(path);
        let folder = self.folder(folder)?;
        Ok(folder.and_then(|folder| self.child(folder, name)))
    }

    fn names(&self, folder: NodeId) -> Option<&BTreeMap<Vec<u8>, Name>> {
        match &self.nodes[folder].kind {
            Kind::Folder(names) => Some(names),
            _ => None,
        }
    }

    pub(super) fn names_mut(&mut self, folder: NodeId) -> Option<&mut BTreeMap<Vec<u8>, Name>> {
        match &mut self.nodes[folder].kind {
            Kind::Folder(names) => Some(names),
            _ => None,
        }
    }

    pub(super) fn child(&self, folder: NodeId, name: &[u8]) -> Option<NodeId> {
        Some(self.names(folder)?.get(name)?.node)
    }

    pub(super) fn add(&mut self, node: Node) -> Result<NodeId, TreeError> {
        self.take(node.bytes())?;
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    pub(super) fn enter(
        &mut self,
        folder: NodeId,
        name: &[u8],
        node: NodeId,
    ) -> Result<(), TreeError> {
        self.take(NODE / 4 + name.len())?;
        let layer = self.layer;
        let Some(names) = self.names_mut(folder) else {
            return Ok(());
        };
        let old = names.insert(name.to_vec(), Name { node, layer });
        if old.is_some_and(|old| old.node != node) {
            self.last = None;
        }
        Ok(())
    }

    fn forget(&mut self, folder: NodeId, name: &[u8]) -> bool {
        self.last = None;
        let names = self.names_mut(folder);
        names.is_some_and(|names| names.remove(name).is_some())
    }

    fn restate(&mut self, id: NodeId, new: Node) -> Result<(), TreeError> {
        self.take(new.bytes_of_xattrs())?;
        let node = &mut self.nodes[id];
        node.mode = new.mode;
        node.mtime = new.mtime;
        node.xattrs = new.xattrs;
        Ok(())
    }

    /// Takes away what lower layers have in a folder.
    fn clear(&mut self, folder: NodeId) -> Result<(), TreeError> {
        self.last = None;
        let layer = self.layer;
        let mut waiting = vec![folder];
        while let Some(id) = waiting.pop() {
            self.step(1 + self.names(id).map_or(0, BTreeMap::len))?;
            if let Some(names) = self.names_mut(id) {
                names.retain(|_, name| name.layer == layer);
                waiting.extend(names.values().map(|name| name.node));
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: usize) -> Result<(), TreeError> {
        let left = self.left.bytes.checked_sub(bytes);
        self.left.bytes = left.ok_or(TreeError::TooMuch(self.limits.bytes))?;
        Ok(())
    }

    pub(super) fn step(&mut self, count: usize) -> Result<(), TreeError> {
        let left = self.left.steps.checked_sub(count);
        self.left.steps = left.ok_or(TreeError::TooFar(self.limits.steps))?;
        Ok(())
    }
}
