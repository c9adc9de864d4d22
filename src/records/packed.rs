//! The code of a run as an archive: its commit with its patch, which is what restoring the run brings back, and not
//! what the working tree holds a moment later.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::SystemTime;

use flate2::Compression;
use flate2::write::GzEncoder;
use mlbuild_manifests::run_record::FOLDER_NAME;
use mlbuild_secrets::is_secret_file;

use super::Snapshot;
use super::git::{Git, GitError};
use super::patch::SECRET_NAME;

/// Most bytes of the files: more is data.
pub const MOST_FILES: u64 = 64 << 20;
/// Most files that are named as the largest ones.
const NAMED: usize = 3;

/// An archive of a run's code.
#[derive(Debug)]
pub struct PackedCode {
    /// A tar of the project's folder, compressed by gzip.
    pub bytes: Vec<u8>,
    /// `path: why`, of what isn't in it although the commit has it.
    pub left_out: Vec<String>,
    /// The largest files and their sizes in bytes, the largest one first.
    pub largest: Vec<(String, u64)>,
}

/// Why code can't be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Git can't say what there is.
    #[error(transparent)]
    Git(#[from] GitError),
    /// There is no commit to begin with.
    #[error("the repository has no commit yet")]
    NoCommit,
    /// There is too much of it.
    #[error("the project's files are {} MiB, more than the {} MiB that code may have", size >> 20, MOST_FILES >> 20)]
    TooLarge {
        /// The size of all files, in bytes.
        size: u64,
        /// The largest ones.
        largest: Vec<(String, u64)>,
    },
    /// A file can't be written or read.
    #[error("the code can't be packed: {0}")]
    Io(#[from] io::Error),
}

/// A file of the tree, from the repository's top.
struct TreeFile {
    path: String,
    mode: u32,
    size: u64,
}

const MODE_LINK: u32 = 0o120_000;
const MODE_SUBMODULE: u32 = 0o160_000;

impl Snapshot {
    /// Packs the part of the code that is below `project`: commit and patch, without records and without files
    /// whose names are those of secrets.
    ///
    /// # Errors
    /// Where git fails, there is no commit, or there is too much.
    pub fn pack(&self, project: &Path) -> Result<PackedCode, PackError> {
        let commit = self.state.commit.as_deref().ok_or(PackError::NoCommit)?;
        let top = Git::at(project).text(&["rev-parse", "--show-toplevel"])?;
        let room = tempfile::tempdir()?;
        let git = Git::at(Path::new(&top)).with_index(&room.path().join("index"));
        git.text(&["read-tree", commit])?;
        if let Some(patch) = &self.patch {
            let apply = ["apply", "--cached", "--binary", "--whitespace=nowarn", "-"];
            git.bytes(&apply, patch)?;
        }
        let folder = self.state.folder.as_deref();
        let (files, left_out) = chosen(tree_files(&git, folder)?, folder);
        let size = files.iter().map(|file| file.size).sum();
        let largest = largest(&files);
        if size > MOST_FILES {
            return Err(PackError::TooLarge { size, largest });
        }
        // As a checkout writes them: with the line ends that the repository asks for.
        let tree = room.path().join("tree");
        std::fs::create_dir(&tree)?;
        let prefix = format!("--prefix={}/", tree.display());
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        git.bytes(
            &["checkout-index", "-z", "--stdin", &prefix],
            paths.join("\0").as_bytes(),
        )?;
        Ok(PackedCode {
            bytes: tar(&tree, &files, folder)?,
            left_out,
            largest,
        })
    }
}

/// The files of the index below a folder.
fn tree_files(git: &Git, folder: Option<&str>) -> Result<Vec<TreeFile>, PackError> {
    let tree = git.text(&["write-tree"])?;
    let listed = git.bytes(&["ls-tree", "-r", "-l", "-z", "--full-tree", &tree], b"")?;
    let lines = listed
        .split(|&byte| byte == 0)
        .filter(|line| !line.is_empty());
    let mut files = Vec::new();
    for line in lines {
        // Other names than those of UTF-8 can't be handed to git as text, nor named to a person.
        let line = std::str::from_utf8(line)
            .map_err(|_| io::Error::other("a file's name isn't valid UTF-8"))?;
        // MODE TYPE OBJECT SIZE\tPATH
        let Some((of_object, path)) = line.split_once('\t') else {
            continue;
        };
        if folder.is_some_and(|folder| below(path, folder).is_none()) {
            continue;
        }
        let words: Vec<&str> = of_object.split_whitespace().collect();
        files.push(TreeFile {
            path: path.to_owned(),
            mode: words
                .first()
                .map_or(0, |mode| u32::from_str_radix(mode, 8).unwrap_or(0)),
            size: words.get(3).map_or(0, |size| size.parse().unwrap_or(0)),
        });
    }
    Ok(files)
}

/// A path as it is told from a folder that it is in.
fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    path.strip_prefix(folder)?.strip_prefix('/')
}

/// Those that are sent, and why others aren't.
fn chosen(files: Vec<TreeFile>, folder: Option<&str>) -> (Vec<TreeFile>, Vec<String>) {
    let mut left_out = Vec::new();
    let sent = files.into_iter().filter(|file| {
        let path = folder.map_or(Some(file.path.as_str()), |folder| below(&file.path, folder));
        let why = if path.is_some_and(|path| path.starts_with(&format!("{FOLDER_NAME}/"))) {
            return false;
        } else if file.mode == MODE_SUBMODULE {
            "it is a submodule"
        } else if is_secret_file(&file.path) {
            SECRET_NAME
        } else {
            return true;
        };
        left_out.push(format!("{}: {why}", file.path));
        false
    });
    (sent.collect(), left_out)
}

fn largest(files: &[TreeFile]) -> Vec<(String, u64)> {
    let mut all: Vec<_> = files
        .iter()
        .map(|file| (file.path.clone(), file.size))
        .collect();
    all.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    all.truncate(NAMED);
    all
}

fn tar(tree: &Path, files: &[TreeFile], folder: Option<&str>) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs());
    let header = |kind, mode| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(now);
        header.set_size(0);
        header
    };
    let mut folders = BTreeSet::new();
    for file in files {
        let name = folder.map_or(Some(file.path.as_str()), |folder| below(&file.path, folder));
        let name = name.unwrap_or(&file.path);
        let parents: Vec<usize> = name.match_indices('/').map(|(at, _)| at + 1).collect();
        for parent in parents.into_iter().map(|end| &name[..end]) {
            if folders.insert(parent) {
                tar.append_data(
                    &mut header(tar::EntryType::Directory, 0o755),
                    parent,
                    io::empty(),
                )?;
            }
        }
        let here = tree.join(&file.path);
        if file.mode == MODE_LINK {
            let target = std::fs::read_link(&here)?;
            tar.append_link(&mut header(tar::EntryType::Symlink, 0o777), name, target)?;
            continue;
        }
        let bytes = mlbuild_files::read(&here)?;
        let mut header = header(tar::EntryType::Regular, file.mode & 0o777);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes.as_slice())?;
    }
    let mut packed = tar.into_inner()?;
    packed.flush()?;
    packed.finish()
}
