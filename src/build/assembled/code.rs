//! The layer of the project's files, streamed from where they are.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;

use mlbuild_buildkit::fsutil::walk::go_mode;
use mlbuild_buildkit::fsutil::{ContextSelection, EntryStat, read_files};

use super::BuildError;
use crate::assemble::BaseFacts;
use crate::assembly::{Assembly, CopyStep};
use crate::image::layer::{EntryKind, EntryPath, LayerEntry, Mtime};
use crate::image::pack::{Append, OwnLayer, PackedFolder, write_layer};
use crate::plan::{BuildPlan, Context};

/// Writes the layer of all that is copied, and of the working directory.
pub(super) fn write(
    assembly: &Assembly,
    plan: &BuildPlan,
    into: &PackedFolder,
) -> Result<OwnLayer, BuildError> {
    let recipe = &assembly.recipe;
    let layer = write_layer(assembly.repack.compression, into, |append| {
        let mut layer = Code {
            facts: &assembly.facts,
            epoch: assembly.repack.epoch,
            made: BTreeSet::new(),
            append,
        };
        layer.folders(&recipe.workdir)?;
        for copy in &recipe.copies {
            layer.folders(&copy.destination)?;
            for source in &copy.sources {
                layer.copy(copy, source, plan)?;
            }
        }
        Ok::<_, BuildError>(())
    })?;
    let about = format!("mlbuild: COPY . {}/", recipe.workdir);
    Ok(OwnLayer { layer, about })
}

struct Code<'a, 'b> {
    facts: &'a BaseFacts,
    epoch: i64,
    /// Folders that are in the layer.
    made: BTreeSet<String>,
    append: &'a mut Append<'b>,
}

impl Code<'_, '_> {
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

    fn copy(&mut self, copy: &CopyStep, source: &str, plan: &BuildPlan) -> Result<(), BuildError> {
        let Context::Folder { path } = &plan.context else {
            return Ok(());
        };
        let ignore = plan.dockerfile.ignore.as_ref();
        let is_all = source == ".";
        let selection = ContextSelection {
            root: path.clone(),
            ignore: ignore.map(|file| (file.name.clone(), file.text.clone())),
            only: if is_all {
                Vec::new()
            } else {
                vec![source.to_owned()]
            },
            normalise: plan.normalise(),
            ..ContextSelection::default()
        };
        let destination = copy.destination.trim_start_matches('/').to_owned();
        let mut found = is_all;
        read_files(&selection, &mut |stat, content| {
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
