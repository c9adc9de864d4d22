//! What a layer holds, file by file: enough to tell whether two layers bring one file with
//! different contents.

use std::collections::HashMap;
use std::io;

use crate::error::LayerError;

/// A file of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledFile {
    /// Where it is, below the environment's folder.
    pub path: String,
    /// The hash of its content, hex.
    pub sha256: String,
    /// The wheel that it is of: its place in the list that the layer was made from.
    pub wheel: usize,
}

/// The files of a layer, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileList(pub Vec<InstalledFile>);

impl FileList {
    /// The list as text, compressed: a line a file.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut text = String::new();
        for file in &self.0 {
            text.push_str(&format!("{} {} {}\n", file.sha256, file.wheel, file.path));
        }
        zstd::bulk::compress(text.as_bytes(), 3).expect("memory can be written")
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub(crate) fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        /// A layer of a hundred thousand files has ten million.
        const MOST: usize = 256 << 20;
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "no list of files");
        let text = zstd::bulk::decompress(bytes, MOST)?;
        let text = String::from_utf8(text).map_err(|_| bad())?;
        let lines = text.lines().map(|line| {
            let mut parts = line.splitn(3, ' ');
            let mut part = || parts.next().ok_or_else(bad);
            Ok(InstalledFile {
                sha256: part()?.to_owned(),
                wheel: part()?.parse().map_err(|_| bad())?,
                path: part()?.to_owned(),
            })
        });
        lines.collect::<io::Result<_>>().map(FileList)
    }
}

/// Refuses layers that bring one file with different contents: which one a person would get would
/// hang on the order. `layers`: the names of each layer's wheels, and its files.
///
/// # Errors
/// [`LayerError::Overlap`].
pub fn check_overlaps(layers: &[(&[String], &FileList)]) -> Result<(), LayerError> {
    let mut seen: HashMap<&str, (&InstalledFile, &[String])> = HashMap::new();
    for (names, files) in layers {
        for file in &files.0 {
            let Some((first, of)) = seen.insert(&file.path, (file, names)) else {
                continue;
            };
            if first.sha256 != file.sha256 {
                let name = |names: &[String], file: &InstalledFile| {
                    names.get(file.wheel).cloned().unwrap_or_default()
                };
                return Err(LayerError::Overlap {
                    path: file.path.clone(),
                    first: name(of, first),
                    second: name(names, file),
                });
            }
        }
    }
    Ok(())
}
