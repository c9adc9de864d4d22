//! Layers of folders that the store has: found by all that their bytes depend on, and kept for the next build.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use mlbuild_buildkit::fsutil::walk::go_mode;
use mlbuild_buildkit::fsutil::{ContextSelection, EntryDigest, entry_digests};
use mlbuild_wheels::{Compression, Layer, LayerKey, LayerStore};

use super::parts::Parts;
use super::{BuildError, Copied};
use crate::assembly::Assembly;
use crate::image::ImageLayer;
use crate::image::pack::PackedFolder;
use crate::planning::context::context_cache;

/// Changes where the same files come to other bytes.
const FORMAT: &str = "mlbuild code 1";

/// What is known of a context's files without reading those that are what they were.
pub(super) struct Known<'a> {
    code: &'a Copied<'a>,
    selection: ContextSelection,
    cache: PathBuf,
    entries: Vec<EntryDigest>,
}

impl<'a> Known<'a> {
    /// Looks at the context; `None` where nothing could be remembered of it.
    pub(super) fn look(code: &'a Copied<'a>) -> Result<Option<Self>, BuildError> {
        let Some(root) = code.folder() else {
            return Ok(None);
        };
        let Some(cache) = context_cache("", root) else {
            return Ok(None);
        };
        let selection = code.selection(root, ".");
        let entries = entry_digests(&selection, Some(&cache))?;
        Ok(Some(Self {
            code,
            selection,
            cache,
            entries,
        }))
    }

    /// The key of the layer of a folder.
    pub(super) fn key(&self, parts: &Parts, folder: &str) -> LayerKey {
        key(self.code, &self.entries, parts, folder)
    }

    /// The layer of a folder, brought into the image; `None` where it has to be written.
    ///
    /// # Errors
    /// Where the base has something else in a folder's place, as when it is written; a full disk.
    pub(super) fn find(
        &self,
        parts: &Parts,
        folder: &str,
        key: &LayerKey,
        store: &LayerStore,
        into: &PackedFolder,
    ) -> Result<Option<ImageLayer>, BuildError> {
        let assembly = self.code.assembly;
        let copies = &assembly.recipe.copies;
        for entry in &self.entries {
            let is_its = entry.mode & go_mode::DIR != 0 && parts.has(folder, &entry.path);
            for copy in copies.iter().filter(|copy| is_its && copy.sources == ["."]) {
                let path = String::from_utf8_lossy(&entry.path);
                let path = format!("{}/{path}", copy.destination.trim_start_matches('/'));
                assembly.facts.folder(&path, assembly.repack.epoch)?;
            }
        }
        let Some(found) = store.find(key) else {
            return Ok(None);
        };
        // Another user's, where the store is shared, can't be read.
        let Some(mut blob) = found.blob.and_then(|blob| File::open(blob).ok()) else {
            return Ok(None);
        };
        let path = into.blob(&found.layer.digest);
        let copied = File::create(&path).and_then(|mut file| io::copy(&mut blob, &mut file));
        copied.map_err(BuildError::write(&path))?;
        Ok(Some(ImageLayer {
            blob: found.layer.descriptor(),
            diff_id: found.layer.diff_id,
        }))
    }

    /// Keeps the layers of folders that are still what they were when they were looked at.
    pub(super) fn keep(
        &self,
        parts: &Parts,
        made: &[(&String, LayerKey, ImageLayer)],
        store: &LayerStore,
        into: &PackedFolder,
    ) {
        // It only saves time: who can't be looked at isn't kept.
        let Ok(now) = entry_digests(&self.selection, Some(&self.cache)) else {
            return;
        };
        for (folder, then, layer) in made {
            let Some(compression) = Compression::of(&layer.blob) else {
                continue;
            };
            if key(self.code, &now, parts, folder) != *then {
                continue;
            }
            let said = layer.blob.annotations().clone();
            let kept = Layer {
                digest: layer.blob.digest().clone(),
                diff_id: layer.diff_id.clone(),
                size: layer.blob.size(),
                unpacked: 0,
                compression,
                annotations: said.unwrap_or_default().into_iter().collect(),
            };
            store.keep_private(then, &kept, &into.blob(&kept.digest));
        }
    }
}

fn key(code: &Copied<'_>, entries: &[EntryDigest], parts: &Parts, folder: &str) -> LayerKey {
    let Assembly {
        facts,
        repack,
        recipe,
        ..
    } = code.assembly;
    let (version, compression, epoch) =
        (env!("CARGO_PKG_VERSION"), repack.compression, repack.epoch);
    let mut text = format!("{FORMAT}\n{version}\n{compression:?}\n{epoch}\n{folder}\n");
    for copy in recipe.copies.iter().filter(|copy| copy.sources == ["."]) {
        for (at, _) in format!("{}/", copy.destination)
            .match_indices('/')
            .filter(|(at, _)| *at > 0)
        {
            let above = &copy.destination[..at];
            // What can't be is said when the layer is written.
            let above = facts.folder(above.trim_start_matches('/'), epoch).ok();
            text.push_str(&format!("{above:?}\n"));
        }
    }
    for entry in entries
        .iter()
        .filter(|entry| parts.has(folder, &entry.path))
    {
        text.push_str(&hex::encode(entry.digest));
        text.push('\n');
    }
    LayerKey::of_text(&text)
}
