//! The layers of an image's code, which is in no index: what they hold is taken as it is, where it is nothing but
//! what a project's files may be, and is written as mlbuild writes it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use tokio::runtime::Handle;

use super::error::VerifyError;
use crate::assemble::BaseFacts;
use crate::assembly::{Assembly, PREFIX};
use crate::build::repack;
use crate::image::ImageLayer;
use crate::image::layer::{EntryKind, LayerEntry, LayerLimits, read_layer};
use crate::image::pack::{OwnLayer, PackedFolder, write_layer};
use crate::plan::Compression;
use crate::rebase::RebaseError;
use crate::rebase::source::OldImage;
use crate::registry::Registry;

/// Where no project's files are: programs and libraries of the base, and what its system reads.
const SYSTEM: [&str; 12] = [
    "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys",
];

/// Files that the format for lazy pulls adds: who writes a layer drops those that come in, and writes its own.
const OF_ESTARGZ: [&[u8]; 2] = [b"stargz.index.json", b".no.prefetch.landmark"];

/// The layers as they are written once more; or why one isn't of code alone.
///
/// # Errors
/// A layer that can't be read, and a full disk.
pub fn again(
    old: &OldImage,
    assembly: &Assembly,
    registry: &Registry,
) -> Result<Result<Vec<OwnLayer>, String>, VerifyError> {
    let folder = repack::work_folder()?;
    let into = PackedFolder::create(&folder.path().join("code")).map_err(RebaseError::from)?;
    let mut code = match Code::of(&old.note.folders, &assembly.facts, old.epoch) {
        Ok(code) => code,
        Err(why) => return Ok(Err(why)),
    };
    let workdir = &assembly.recipe.settings["WorkingDir"];
    let workdir = workdir.as_str().unwrap_or_default();
    let mut about = format!("mlbuild: COPY . {}/", workdir.trim_end_matches('/'));
    let mut layers = Vec::new();
    for OwnLayer { layer, about: said } in old.codes() {
        if !layers.is_empty() {
            match of_folder(said, &old.note.folders) {
                Some(folder) => code.only = Some(folder.trim_start_matches('/').to_owned()),
                None => {
                    return Ok(Err(format!(
                        "the layer of its code of which its history says {said:?} is of no folder of the code"
                    )));
                }
            }
            about.clone_from(said);
        }
        match write_again(
            old,
            layer,
            assembly.repack.compression,
            &mut code,
            registry,
            &into,
        )? {
            Ok(layer) => layers.push(OwnLayer {
                layer,
                about: about.clone(),
            }),
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok(layers))
}

fn write_again(
    old: &OldImage,
    layer: &ImageLayer,
    compression: Compression,
    code: &mut Code<'_>,
    registry: &Registry,
    into: &PackedFolder,
) -> Result<Result<ImageLayer, String>, VerifyError> {
    let is_formats = |entry: &LayerEntry| {
        compression == Compression::Estargz && OF_ESTARGZ.contains(&entry.path.as_bytes())
    };
    let mut refused = None;
    let written = write_layer(compression, into, |append| {
        let stream = registry.open_blob(&old.reference, &layer.blob, &Handle::current())?;
        let limits = LayerLimits::for_blob(layer.blob.size());
        read_layer(stream, layer, &limits, &mut |entry, content| {
            if !is_formats(entry)
                && let Err(why) = code.take(entry)
            {
                refused = Some(why);
                return Ok(ControlFlow::Break(()));
            }
            append(entry, content)?;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok::<_, RebaseError>(())
    })?;
    if let Some(why) = refused {
        return Ok(Err(why));
    }
    if written != *layer {
        let why = "the layer of its code isn't written as mlbuild writes one: what it holds and what is said of it may differ";
        return Ok(Err(why.to_owned()));
    }
    Ok(Ok(written))
}

/// The folder in the image of which a line of the history says that it has a layer of its own:
/// `mlbuild: COPY data /app/data/`.
fn of_folder(about: &str, folders: &[String]) -> Option<String> {
    let said = about.strip_prefix("mlbuild: COPY ")?;
    folders.iter().find_map(|folder| {
        let names = said.len().checked_sub(folder.len() + 3)?;
        let name = said.get(..names / 2).filter(|name| !name.is_empty())?;
        let is_plain = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let path = format!("{folder}/{name}");
        (is_plain && said == format!("{name} {path}/")).then_some(path)
    })
}

/// What was seen of the layer so far.
struct Code<'a> {
    facts: &'a BaseFacts,
    epoch: i64,
    /// Folders that files were copied to, without the slash before.
    folders: Vec<&'a str>,
    /// Where the base's Python is.
    python: Vec<String>,
    links: BTreeSet<Vec<u8>>,
    /// The folder that the layer is of, without the slash before; `None` for all of them.
    only: Option<String>,
}

impl<'a> Code<'a> {
    fn of(folders: &'a [String], facts: &'a BaseFacts, epoch: i64) -> Result<Self, String> {
        let plain = |folder: &'a String| {
            let path = folder.strip_prefix('/')?;
            let mut names = path.split('/');
            let is_plain = names.all(|name| !matches!(name, "" | "." | ".."));
            is_plain.then_some(path)
        };
        let unfit = |folder: &String| {
            let folder = folder.escape_debug();
            format!("it says that its code is in {folder}, which is no folder's path")
        };
        let folders = folders.iter();
        let folders = folders.map(|folder| plain(folder).ok_or_else(|| unfit(folder)));
        let folders = folders.collect::<Result<_, _>>()?;
        let programs = [&facts.venv.executable, &facts.venv.real_executable];
        let homes = programs.map(|program| {
            let mut above = program.trim_start_matches('/').rsplitn(3, '/');
            above.nth(2).unwrap_or_default().to_owned()
        });
        let homes = homes.into_iter().filter(|home| !home.is_empty());
        Ok(Self {
            facts,
            epoch,
            folders,
            python: homes.collect(),
            links: BTreeSet::new(),
            only: None,
        })
    }

    /// Takes an entry, or says why it is no code.
    fn take(&mut self, entry: &LayerEntry) -> Result<(), String> {
        let bytes = entry.path.as_bytes();
        let shown = format!("/{}", String::from_utf8_lossy(bytes).escape_debug());
        let refuse = |what: &str| Err(format!("the layer of its code {what} {shown}"));
        match entry.kind {
            EntryKind::File | EntryKind::Folder | EntryKind::Symlink | EntryKind::Fifo => {}
            EntryKind::Whiteout | EntryKind::Opaque => return refuse("hides what is below it at"),
            _ => return refuse("has a device or a second name of a file at"),
        }
        let Ok(path) = std::str::from_utf8(bytes) else {
            // Below a folder of the project any name may be.
            return self.take_below(entry, &String::from_utf8_lossy(bytes), &shown);
        };
        let is_above = |folder: &&str| is_below(folder, path) && *folder != path;
        if entry.kind == EntryKind::Folder && self.folders.iter().any(is_above) {
            return self.take_folder(entry, path, &shown, true);
        }
        self.take_below(entry, path, &shown)
    }

    fn take_below(&mut self, entry: &LayerEntry, path: &str, shown: &str) -> Result<(), String> {
        let refuse = |what: &str| Err(format!("the layer of its code {what} {shown}"));
        if !self.folders.iter().any(|folder| is_below(path, folder)) {
            return refuse("has something outside the folders of the code:");
        }
        let is_above = |only: &String| entry.kind == EntryKind::Folder && is_below(only, path);
        if (self.only.as_ref()).is_some_and(|only| !is_below(path, only) && !is_above(only)) {
            return refuse("has something outside its folder:");
        }
        let is_systems = SYSTEM.iter().any(|system| is_below(path, system))
            || (is_below(path, "usr") && !is_below(path, "usr/src"));
        if is_systems {
            return refuse("has something among the base's programs and settings:");
        }
        if is_below(path, PREFIX.trim_start_matches('/')) {
            return refuse("has something in the environment of the packages:");
        }
        if self.python.iter().any(|home| is_below(path, home)) {
            return refuse("has something in the folder of the base's Python:");
        }
        let bytes = entry.path.as_bytes();
        for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let above = &bytes[..at];
            if self.links.contains(above) {
                return refuse("leads through a link to");
            }
            let above = String::from_utf8_lossy(above);
            let above = self.facts.folder(&above, self.epoch);
            above.map_err(|error| format!("the layer of its code has {shown}: {error}"))?;
        }
        if entry.kind == EntryKind::Folder {
            return self.take_folder(entry, path, shown, false);
        }
        if entry.kind == EntryKind::Symlink {
            self.links.insert(bytes.to_vec());
        } else if entry.mode > 0o777 {
            return refuse("has another user's rights for");
        }
        if (entry.uid, entry.gid) != (0, 0) {
            return refuse("has another owner than root for");
        }
        Ok(())
    }

    /// A folder as the base has it; one of the code's own may have another mode.
    fn take_folder(
        &self,
        entry: &LayerEntry,
        path: &str,
        shown: &str,
        is_above: bool,
    ) -> Result<(), String> {
        let of_base = self.facts.folder(path, self.epoch);
        let of_base =
            of_base.map_err(|error| format!("the layer of its code has {shown}: {error}"))?;
        let is_bases =
            (of_base.mode, of_base.uid, of_base.gid) == (entry.mode, entry.uid, entry.gid);
        let is_roots = entry.mode <= 0o777 && (entry.uid, entry.gid) == (0, 0);
        if is_bases || (is_roots && !is_above) {
            return Ok(());
        }
        Err(format!(
            "the layer of its code has another mode or owner than its base for {shown}"
        ))
    }
}

/// Whether a path is a folder or in it.
fn is_below(path: &str, folder: &str) -> bool {
    let rest = path.strip_prefix(folder);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::{is_below, of_folder};

    #[test]
    fn a_layers_folder_is_below_one_of_the_codes() {
        let folders = ["/app".to_owned(), "/srv/x".to_owned()];
        for (about, expected) in [
            ("mlbuild: COPY data /app/data/", Some("/app/data")),
            ("mlbuild: COPY a/b /srv/x/a/b/", Some("/srv/x/a/b")),
            ("mlbuild: COPY . /app/", None),
            ("mlbuild: COPY data /app/date/", None),
            ("mlbuild: COPY ../etc /app/../etc/", None),
            ("mlbuild: COPY a /etc/a/", None),
            ("mlbuild: COPY  /app//", None),
            ("mlbuild: COPY ", None),
            ("click 8.1", None),
        ] {
            assert_eq!(of_folder(about, &folders).as_deref(), expected, "{about}");
        }
    }

    #[test]
    fn a_path_is_below_whole_names_alone() {
        assert!(is_below("usr/bin", "usr") && is_below("usr", "usr"));
        assert!(!is_below("usrlocal", "usr") && !is_below("us", "usr"));
    }
}
