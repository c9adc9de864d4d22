//! The merged tree of an image's layers.
//!
//! A layer's paths lead through symbolic links of the layers below, as they do where the layers are unpacked
//! one over the other, and never out of the image. What a layer hides is hidden in the layers below alone.

use std::collections::{BTreeMap, VecDeque};

/// Longest name of a file, and longest path and target of a link, in bytes.
const LONGEST_NAME: usize = 255;
const LONGEST_PATH: usize = 4095;
/// How deep folders may lie in each other.
const DEEPEST: usize = 2048;
/// How many links a path may lead through.
const HOPS: usize = 40;
/// How many files a tree may have.
const MOST: usize = 8_000_000;

/// A file's content, by the number of whoever adds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// Which of a tree's nodes.
pub type NodeId = usize;

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder, and what is in it.
    Folder(BTreeMap<Vec<u8>, NodeId>),
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
    /// The last layer that had something to do with it.
    layer: usize,
}

impl Node {
    /// One of the beginning of time, without attributes.
    pub fn new(kind: Kind, mode: u32) -> Self {
        Self {
            kind,
            mode: (mode & 0o7777) as u16,
            mtime: 0,
            xattrs: BTreeMap::new(),
            layer: 0,
        }
    }
}

/// Why a layer can't be put on what is below it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Links lead in a circle, or through too many.
    #[error("it leads through more than {HOPS} symbolic links")]
    Loop,
    /// A name is too long for a file system.
    #[error("a name of it is longer than {LONGEST_NAME} bytes")]
    Name,
    /// A path is too long, or too deep.
    #[error("it is longer or deeper than Linux allows")]
    Depth,
    /// A hard link to what isn't there.
    #[error("it is a hard link to `{}`, which isn't a file that is there", String::from_utf8_lossy(.0))]
    NoTarget(Vec<u8>),
    /// There are too many files.
    #[error("the image has more than {MOST} files")]
    TooMany,
}

/// The tree. The root is its first node.
#[derive(Debug, Clone)]
pub struct Tree {
    pub(super) nodes: Vec<Node>,
    layer: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            nodes: vec![Node::new(Kind::folder(), 0o755)],
            layer: 0,
        }
    }
}

impl Tree {
    /// What comes from now on is a layer over what is there.
    pub fn begin_layer(&mut self) {
        self.layer += 1;
    }

    /// Puts a node at a path; a folder over a folder keeps what is in it.
    ///
    /// # Errors
    /// A path that can't be.
    pub fn put(&mut self, path: &[u8], mut node: Node) -> Result<(), TreeError> {
        if let Kind::Symlink(target) = &node.kind
            && target.len() > LONGEST_PATH
        {
            return Err(TreeError::Depth);
        }
        node.layer = self.layer;
        if path.is_empty() {
            self.restate(0, node);
            return Ok(());
        }
        let (folder, name) = self.place(path)?;
        if let (Some(there), Kind::Folder(_)) = (self.child(folder, name), &node.kind)
            && matches!(self.nodes[there].kind, Kind::Folder(_))
        {
            self.restate(there, node);
            return Ok(());
        }
        let id = self.add(node)?;
        self.enter(folder, name, id);
        Ok(())
    }

    /// Another name for the file at `target`.
    ///
    /// # Errors
    /// A path that can't be, or a target that isn't there or is a folder.
    pub fn link(&mut self, path: &[u8], target: &[u8]) -> Result<(), TreeError> {
        let missing = || TreeError::NoTarget(target.to_vec());
        let there = self.find(target).ok_or_else(missing)?;
        if matches!(self.nodes[there].kind, Kind::Folder(_)) {
            return Err(missing());
        }
        let (folder, name) = self.place(path)?;
        self.nodes[there].layer = self.layer;
        self.enter(folder, name, there);
        Ok(())
    }

    /// Hides what the layers below have at a path.
    pub fn hide(&mut self, path: &[u8]) {
        let (folder, name) = split(path);
        let Some(folder) = self.folder(folder) else {
            return;
        };
        let Some(there) = self.child(folder, name) else {
            return;
        };
        if self.nodes[there].layer < self.layer {
            if let Kind::Folder(names) = &mut self.nodes[folder].kind {
                names.remove(name);
            }
        } else {
            self.clear(there);
        }
    }

    /// Hides what the layers below have in a folder.
    pub fn hide_contents(&mut self, path: &[u8]) {
        if let Some(folder) = self.folder(path) {
            self.clear(folder);
        }
    }

    /// Takes what is at a path away, whichever layer it is of.
    pub fn remove(&mut self, path: &[u8]) {
        let (folder, name) = split(path);
        if let Some(folder) = self.folder(folder)
            && let Kind::Folder(names) = &mut self.nodes[folder].kind
        {
            names.remove(name);
        }
    }

    /// Whether there is something at a path.
    pub fn has(&self, path: &[u8]) -> bool {
        self.find(path).is_some()
    }

