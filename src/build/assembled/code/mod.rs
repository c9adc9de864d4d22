//! The layers of the project's files, streamed from where they are: one, or a few by folder where there is much.

mod kept;
mod parts;

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;

use mlbuild_buildkit::fsutil::walk::go_mode;
use mlbuild_buildkit::fsutil::{ContextSelection, EntryStat, read_some_files};
use mlbuild_wheels::LayerStore;

use self::kept::Known;
use self::parts::Parts;
use super::BuildError;
use crate::assemble::{BaseFacts, MOST_LAYERS};
use crate::assembly::{Assembly, CopyStep};
use crate::image::ImageLayer;
use crate::image::layer::{EntryKind, EntryPath, LayerEntry, Mtime};
use crate::image::pack::{Append, OwnLayer, PackedFolder, write_layer};
use crate::plan::{BuildPlan, Context};

/// Layers above the base that aren't of code, at most: those of packages, the environment without them, the user.
const OTHERS: usize = 62;

/// Writes the layers of all that is copied, and of the working directory. A folder that has its own and is what it
/// was gets the layer that the store has of it.
pub(super) fn write(
    assembly: &Assembly,
    plan: &BuildPlan,
    store: &LayerStore,
    into: &PackedFolder,
) -> Result<Vec<OwnLayer>, BuildError> {
    let code = Copied { assembly, plan };
    let (parts, destination) = code.parts()?;
    let workdir = &assembly.recipe.workdir;
    let mut layers = vec![OwnLayer {
        layer: code.first(&parts, into)?,
        about: format!("mlbuild: COPY . {workdir}/"),
    }];
    let known = match parts.folders() {
        [] => None,
        _ => Known::look(&code)?,
    };
    let mut made = Vec::new();
    for folder in parts.folders() {
        let key = known.as_ref().map(|known| known.key(&parts, folder));
        let found = match (&known, &key) {
            (Some(known), Some(key)) => known.find(&parts, folder, key, store, into)?,
            _ => None,
        };
        let layer = match found {
            Some(layer) => layer,
            None => {
                let layer = code.part(&parts, folder, destination, into)?;
                made.extend(key.map(|key| (folder, key, layer.clone())));
                layer
            }
        };
        layers.push(OwnLayer {
            layer,
            about: format!("mlbuild: COPY {folder} {destination}/{folder}/"),
        });
    }
    if let Some(known) = known.filter(|_| !made.is_empty()) {
        known.keep(&parts, &made, store, into);
    }
    Ok(layers)
}

/// What is copied.
struct Copied<'a> {
    assembly: &'a Assembly,
    plan: &'a BuildPlan,
}

impl<'a> Copied<'a> {
    /// Which folders get layers of their own, and where the code is copied to.
    fn parts(&self) -> Result<(Parts, &'a str), BuildError> {
        let recipe = &self.assembly.recipe;
        let none = (Parts::default(), "");
        let is_all = |copy: &&CopyStep| copy.sources == ["."];
        let mut all = recipe.copies.iter().filter(is_all);
        let (Some(copy), None, Some(root)) = (all.next(), all.next(), self.folder()) else {
            return Ok(none);
        };
        // What is copied over it stays above it.
        let inner = format!("{}/", copy.destination);
        let mut others = recipe.copies.iter().filter(|other| *other != copy);
        if others.any(|other| other.destination.starts_with(&inner)) {
            return Ok(none);
        }
        let mut files: Vec<(Vec<u8>, u64)> = Vec::new();
        let takes = &mut |stat: &EntryStat| {
            if stat.mode & go_mode::TYPE == 0 {
                files.push((stat.path.to_vec(), u64::try_from(stat.size).unwrap_or(0)));
            }
            false
        };
        read_some_files(&self.selection(root, "."), takes, &mut |_, _| Ok(()))?;
        let taken = self.assembly.base.pack.image.layers.len() + OTHERS;
        let most = MOST_LAYERS.saturating_sub(taken).clamp(1, parts::MOST);
        let files = files.iter().map(|(path, bytes)| (path.as_slice(), *bytes));
        Ok((Parts::of(files, most), &copy.destination))
    }

