//! The way to a path's folder, through folders and links.

use std::collections::VecDeque;

use super::error::TreeError;
use super::tree::{Kind, Node, NodeId, Tree};

/// Longest name of a file, in bytes.
pub(super) const LONGEST_NAME: usize = 255;
/// How deep folders may lie in each other.
const DEEPEST: usize = 2048;
/// How many links a path may lead through.
pub(super) const HOPS: usize = 40;

/// A folder on the way, and the name by which the one before it has it.
type Place = (NodeId, Vec<u8>);

impl Tree {
    /// The folder that a path is in, which is made, and the last name.
    pub(super) fn place<'a>(&mut self, path: &'a [u8]) -> Result<(NodeId, &'a [u8]), TreeError> {
        let (folder, name) = split(path);
        if name.len() > LONGEST_NAME {
            return Err(TreeError::Name);
        }
        if let Some(known) = self.known(folder) {
            return Ok((known, name));
        }
        let trail = self.walk(folder, true)?.unwrap_or_default();
        let (mut here, layer) = (0, self.layer);
        for (id, name) in trail {
            if let Some(there) = self.names_mut(here).and_then(|names| names.get_mut(&name)) {
                there.layer = layer;
            }
            here = id;
        }
        self.last = Some((folder.to_vec(), here));
        Ok((here, name))
    }

    /// The folder at a path, links followed.
    pub(super) fn folder(&mut self, path: &[u8]) -> Result<Option<NodeId>, TreeError> {
        if let Some(known) = self.known(path) {
            return Ok(Some(known));
        }
        match self.walk(path, false) {
            Ok(trail) => Ok(trail.map(|trail| here(&trail))),
            Err(TreeError::Loop | TreeError::Depth) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn known(&self, path: &[u8]) -> Option<NodeId> {
        let (known, id) = self.last.as_ref()?;
        (known == path).then_some(*id)
    }

    /// The folders from below the root to the one at a path; `None` where there is no way, and none is made.
    fn walk(&mut self, path: &[u8], makes: bool) -> Result<Option<Vec<Place>>, TreeError> {
        let mut left: VecDeque<Vec<u8>> = names(path).collect();
        let (mut trail, mut hops) = (Vec::new(), 0);
        while let Some(name) = left.pop_front() {
            self.step(1)?;
            // Up; never out.
            if name == b".." {
                trail.pop();
                continue;
            }
            let found = self.child(here(&trail), &name);
            match found.map(|id| (id, &self.nodes[id].kind)) {
                Some((id, Kind::Folder(_))) => trail.push((id, name)),
                Some((_, Kind::Symlink(target))) => {
                    hops += 1;
                    if hops > HOPS {
                        return Err(TreeError::Loop);
                    }
                    if target.first() == Some(&b'/') {
                        trail.clear();
                    }
                    let onward: Vec<_> = names(target).collect();
                    onward
                        .into_iter()
                        .rev()
                        .for_each(|name| left.push_front(name));
                }
                _ if !makes => return Ok(None),
                // Nothing, or something that is no folder and gives way to one.
                _ => {
                    if name.len() > LONGEST_NAME {
                        return Err(TreeError::Name);
                    }
                    let new = self.add(Node::new(Kind::folder(), 0o755))?;
                    self.enter(here(&trail), &name, new)?;
                    trail.push((new, name));
                }
            }
            if trail.len() >= DEEPEST {
                return Err(TreeError::Depth);
            }
        }
        Ok(Some(trail))
    }
}

fn here(trail: &[Place]) -> NodeId {
    trail.last().map_or(0, |(id, _)| *id)
}

fn names(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let names = path.split(|byte| *byte == b'/');
    names
        .filter(|name| !matches!(*name, b"" | b"."))
        .map(<[u8]>::to_vec)
}

/// The path of the folder, and the last name.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    }
}
