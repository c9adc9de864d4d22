//! Large files of data and weights in a context for which nobody said what is sent.

use std::collections::BTreeMap;
use std::path::Path;

use mlbuild_buildkit::fsutil::dockerignore;
use mlbuild_buildkit::fsutil::survey::{Surveyed, survey};

use super::PlanningError;

/// From how many bytes on data and weights are left out.
pub(super) const LARGE: u64 = 100_000_000;

/// Names of folders that hold data, at the context's root.
const FOLDERS: [&str; 16] = [
    "artifacts",
    "checkpoints",
    "ckpt",
    "ckpts",
    "data",
    "dataset",
    "datasets",
    "lightning_logs",
    "logs",
    "mlruns",
    "models",
    "output",
    "outputs",
    "pretrained",
    "runs",
    "weights",
];

/// Ends of names of data and weights.
const ENDINGS: [&str; 34] = [
    "7z",
    "arrow",
    "avi",
    "bin",
    "bz2",
    "ckpt",
    "csv",
    "feather",
    "gguf",
    "gz",
    "h5",
    "hdf5",
    "jsonl",
    "mkv",
    "mp4",
    "msgpack",
    "npy",
    "npz",
    "onnx",
    "parquet",
    "pb",
    "pkl",
    "pt",
    "pth",
    "safetensors",
    "sqlite",
    "tar",
    "tfrecord",
    "tfrecords",
    "tgz",
    "tsv",
    "wav",
    "xz",
    "zip",
];

/// Lines of an ignore file that leave out the large data of a folder, each with its line end; what is
/// `needed`, and what holds a part of it, stays.
pub(super) fn lines(root: &Path, ignore: &str, needed: &[String]) -> Result<String, PlanningError> {
    let patterns = dockerignore::of_text(".dockerignore", ignore.as_bytes())?;
    let entries = survey(root, &patterns, false)?;
    let taken: Vec<&Surveyed> = entries.iter().filter(|entry| entry.taken).collect();
    let mut found: Vec<String> = Vec::new();
    let folders = folders(&taken);
    for (path, folder) in &folders {
        let top = path.split('/').next().unwrap_or(path);
        let is_data = FOLDERS.contains(&top) && !folder.has_code && folder.bytes >= LARGE;
        if is_data && !covers(&found, path) && !is_needed(path, needed) {
            found.push((*path).to_owned());
        }
    }
    for entry in taken {
        let ending = entry.path.rsplit_once('.').map_or("", |(_, end)| end);
        let is_data = ENDINGS.contains(&ending.to_ascii_lowercase().as_str());
        let is_large = is_data && entry.bytes >= LARGE;
        if is_large && !covers(&found, &entry.path) && !is_needed(&entry.path, needed) {
            found.push(entry.path.clone());
        }
    }
    Ok(found.iter().filter_map(|path| line(path)).collect())
}

#[derive(Default)]
struct Folder {
    bytes: u64,
    has_code: bool,
}

/// Every folder in order, so that one comes before those that it holds.
fn folders<'a>(taken: &[&'a Surveyed]) -> BTreeMap<&'a str, Folder> {
    let mut folders: BTreeMap<&str, Folder> = BTreeMap::new();
    for entry in taken {
        let ends = entry.path.match_indices('/').map(|(at, _)| at);
        for end in ends {
            let folder = folders.entry(&entry.path[..end]).or_default();
            folder.bytes += entry.bytes;
            folder.has_code |= entry.path.ends_with(".py");
        }
    }
    folders
}

fn covers(found: &[String], path: &str) -> bool {
    found.iter().any(|above| is_within(path, above))
}

fn is_needed(path: &str, needed: &[String]) -> bool {
    let mut needed = needed.iter();
    needed.any(|need| is_within(need, path) || is_within(path, need))
}

/// Whether a path is that of the folder, or inside it.
pub(super) fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The path as a pattern that means just it; `None` where no line can hold it.
fn line(path: &str) -> Option<String> {
    if path.contains(['\n', '\u{fffd}']) || path.trim() != path {
        return None;
    }
    let mut pattern = String::from("/");
    for c in path.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('\n');
    Some(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(root: &Path, path: &str, size: u64) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::File::create(path).unwrap().set_len(size).unwrap();
    }

    #[test]
    fn large_data_is_left_out_and_code_and_what_is_needed_stay() {
        let root = tempfile::tempdir().unwrap();
        for (path, size) in [
            ("data/a.jpg", LARGE / 2),
            ("data/b.jpg", LARGE / 2),
            ("datasets/loader.py", 10),
            ("datasets/raw/x.bin", LARGE),
            ("src/data/small.csv", 10),
            ("src/large.so", LARGE),
            ("w [1].pt", LARGE),
            ("small.pt", LARGE - 1),
            ("models/served/v.pb", LARGE),
            ("vendor/big.tar.gz", LARGE),
            ("venv/lib/x.bin", LARGE),
        ] {
            file(root.path(), path, size);
        }
        let needed = ["models/served".to_owned(), "vendor/big.tar.gz".to_owned()];
        let found = lines(root.path(), "venv\n", &needed).unwrap();
        assert_eq!(found, "/data\n/datasets/raw\n/w \\[1\\].pt\n");
        let patterns = dockerignore::parse(found.as_bytes()).unwrap();
        let entries = survey(root.path(), &patterns, false).unwrap();
        let left: Vec<&str> = entries
            .iter()
            .filter(|entry| !entry.taken)
            .map(|entry| entry.path.as_str())
            .collect();
        assert_eq!(left, ["data", "datasets/raw", "w [1].pt"]);
    }
}