    fn folder(&self) -> Option<&'a Path> {
        match &self.plan.context {
            Context::Folder { path } => Some(path),
            _ => None,
        }
    }

    fn selection(&self, root: &Path, source: &str) -> ContextSelection {
        let ignore = self.plan.dockerfile.ignore.as_ref();
        let is_all = source == ".";
        ContextSelection {
            root: root.to_owned(),
            ignore: ignore.map(|file| (file.name.clone(), file.text.clone())),
            only: if is_all {
                Vec::new()
            } else {
                vec![source.to_owned()]
            },
            normalise: self.plan.normalise(),
            ..ContextSelection::default()
        }
    }

    /// Writes the layer of what has none of its own, with the folders above.
    fn first(&self, parts: &Parts, into: &PackedFolder) -> Result<ImageLayer, BuildError> {
        let recipe = &self.assembly.recipe;
        self.layer(into, |layer| {
            layer.folders(&recipe.workdir)?;
            for copy in &recipe.copies {
                layer.folders(&copy.destination)?;
                for source in &copy.sources {
                    layer.copy(copy, source, self, &|path| parts.of_entry(path).is_none())?;
                }
            }
            Ok(())
        })
    }

    /// Writes the layer of a folder.
    fn part(
        &self,
        parts: &Parts,
        folder: &str,
        destination: &str,
        into: &PackedFolder,
    ) -> Result<ImageLayer, BuildError> {
        let copy = CopyStep {
            sources: Vec::new(),
            destination: destination.to_owned(),
        };
        self.layer(into, |layer| {
            layer.folders(destination)?;
            layer.copy(&copy, ".", self, &|path| parts.has(folder, path))
        })
    }

    fn layer(
        &self,
        into: &PackedFolder,
        fill: impl FnOnce(&mut CodeLayer<'_, '_>) -> Result<(), BuildError>,
    ) -> Result<ImageLayer, BuildError> {
        let repack = &self.assembly.repack;
        write_layer(repack.compression, into, |append| {
            fill(&mut CodeLayer {
                facts: &self.assembly.facts,
                epoch: repack.epoch,
                made: BTreeSet::new(),
                append,
            })
        })
    }
}

/// A layer in the making.
struct CodeLayer<'a, 'b> {
    facts: &'a BaseFacts,
    epoch: i64,
    /// Folders that are in the layer.
    made: BTreeSet<String>,
    append: &'a mut Append<'b>,
}

impl CodeLayer<'_, '_> {
    /// An absolute folder with all above it.
    fn folders(&mut self, folder: &str) -> Result<(), BuildError> {
        let path = format!("{}/", folder.trim_start_matches('/'));
        for (at, _) in path.match_indices('/').filter(|(at, _)| *at > 0) {
            let above = &path[..at];
            if self.made.insert(above.to_owned()) {
                let entry = self.facts.folder(above, self.epoch)?;
                let written = (self.append)(&entry, &mut io::empty());
                written.map_err(BuildError::write(Path::new(above)))?;
            }
        }
        Ok(())
    }

    /// Copies a source; of the whole context what `takes` says by the path in it.
    fn copy(
        &mut self,
        copy: &CopyStep,
        source: &str,
        from: &Copied<'_>,
        takes: &dyn Fn(&[u8]) -> bool,
    ) -> Result<(), BuildError> {
        let Some(root) = from.folder() else {
            return Ok(());
        };
        let is_all = source == ".";
        let selection = from.selection(root, source);
        let destination = copy.destination.trim_start_matches('/').to_owned();
        let mut found = is_all;
        let takes = &mut |stat: &EntryStat| !is_all || takes(&stat.path);
        read_some_files(&selection, takes, &mut |stat, content| {
            if is_all {
                return self.entry(
                    &[destination.as_bytes(), &stat.path].join(&b'/'),
                    stat,
                    content,
                );
            }
            if &stat.path[..] != source.as_bytes() {
                return Ok(());
            }
            if stat.mode & go_mode::TYPE != 0 {
                return Err(io::Error::other("it isn't a plain file"));
            }
            found = true;
            let name = source.rsplit('/').next().unwrap_or(source);
            self.entry(
                &[destination.as_bytes(), name.as_bytes()].join(&b'/'),
                stat,
                content,
            )
        })?;
        if found {
            return Ok(());
        }
        Err(BuildError::NotAssembled {
            reason: format!("{source} isn't among the project's files that go into the image"),
            lacks_pins: false,
        })
    }

    fn entry(&mut self, path: &[u8], stat: &EntryStat, content: &mut dyn Read) -> io::Result<()> {
        let named = EntryPath::of_bytes(path);
        let path_of_entry = named.ok_or_else(|| io::Error::other("it has no plain path"))?;
        let kind = match stat.mode & go_mode::TYPE {
            0 => EntryKind::File,
            go_mode::DIR => EntryKind::Folder,
            go_mode::SYMLINK => EntryKind::Symlink,
            go_mode::NAMED_PIPE => EntryKind::Fifo,
            _ => return Err(io::Error::other("it is a device")),
        };
        if kind == EntryKind::Folder {
            let text = String::from_utf8_lossy(path).into_owned();
            // Refuses one where the base has a link or a file.
            self.facts
                .folder(&text, self.epoch)
                .map_err(io::Error::other)?;
            if !self.made.insert(text) {
                return Ok(());
            }
        }
        let is_link = kind == EntryKind::Symlink;
        let entry = LayerEntry {
            path: path_of_entry,
            kind,
            mode: if is_link { 0o777 } else { stat.mode & 0o777 },
            uid: 0,
            gid: 0,
            uname: Vec::new(),
            gname: Vec::new(),
            mtime: Mtime {
                seconds: self.epoch,
                nanos: 0,
            },
            size: if kind == EntryKind::File {
                u64::try_from(stat.size).unwrap_or(0)
            } else {
                0
            },
            link: is_link.then(|| stat.linkname.to_vec()),
            device: None,
            xattrs: stat
                .xattrs
                .iter()
                .map(|(name, value)| (name.clone().into_bytes(), value.to_vec()))
                .collect(),
        };
        (self.append)(&entry, content)
    }
}
