//! The entries of the last layer: read whole, given to the new user, and written again.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::accounts::Change;
use super::error::{Remedy, ReownError};
use crate::image::ImageLayer;
use crate::image::layer::{
    EntryKind, EntryPath, LayerEntry, LayerError, LayerLimits, read_layer, write_tar,
};

/// What the last layer may unpack to, in bytes: it is held in memory.
const MAX_UNPACKED: u64 = 128 << 20;
/// Attributes that name ids of their own.
const ACCESS_LISTS: &[u8] = b"system.posix_acl_";

/// A layer in memory, sorted. What it holds and what it hides are apart: a path may be both.
pub(super) type Entries = BTreeMap<(EntryPath, bool), (LayerEntry, Vec<u8>)>;

pub(super) fn read(blob: &[u8], layer: &ImageLayer) -> Result<Entries, LayerError> {
    let mut entries = Entries::new();
    let limits = LayerLimits::in_memory(MAX_UNPACKED);
    read_layer(blob, layer, &limits, &mut |entry, content| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        let key = (entry.path.clone(), is_below(entry));
        entries.insert(key, (entry.clone(), bytes));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(entries)
}

/// True for what speaks of the layers below.
fn is_below(entry: &LayerEntry) -> bool {
    matches!(entry.kind, EntryKind::Whiteout | EntryKind::Opaque)
}

/// The content of a file.
pub(super) fn content<'a>(entries: &'a Entries, path: &str) -> Option<&'a [u8]> {
    let (entry, bytes) = entries.get(&(EntryPath::from(path), false))?;
    (entry.kind == EntryKind::File).then_some(bytes.as_slice())
}

/// The owner of a folder.
pub(super) fn folder_owner(entries: &Entries, path: &str) -> Option<u64> {
    let (entry, _) = entries.get(&(EntryPath::from(path), false))?;
    (entry.kind == EntryKind::Folder).then_some(entry.uid)
}

/// Gives what was the old user's to the new one, and counts it.
pub(super) fn change(entries: &mut Entries, change: &Change) -> Result<usize, ReownError> {
    let moves = Moves::new(change);
    if let Some(moves) = &moves
        && let Some((path, _)) = entries.keys().find(|(path, _)| path.is_in(moves.to))
    {
        return Err(ReownError::refused(
            format!("it has {path} already"),
            Remedy::OtherName,
        ));
    }
    let mut changed = 0;
    let old = std::mem::take(entries);
    for (_, (mut entry, mut content)) in old {
        let before = (entry.clone(), content.len());
        if entry.kind == EntryKind::File
            && let Some(new) = change.account_file(entry.path.as_bytes(), &content)
        {
            let is_other = new != content;
            content = new;
            entry.size = content.len() as u64;
            changed += usize::from(is_other);
        }
        if !is_below(&entry) {
            give(&mut entry, change)?;
            if let Some(moves) = &moves {
                moves.apply(&mut entry);
            }
        }
        changed += usize::from(before.0.uid != entry.uid || before.0.gid != entry.gid);
        entries.insert((entry.path.clone(), is_below(&entry)), (entry, content));
    }
    Ok(changed)
}

/// Changes an entry's owner, if it is the old user's.
fn give(entry: &mut LayerEntry, change: &Change) -> Result<(), ReownError> {
    let (was, now) = (&change.was, &change.now);
    let (uid, gid) = (entry.uid, entry.gid);
    if uid == was.uid {
        entry.uid = now.uid;
    }
    // A group that others share is the user's only where the file is.
    let is_account = change.account_file(entry.path.as_bytes(), &[]).is_some();
    let of_group = change.has_own_group && was.gid != 0 && !is_account;
    if gid == was.gid && (uid == was.uid || of_group) {
        entry.gid = now.gid;
    }
    if (uid, gid) != (entry.uid, entry.gid) {
        // Names of the machine that built it; ids count.
        entry.uname.clear();
        entry.gname.clear();
        if entry.xattrs.keys().any(|key| key.starts_with(ACCESS_LISTS)) {
            return Err(ReownError::refused(
                format!(
                    "{} has an access list, which may name the old ids",
                    entry.path
                ),
                Remedy::BuildForOwner,
            ));
        }
    }
    Ok(())
}

/// The home folder's way from the old name to the new one, without leading `/`.
struct Moves<'a> {
    from: &'a [u8],
    to: &'a [u8],
}

impl<'a> Moves<'a> {
    fn new(change: &'a Change) -> Option<Self> {
        let path = |home: &'a Option<String>| home.as_deref()?.as_bytes().strip_prefix(b"/");
        let (from, to) = (path(&change.was.home)?, path(&change.now.home)?);
        (from != to).then_some(Self { from, to })
    }

    fn apply(&self, entry: &mut LayerEntry) {
        if let Some(path) = entry.path.moved(self.from, self.to) {
            entry.path = path;
        }
        let Some(link) = &entry.link else { return };
        let is_absolute = link.starts_with(b"/");
        if is_absolute || entry.kind == EntryKind::HardLink {
            let text = String::from_utf8_lossy(link).into_owned();
            if let Some(moved) = EntryPath::from(text.as_str()).moved(self.from, self.to) {
                let slash: &[u8] = if is_absolute { b"/" } else { b"" };
                entry.link = Some([slash, moved.as_bytes()].concat());
            }
        }
    }
}

/// Files that mention the old home folder, where that has a new name.
pub(super) fn mentions(entries: &Entries, change: &Change) -> Vec<String> {
    let Some(home) = change
        .was
        .home
        .as_ref()
        .filter(|_| change.was.home != change.now.home)
    else {
        return Vec::new();
    };
    let holds = |content: &[u8]| content.windows(home.len()).any(|w| w == home.as_bytes());
    let files = entries.values().filter(|(_, content)| holds(content));
    files.map(|(entry, _)| entry.path.to_string()).collect()
}

/// The layer's tar: sorted as a tree is walked, hard links after what they lead to.
pub(super) fn tar(entries: Entries) -> Vec<u8> {
    let all = entries.into_values();
    let (links, mut rest): (Vec<_>, Vec<_>) =
        all.partition(|(entry, _)| entry.kind == EntryKind::HardLink);
    rest.extend(links);
    write_tar(&rest)
}
