//! The image's user without running anything: what the steps of a composed Dockerfile do to the
//! account files, the home folder and the folders that the user gets.
//!
//! The rules are those of `templates/src/compose/user.rs`: the new line goes right below the first
//! (for id 0: above it), in place of an older account of the same name.

use std::collections::BTreeMap;

use super::error::AssembleError;
use super::facts::{BaseFacts, entry};
use super::tree::{Known, Node};
use crate::image::layer::{EntryKind, LayerEntry};

/// An account, and the folders that are its.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name, and its group's.
    pub name: String,
    /// Its id.
    pub uid: u64,
    /// Its group's id.
    pub gid: u64,
    /// Folders that it gets (not what is in them), absolute.
    pub folders: Vec<String>,
}

/// Entries of a layer by path.
type Entries = BTreeMap<String, (LayerEntry, Vec<u8>)>;

impl Account {
    /// The layer that makes it on a base, sorted.
    ///
    /// # Errors
    /// [`AssembleError::Unfit`] where the base has its files in another form, or a home folder of
    /// that name.
    pub fn layer(
        &self,
        facts: &BaseFacts,
        epoch: i64,
    ) -> Result<Vec<(LayerEntry, Vec<u8>)>, AssembleError> {
        let mut entries = Entries::new();
        if self.name == "root" {
            if self.uid != 0 {
                let why = format!("has root as user 0, and not as {}", self.uid);
                return Err(AssembleError::Unfit(why));
            }
        } else {
            self.files(facts, epoch, &mut entries)?;
            self.home(facts, epoch, &mut entries)?;
        }
        for folder in self.folders.iter().filter(|folder| *folder != "/") {
            let path = folder.trim_start_matches('/');
            parents(path, facts, epoch, &mut entries)?;
            let made = facts.folder(path, epoch)?;
            entries.insert(path.to_owned(), (self.owned(made), Vec::new()));
        }
        Ok(entries.into_values().collect())
    }

    /// The account files.
    fn files(
        &self,
        facts: &BaseFacts,
        epoch: i64,
        entries: &mut Entries,
    ) -> Result<(), AssembleError> {
        let (name, uid, gid) = (&self.name, self.uid, self.gid);
        let is_program = |path: &str| {
            let real = facts.tree.resolve(path);
            let known = real.and_then(|real| facts.tree.at(&real));
            known.is_some_and(|known| known.mode & 0o111 != 0)
        };
        let shell = if is_program("bin/bash") {
            "/bin/bash"
        } else {
            "/bin/sh"
        };
        let files = [
            (
                "etc/passwd",
                format!("{name}:x:{uid}:{gid}::/home/{name}:{shell}"),
                uid,
                "root:x:0:0:root:/root:/bin/sh\n",
            ),
            ("etc/group", format!("{name}:x:{gid}:"), gid, "root:x:0:\n"),
            ("etc/shadow", format!("{name}:*::0:99999:7:::"), 1, ""),
        ];
        parents("etc/passwd", facts, epoch, entries)?;
        for (path, line, id, usual) in files {
            let known = facts.tree.at(path);
            let (text, attributes) = match known.map(|known| (&known.node, known)) {
                Some((Node::File(Some(bytes)), known)) if !bytes.is_empty() => {
                    (bytes.as_slice(), Some(known))
                }
                Some((Node::File(_) | Node::Wheel(..), known)) => (usual.as_bytes(), Some(known)),
                None => (usual.as_bytes(), None),
                Some(_) => {
                    let why = format!("has no plain file at /{path}");
                    return Err(AssembleError::Unfit(why));
                }
            };
            if text.is_empty() {
                continue;
            }
            let text = put(&String::from_utf8_lossy(text), name, &line, id);
            let mut file = entry(path, EntryKind::File, 0o644, epoch);
            if let Some(known) = attributes {
                (file.mode, file.uid, file.gid) = (known.mode, known.uid, known.gid);
            }
            file.size = text.len() as u64;
            entries.insert(path.to_owned(), (file, text.into_bytes()));
        }
        Ok(())
    }

    /// The home folder, with what new ones get.
    fn home(
        &self,
        facts: &BaseFacts,
        epoch: i64,
        entries: &mut Entries,
    ) -> Result<(), AssembleError> {
        let home = format!("home/{}", self.name);
        if facts.tree.at(&home).is_some() {
            let why = format!("has something at /{home} already");
            return Err(AssembleError::Unfit(why));
        }
        parents(&home, facts, epoch, entries)?;
        let made = self.owned(facts.folder(&home, epoch)?);
        entries.insert(home.clone(), (made, Vec::new()));
        for (path, known) in facts.tree.inside("etc/skel") {
            let to = format!("{home}{}", &path["etc/skel".len()..]);
            let (made, content) = copied(&to, known, epoch);
            entries.insert(to, (self.owned(made), content));
        }
        Ok(())
    }

    fn owned(&self, entry: LayerEntry) -> LayerEntry {
        LayerEntry {
            uid: self.uid,
            gid: self.gid,
            ..entry
        }
    }
}

/// An entry as `cp -R` copies it.
fn copied(path: &str, known: &Known, epoch: i64) -> (LayerEntry, Vec<u8>) {
    let mode = known.mode & 0o755;
    match &known.node {
        Node::Folder => (entry(path, EntryKind::Folder, mode, epoch), Vec::new()),
        Node::Link(target) => {
            let mut link = entry(path, EntryKind::Symlink, 0o777, epoch);
            link.link = Some(target.clone().into_bytes());
            (link, Vec::new())
        }
        Node::File(_) | Node::Wheel(..) => {
            let content = match &known.node {
                Node::File(Some(content)) => content.clone(),
                _ => Vec::new(),
            };
            let mut file = entry(path, EntryKind::File, mode, epoch);
            file.size = content.len() as u64;
            (file, content)
        }
    }
}

/// The folders above a path.
fn parents(
    path: &str,
    facts: &BaseFacts,
    epoch: i64,
    entries: &mut Entries,
) -> Result<(), AssembleError> {
    for (at, _) in path.match_indices('/') {
        let folder = &path[..at];
        if !entries.contains_key(folder) {
            let made = facts.folder(folder, epoch)?;
            entries.insert(folder.to_owned(), (made, Vec::new()));
        }
    }
    Ok(())
}

/// The lines with this one below the first (for id 0: above it), without those of the same name.
fn put(text: &str, name: &str, line: &str, id: u64) -> String {
    let is_other = |old: &&str| old.split(':').next() != Some(name);
    let mut lines: Vec<&str> = Vec::new();
    for (at, old) in text.lines().enumerate() {
        if at == 0 && id == 0 {
            lines.push(line);
        }
        lines.extend(Some(old).filter(is_other));
        if at == 0 && id != 0 {
            lines.push(line);
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_up_by_id_finds_the_new_line_first() {
        let old = "root:x:0:0::/root:/bin/sh\nann:x:7:7::/:/bin/sh\nme:x:1000:1000::/:/bin/sh";
        let new = "ann:x:1000:1000::/home/ann:/bin/sh";
        assert_eq!(
            put(old, "ann", new, 1000),
            format!("root:x:0:0::/root:/bin/sh\n{new}\nme:x:1000:1000::/:/bin/sh\n")
        );
        assert_eq!(
            put("root:x:0:\n", "ann", "ann:x:0:", 0),
            "ann:x:0:\nroot:x:0:\n"
        );
    }
}
