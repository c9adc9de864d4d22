//! What lies in a folder, one folder at a time and in the order of names' bytes: the memory that it takes is
//! that of the names on the way.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use mlbuild_manifests::run_record::RunData;
use oci_spec::image::Digest;
use sha2::{Digest as _, Sha256};

use super::content::{self, Content};
use super::remembered::Remembered;
use super::{DataError, DataHash};

/// Most entries of one folder.
const MAX_ENTRIES: usize = 2_000_000;
/// What wasn't read is named so often; then its number.
const MAX_NAMED: usize = 20;

/// Looks at a file, or at all that lies in a folder. A link is followed where it is the path itself.
///
/// # Errors
/// Where the path itself can't be read.
pub(super) fn take(path: &Path, hash: DataHash) -> Result<RunData, DataError> {
    let fail = |source| DataError::Read {
        path: path.to_owned(),
        source,
    };
    let metadata = std::fs::metadata(path).map_err(fail)?;
    let mut taker = Taker::new(hash);
    if metadata.is_file() {
        // What the link leads to, which is read as any other file.
        let real = path.canonicalize().map_err(fail)?;
        let content = taker.read(&real, &metadata).map_err(fail)?;
        taker.file(b"", &metadata, &content);
    } else if metadata.is_dir() {
        let names = names(path)?;
        taker.folder(path, names)?;
    } else {
        return Err(DataError::Special {
            path: path.to_owned(),
        });
    }
    Ok(taker.finish())
}

/// The names in a folder, sorted so that the last one comes first.
fn names(folder: &Path) -> Result<Vec<OsString>, DataError> {
    let fail = |source| DataError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        if names.len() == MAX_ENTRIES {
            return Err(DataError::TooMany {
                path: folder.to_owned(),
                limit: MAX_ENTRIES,
            });
        }
        names.push(entry.map_err(fail)?.file_name());
    }
    names.sort_unstable_by(|a, b| b.as_bytes().cmp(a.as_bytes()));
    Ok(names)
}

struct Taker {
    hash: DataHash,
    remembered: Option<Remembered>,
    sample: Sha256,
    times: Sha256,
    full: Sha256,
    files: u64,
    bytes: u64,
    left_out: Vec<String>,
    more: u64,
}

/// The four kinds of entries beside a file, by the byte that stands for them.
const FOLDER: u8 = b'D';
const LINK: u8 = b'L';
const SPECIAL: u8 = b'S';
const UNREAD: u8 = b'U';

impl Taker {
    fn new(hash: DataHash) -> Self {
        Self {
            hash,
            remembered: (hash == DataHash::Full).then(Remembered::open).flatten(),
            sample: Sha256::new(),
            times: Sha256::new(),
            full: Sha256::new(),
            files: 0,
            bytes: 0,
            left_out: Vec::new(),
            more: 0,
        }
    }

    /// All in a folder. Folders on the way are kept as the names that are left in each.
    fn folder(&mut self, top: &Path, names_of_top: Vec<OsString>) -> Result<(), DataError> {
        let mut open = vec![(PathBuf::new(), names_of_top)];
        while let Some((folder, rest)) = open.last_mut() {
            let Some(name) = rest.pop() else {
                open.pop();
                continue;
            };
            let inside = folder.join(name);
            let path = top.join(&inside);
            let key = inside.as_os_str().as_bytes();
            let metadata = match std::fs::symlink_metadata(&path) {
                Ok(metadata) => metadata,
                Err(error) => {
                    self.leave_out(UNREAD, &inside, error);
                    continue;
                }
            };
            let kind = metadata.file_type();
            if kind.is_file() {
                match self.read(&path, &metadata) {
                    Ok(content) => self.file(key, &metadata, &content),
                    Err(error) => self.leave_out(UNREAD, &inside, error),
                }
            } else if kind.is_dir() {
                match names(&path) {
                    Ok(names) => {
                        self.entry(FOLDER, key, b"");
                        open.push((inside, names));
                    }
                    Err(DataError::Read { source, .. }) => {
                        self.leave_out(UNREAD, &inside, source);
                    }
                    Err(other) => return Err(other),
                }
            } else if kind.is_symlink() {
                match std::fs::read_link(&path) {
                    Ok(to) => self.entry(LINK, key, to.as_os_str().as_bytes()),
                    Err(error) => self.leave_out(UNREAD, &inside, error),
                }
            } else {
                self.leave_out(
                    SPECIAL,
                    &inside,
                    "it is neither a file, a folder nor a link",
                );
            }
        }
        Ok(())
    }

    fn read(&mut self, path: &Path, metadata: &Metadata) -> io::Result<Content> {
        content::read(path, metadata, self.hash, self.remembered.as_mut())
    }

    fn file(&mut self, key: &[u8], metadata: &Metadata, content: &Content) {
        let size = metadata.len();
        let rest = |digest: &[u8]| format!("{size}:{}", hex::encode(digest));
        entry(
            &mut self.sample,
            b'F',
            key,
            rest(&content.sample).as_bytes(),
        );
        if let Some(full) = &content.full {
            entry(&mut self.full, b'F', key, rest(full).as_bytes());
        }
        let time = format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec());
        entry(&mut self.times, b'F', key, time.as_bytes());
        self.files += 1;
        self.bytes = self.bytes.saturating_add(size);
    }

    /// What has no content.
    fn entry(&mut self, kind: u8, key: &[u8], rest: &[u8]) {
        entry(&mut self.sample, kind, key, rest);
        entry(&mut self.full, kind, key, rest);
    }

    fn leave_out(&mut self, kind: u8, inside: &Path, why: impl std::fmt::Display) {
        self.entry(kind, inside.as_os_str().as_bytes(), b"");
        if self.left_out.len() < MAX_NAMED {
            self.left_out.push(format!("{}: {why}", inside.display()));
        } else {
            self.more += 1;
        }
    }

    fn finish(mut self) -> RunData {
        if self.more > 0 {
            self.left_out.push(format!("and {} more", self.more));
        }
        RunData {
            name: String::new(),
            files: Some(self.files),
            bytes: Some(self.bytes),
            sample: Some(digest(self.sample)),
            times: Some(digest(self.times)),
            full: (self.hash == DataHash::Full).then(|| digest(self.full)),
            left_out: self.left_out,
        }
    }
}

/// No path holds the byte 0, so that what is hashed can be read in one way only.
fn entry(into: &mut Sha256, kind: u8, key: &[u8], rest: &[u8]) {
    into.update([kind]);
    for part in [key, rest] {
        into.update(part);
        into.update([0]);
    }
}

fn digest(hash: Sha256) -> Digest {
    let text = format!("sha256:{}", hex::encode(hash.finalize()));
    text.parse().expect("a digest")
}