    /// The contents that the tree has, each once.
    pub fn files(&self) -> std::collections::HashSet<FileId> {
        let mut found = std::collections::HashSet::new();
        let mut waiting = vec![0];
        while let Some(id) = waiting.pop() {
            match &self.nodes[id].kind {
                Kind::Folder(names) => waiting.extend(names.values()),
                Kind::File(file) => drop(found.insert(*file)),
                _ => {}
            }
        }
        found
    }

    /// What lies at a path, links at its end not followed.
    pub(super) fn find(&self, path: &[u8]) -> Option<NodeId> {
        let (folder, name) = split(path);
        self.child(self.folder(folder)?, name)
    }

    fn child(&self, folder: NodeId, name: &[u8]) -> Option<NodeId> {
        match &self.nodes[folder].kind {
            Kind::Folder(names) => names.get(name).copied(),
            _ => None,
        }
    }

    fn add(&mut self, node: Node) -> Result<NodeId, TreeError> {
        if self.nodes.len() >= MOST {
            return Err(TreeError::TooMany);
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    fn enter(&mut self, folder: NodeId, name: &[u8], id: NodeId) {
        if let Kind::Folder(names) = &mut self.nodes[folder].kind {
            names.insert(name.to_vec(), id);
        }
    }

    fn restate(&mut self, id: NodeId, new: Node) {
        let node = &mut self.nodes[id];
        node.mode = new.mode;
        node.mtime = new.mtime;
        node.xattrs = new.xattrs;
        node.layer = new.layer;
    }

    /// Takes away what lower layers have in a folder.
    fn clear(&mut self, folder: NodeId) {
        let mut waiting = vec![folder];
        while let Some(id) = waiting.pop() {
            let Kind::Folder(names) = &self.nodes[id].kind else {
                continue;
            };
            let is_new = |id: &NodeId| self.nodes[*id].layer >= self.layer;
            let kept: BTreeMap<_, _> = names
                .iter()
                .filter(|(_, id)| is_new(id))
                .map(|(name, id)| (name.clone(), *id))
                .collect();
            waiting.extend(kept.values());
            self.nodes[id].kind = Kind::Folder(kept);
        }
    }

    /// The folder that a path is in, which is made, and the last name.
    fn place<'a>(&mut self, path: &'a [u8]) -> Result<(NodeId, &'a [u8]), TreeError> {
        let (folder, name) = split(path);
        if name.len() > LONGEST_NAME {
            return Err(TreeError::Name);
        }
        let mut walk = Walk::new(folder);
        while let Some(name) = walk.names.pop_front() {
            let here = walk.here();
            match self.child(here, &name) {
                Some(next) if !walk.step(self, next)? => {}
                // Nothing, or something that is no folder and gives way to one.
                _ => {
                    if name.len() > LONGEST_NAME {
                        return Err(TreeError::Name);
                    }
                    let new = self.add(Node::new(Kind::folder(), 0o755))?;
                    self.enter(here, &name, new);
                    walk.trail.push(new);
                    walk.back();
                }
            }
            if walk.trail.len() > DEEPEST {
                return Err(TreeError::Depth);
            }
        }
        for id in &walk.trail {
            self.nodes[*id].layer = self.layer;
        }
        Ok((walk.here(), name))
    }

    /// The folder at a path, links followed.
    fn folder(&self, path: &[u8]) -> Option<NodeId> {
        let mut walk = Walk::new(path);
        while let Some(name) = walk.names.pop_front() {
            let next = self.child(walk.here(), &name)?;
            if walk.step(self, next).ok()? {
                return None;
            }
        }
        Some(walk.here())
    }
}

/// A way through folders and links.
struct Walk {
    names: VecDeque<Vec<u8>>,
    trail: Vec<NodeId>,
    hops: usize,
}

impl Walk {
    fn new(path: &[u8]) -> Self {
        Self {
            names: names(path).collect(),
            trail: vec![0],
            hops: 0,
        }
    }

    fn here(&self) -> NodeId {
        self.trail.last().copied().unwrap_or_default()
    }

    /// Goes into a folder, or after a link; true where there is no way on.
    fn step(&mut self, tree: &Tree, next: NodeId) -> Result<bool, TreeError> {
        match &tree.nodes[next].kind {
            Kind::Folder(_) => self.trail.push(next),
            Kind::Symlink(target) => {
                self.hops += 1;
                if self.hops > HOPS {
                    return Err(TreeError::Loop);
                }
                if target.first() == Some(&b'/') {
                    self.trail.truncate(1);
                }
                for name in names(target).collect::<Vec<_>>().into_iter().rev() {
                    self.names.push_front(name);
                }
            }
            _ => return Ok(true),
        }
        self.back();
        Ok(false)
    }

    /// Goes up, where that comes next; never out.
    fn back(&mut self) {
        while self.names.front().is_some_and(|name| name == b"..") {
            self.names.pop_front();
            if self.trail.len() > 1 {
                self.trail.pop();
            }
        }
    }
}

fn names(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let names = path.split(|byte| *byte == b'/');
    names
        .filter(|name| !matches!(*name, b"" | b"."))
        .map(<[u8]>::to_vec)
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    }
}
