//! Whether another base takes what stays of an image, and in what the image then differs from one that would be
//! assembled there.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use mlbuild_wheels::WheelName;
use tokio::runtime::Handle;

use super::error::RebaseError;
use super::source::OldImage;
use crate::assemble::BaseFacts;
use crate::assembly::takes_libc;
use crate::image::layer::{EntryKind, LayerEntry, LayerLimits, read_layer};
use crate::image::pack::OwnLayer;
use crate::registry::Registry;

/// What would be otherwise in an image that is assembled on the base, each for people.
///
/// # Errors
/// Why the base doesn't take the packages, as what it does or has.
pub fn check(old: &OldImage, facts: &BaseFacts) -> Result<Vec<String>, String> {
    let note = &old.note;
    let (was, is) = (&note.python, &facts.venv.version);
    // Before a release bytecode of one build may mean nothing to the next.
    let is_release = |version: &str| version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let is_same_minor = was.starts_with(&format!("{}.", facts.python));
    if !is_same_minor || (was != is && !(is_release(was) && is_release(is))) {
        return Err(format!(
            "has Python {is}, and the image's packages are installed for {was}"
        ));
    }
    if let Some(needs) = &note.libc
        && !takes_libc(needs, facts.platform.libc)
    {
        let has = facts.platform.libc;
        return Err(format!("has {has}, and the image's packages need {needs}"));
    }
    let mut differs = Vec::new();
    if was != is && note.bytecode {
        differs.push(format!(
            "the packages keep the bytecode of Python {was}, which {is} takes"
        ));
    }
    differs.extend(bundled(old, facts));
    Ok(differs)
}

/// The wheels that the base's Python would bring, and the image has others of.
fn bundled(old: &OldImage, facts: &BaseFacts) -> Vec<String> {
    let was = &old.note.bundled;
    let installed = installed(old);
    let name = |file: &str| WheelName::parse(file).map(|wheel| wheel.name).ok();
    let mut differs = Vec::new();
    for (file, sha256) in facts.bundled_beside(&[]) {
        let is_kept = was.get(&file) == Some(&sha256);
        let of_name = was.keys().find(|old| name(old) == name(&file));
        match of_name {
            _ if is_kept => {}
            Some(old) => differs.push(format!("{old} stays, and this base brings {file}")),
            // Packages that were asked for take its place.
            None if name(&file).is_some_and(|name| installed.contains(&name)) => {}
            None => differs.push(format!("this base brings {file}, which the image lacks")),
        }
    }
    let new = facts.bundled_beside(&[]);
    for old in was.keys() {
        if new.keys().all(|file| name(file) != name(old)) {
            differs.push(format!("{old} stays, which this base doesn't bring"));
        }
    }
    differs
}

/// Names of the image's packages, by the history: `mlbuild: click 8.1.7, six 1.17.0`.
fn installed(old: &OldImage) -> BTreeSet<String> {
    let layers = old.kept().iter();
    let lists = layers.filter_map(|layer| layer.about.strip_prefix("mlbuild: "));
    let names = lists.flat_map(|list| list.split(", "));
    names
        .filter_map(|package| Some(package.split_once(' ')?.0.to_owned()))
        .collect()
}

/// Whether the layers of the code are those that would be made on the base: they have the folders above the files as
/// the base has them. The inner error says why not, as what the base does or has.
///
/// # Errors
/// A layer that can't be read.
pub fn check_code(
    old: &OldImage,
    facts: &BaseFacts,
    registry: &Registry,
) -> Result<Result<(), String>, RebaseError> {
    let above: BTreeSet<&str> = old.note.folders.iter().flat_map(|f| folders(f)).collect();
    let mut unfit = None;
    for OwnLayer { layer, .. } in old.codes() {
        let stream = registry.open_blob(&old.reference, &layer.blob, &Handle::current())?;
        let limits = LayerLimits::for_blob(layer.blob.size());
        read_layer(stream, layer, &limits, &mut |entry, _| {
            if entry.kind == EntryKind::Folder && unfit.is_none() {
                unfit = unfit_folder(entry, facts, &above, old.epoch);
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    let unfit = unfit.map(|why| why.strip_prefix("the base ").unwrap_or(&why).to_owned());
    Ok(unfit.map_or(Ok(()), Err))
}

/// Why the base doesn't take a folder of the code as it is; `above` are folders that the base may have.
fn unfit_folder(
    entry: &LayerEntry,
    facts: &BaseFacts,
    above: &BTreeSet<&str>,
    epoch: i64,
) -> Option<String> {
    let path = String::from_utf8_lossy(entry.path.as_bytes()).into_owned();
    let made = match facts.folder(&path, epoch) {
        Err(error) => return Some(error.to_string()),
        Ok(made) => made,
    };
    if !above.contains(path.as_str()) {
        return None;
    }
    let of = |mode: u32, uid: u64, gid: u64| format!("{mode:o} of {uid}:{gid}");
    let has = of(made.mode, made.uid, made.gid);
    let was = of(entry.mode, entry.uid, entry.gid);
    (has != was)
        .then(|| format!("has /{path} as {has}, and the image's code was put there as {was}"))
}

/// A folder with all above it, without the slash before: `/srv/app` is `srv` and `srv/app`.
fn folders(folder: &str) -> impl Iterator<Item = &str> {
    let path = folder.trim_start_matches('/');
    let above = path.match_indices('/').map(move |(at, _)| &path[..at]);
    above.chain([path])
}

#[cfg(test)]
mod tests {
    use super::folders;

    #[test]
    fn a_folder_has_those_above_it() {
        let all: Vec<&str> = folders("/srv/a/b").collect();
        assert_eq!(all, ["srv", "srv/a", "srv/a/b"]);
        assert_eq!(folders("/app").collect::<Vec<_>>(), ["app"]);
    }
}
