//! The index of a store. What can't be understood isn't there: it is written anew.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{LayerKey, StoredLayer, blobs};
use crate::files::FileList;
use crate::layer::Layer;

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    layer: Layer,
    wheels: Vec<String>,
}

pub(super) fn read(root: &Path, key: &LayerKey) -> Option<StoredLayer> {
    let bytes = std::fs::read(path(root, key, "json")).ok()?;
    let Entry { layer, wheels } = serde_json::from_slice(&bytes).ok()?;
    let files = std::fs::read(path(root, key, "files")).ok()?;
    Some(StoredLayer {
        layer,
        wheels,
        files: FileList::from_bytes(&files).ok()?,
        blob: None,
    })
}

/// The list of files first: an entry without it isn't read.
pub(super) fn write(
    root: &Path,
    workshop: fn(&Path) -> PathBuf,
    key: &LayerKey,
    made: &StoredLayer,
) -> io::Result<()> {
    let entry = Entry {
        layer: made.layer.clone(),
        wheels: made.wheels.clone(),
    };
    for (ending, bytes) in [
        ("files", made.files.to_bytes()),
        ("json", serde_json::to_vec(&entry)?),
    ] {
        let mut file = blobs::new_in(&workshop(&root.join("index")))?;
        io::Write::write_all(&mut file, &bytes)?;
        blobs::keep(file, &path(root, key, ending))?;
    }
    Ok(())
}

fn path(root: &Path, key: &LayerKey, ending: &str) -> PathBuf {
    root.join("index")
        .join(format!("{}.{ending}", key.as_str()))
}
