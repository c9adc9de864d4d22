//! A digest of what a build would be sent of its context.
//!
//! Two contexts have the same digest exactly if the daemon would receive the
//! same entries: names, types, permissions, sizes, contents, links and extended
//! attributes, after `.dockerignore`. Owners and times aren't part of it, as
//! the daemon's own cache keys leave them out. The digest goes into locks and
//! decides whether a build can be skipped, so a wrong match is never accepted:
//! see `hash_cache` for when a file isn't read again. Contents are
//! hashed with BLAKE3, which keeps up with the disk where SHA-256 doesn't.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use rustix::fs::FileType;
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::dockerignore;
use super::error::FsError;
use super::filter::{Filter, Selection};
use super::hash_cache::{self, Answer, AtRest, Entry, HashCache, Identity, Remembered, trusts};
use super::tree::Tree;
use super::walk::{self, Found, Normalise, go_mode};

/// A build context, as a build would select from it.
#[derive(Debug, Clone, Default)]
pub struct ContextSelection {
    /// The context folder.
    pub root: PathBuf,
    /// The Dockerfile on disk, if there is one: `<Dockerfile>.dockerignore`
    /// next to it takes the place of the context's own ignore file.
    pub dockerfile: Option<PathBuf>,
    /// The content of an ignore file and its name for errors, instead of those on disk.
    pub ignore: Option<(String, String)>,
    /// Look only at these paths and what symlinks on their way lead to, as the
    /// daemon does for the sources of COPY; empty means all that isn't ignored.
    pub only: Vec<String>,
    /// What is made equal on the way to the daemon.
    pub normalise: Normalise,
}

/// What a context amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Belongs into the session's shared key, next to the context's path. The
    /// daemon keeps what it was sent under a key and asks only for files whose
    /// size or time changed; this part changes where that would miss an edit.
    pub transfer_key: String,
    /// Entries: files, folders, links.
    pub entries: u64,
    /// Bytes of content.
    pub bytes: u64,
    /// Files that had to be read, as the cache didn't know them.
    pub read: u64,
}

/// An entry of a context, and what it amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryDigest {
    /// From the root, without a leading slash.
    pub path: Vec<u8>,
    /// Go's mode bits, see [`go_mode`].
    pub mode: u32,
    /// Bytes of content.
    pub size: u64,
    /// The same for two entries exactly if the daemon would receive the same.
    pub digest: [u8; 32],
}

/// The entries of a context, in the order of a transfer; as [`fingerprint`] otherwise.
///
/// # Errors
/// A file that can't be read, or doesn't come to rest.
pub fn entry_digests(
    context: &ContextSelection,
    cache: Option<&Path>,
) -> Result<Vec<EntryDigest>, FsError> {
    at_rest(|| {
        let (survey, _) = look(context, cache)?;
        let of = |item: &Item| {
            let mut digest = Sha256::new();
            item.digest_into(&mut digest, survey.path(item));
            EntryDigest {
                path: survey.path(item).to_vec(),
                mode: item.mode,
                size: item.size(),
                digest: digest.finalize().into(),
            }
        };
        Ok(survey.items.iter().map(of).collect())
    })
}

/// Digests a context. `cache`: a file of this context's own that remembers
/// content digests; it is made where missing, with its folder.
pub fn fingerprint(
    context: &ContextSelection,
    cache: Option<&Path>,
) -> Result<Fingerprint, FsError> {
    at_rest(|| attempt(context, cache))
}

/// A file that changes meanwhile gets two more chances to come to rest.
fn at_rest<T>(attempt: impl Fn() -> Result<T, FsError>) -> Result<T, FsError> {
    let mut attempts = 0..3;
    loop {
        attempts.next();
        match attempt() {
            Err(FsError::Changed { .. }) if !attempts.is_empty() => {}
            result => return result,
        }
    }
}

fn attempt(context: &ContextSelection, cache: Option<&Path>) -> Result<Fingerprint, FsError> {
    let (survey, kept) = look(context, cache)?;
    let mut digest = Sha256::new();
    digest.update(b"mlbuild context 1\n");
    let mut bytes = 0;
    for item in &survey.items {
        item.digest_into(&mut digest, survey.path(item));
        if item.extra.as_deref().is_none_or(|e| e.link.is_empty()) {
            bytes += item.size();
        }
    }
    let digest = format!("sha256:{}", hex::encode(digest.finalize()));
    // Where nothing tells one file from another of its size, only the digest
    // does.
    let transfer_key = match kept.generation {
        Some(generation) if context.normalise.mtime.is_none() => format!("{generation:x}"),
        _ => digest.clone(),
    };
    Ok(Fingerprint {
        digest,
        transfer_key,
        entries: survey.items.len() as u64,
        bytes,
        read: kept.read,
    })
}

/// What a survey left for the next one.
struct Kept {
    /// Changes where a file's content did behind its size and time; `None` where nothing could be kept.
    generation: Option<u64>,
    /// Files that had to be read.
    read: u64,
}

/// Looks at a context, and reads what the cache doesn't know.
fn look(context: &ContextSelection, cache: Option<&Path>) -> Result<(Survey, Kept), FsError> {
    let looked = SystemTime::now();
    let tree = Tree::open(&context.root)?;
    let selection = Selection {
        exclude: match &context.ignore {
            Some((file, content)) => dockerignore::of_text(file, content.as_bytes())?,
            None => dockerignore::of_context(&tree, context.dockerfile.as_deref())?,
        },
        follow: context.only.clone(),
        ..Default::default()
    };
    let filter = Filter::new(Some(&tree), &selection)?;
    let root = tree.lstat(b".").map_err(|e| tree.error("read", b"", e))?;
    // Another device may be one of the file systems not to be trusted.
    let device = trusts(&tree).then_some(root.st_dev);
    let at_rest = AtRest::when(looked);

    let mut old = HashCache::read(cache);
    let mut survey = Survey::default();
    walk::walk(&tree, &filter, context.normalise, &mut |found| {
        let identity = Identity::of(found.stat);
        let trusted = device == Some(identity.device) && at_rest.holds(&identity);
        let answer = match old.get(found.path, &identity) {
            Answer::Same(what) if !trusted => Answer::Looked(what.content),
            answer => answer,
        };
        survey.add(found, identity, answer, trusted)
    })?;
    let (old_digest, generation) = (old.digest(), old.generation());
    drop(old);
    let read = survey.read_unknown(&tree)?;
    // A lost count must not begin again where a daemon has seen it before.
    let now = || {
        looked
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    };
    let generation = generation.unwrap_or_else(|| now().as_nanos() as u64);
    let generation = generation + u64::from(survey.disguised());

    // It only saves time: without it, all is read again.
    let is_kept = cache.is_some_and(|path| {
        let entries = survey.items.iter().map(|item| survey.entry(item));
        hash_cache::write(path, old_digest, generation, entries).is_ok()
    });
    let generation = is_kept.then_some(generation);
    Ok((survey, Kept { generation, read }))
}

/// The entries of a context, in walk order.
#[derive(Default)]
struct Survey {
    paths: Vec<u8>,
    items: Vec<Item>,
    /// Items whose content must be read.
    unknown: Vec<usize>,
    /// Items whose size and time are what they were, with the content then.
    looked: Vec<(usize, [u8; 32])>,
}

/// Kept small: a context may have a hundred thousand of them.
struct Item {
    start: u32,
    length: u16,
    /// May be taken for the same from now on, see [`AtRest`].
    trusted: bool,
    mode: u32,
    identity: Identity,
    content: [u8; 32],
    /// What few entries have.
    extra: Option<Box<Extra>>,
}

#[derive(Default, PartialEq)]
struct Extra {
    link: Vec<u8>,
    device: u64,
    xattrs: [u8; 32],
}

impl Item {
    /// Bytes; 0 for folders.
    fn size(&self) -> u64 {
        match self.mode & go_mode::DIR {
            0 => self.identity.size,
            _ => 0,
        }
    }

    fn remembered(&self) -> Remembered {
        Remembered {
            content: self.content,
            xattrs: self.extra.as_deref().map_or([0; 32], |e| e.xattrs),
        }
    }

    /// Each field after its length, so that no two entries read alike.
    fn digest_into(&self, digest: &mut Sha256, path: &[u8]) {
        let none = Extra::default();
        let extra = self.extra.as_deref().unwrap_or(&none);
        let mut header = [0; 40];
        let numbers = [
            path.len() as u64,
            u64::from(self.mode),
            self.size(),
            extra.device,
            extra.link.len() as u64,
        ];
        for (place, number) in header.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        digest.update(header);
        digest.update(path);
        digest.update(&extra.link);
        digest.update(self.content);
        digest.update(extra.xattrs);
    }
}

impl Survey {
    fn path(&self, item: &Item) -> &[u8] {
        &self.paths[item.start as usize..item.start as usize + item.length as usize]
    }

    fn add(
        &mut self,
        found: &Found<'_>,
        identity: Identity,
        answer: Answer,
        trusted: bool,
    ) -> Result<(), FsError> {
        let Some(link) = found.link_name()? else {
            return Ok(());
        };
        if let Answer::Looked(content) = answer {
            self.looked.push((self.items.len(), content));
        }
        let what = match answer {
            Answer::Same(what) => what,
            Answer::Looked(_) | Answer::Unknown => {
                let Some(xattrs) = found.xattrs()? else {
                    return Ok(());
                };
                if found.kind() == FileType::RegularFile {
                    self.unknown.push(self.items.len());
                }
                Remembered {
                    content: [0; 32],
                    xattrs: digest_xattrs(&xattrs),
                }
            }
        };
        let is_device = matches!(
            found.kind(),
            FileType::BlockDevice | FileType::CharacterDevice
        );
        let extra = Extra {
            link,
            device: if is_device { found.stat.st_rdev } else { 0 },
            xattrs: what.xattrs,
        };
        self.items.push(Item {
            start: u32::try_from(self.paths.len()).map_err(|_| {
                FsError::Protocol("the context's paths take more than 4 GiB".into())
            })?,
            length: found.path.len() as u16,
            trusted,
            mode: found.mode(),
            identity,
            content: what.content,
            extra: (extra != Extra::default()).then(|| Box::new(extra)),
        });
        self.paths.extend_from_slice(found.path);
        Ok(())
    }

    fn entry<'a>(&'a self, item: &'a Item) -> Entry<'a> {
        Entry {
            path: self.path(item),
            identity: item.identity,
            what: item.remembered(),
            trusted: item.trusted,
        }
    }

    /// Whether a file's content changed, but not its size nor its time.
    fn disguised(&self) -> bool {
        self.looked
            .iter()
            .any(|(i, content)| self.items[*i].content != *content)
    }

    /// Reads what isn't known, on all processors; how many files that were.
    fn read_unknown(&mut self, tree: &Tree) -> Result<u64, FsError> {
        let mut unknown = std::mem::take(&mut self.unknown);
        // Large files first, so that none is left over at the end.
        unknown.sort_by_key(|i| std::cmp::Reverse(self.items[*i].size()));
        let next = AtomicUsize::new(0);
        let results = Mutex::new(Vec::with_capacity(unknown.len()));
        let work = || {
            let mut buffer = vec![0; 256 * 1024];
            while let Some(i) = unknown.get(next.fetch_add(1, Ordering::Relaxed)) {
                let item = &self.items[*i];
                let result = digest_file(tree, self.path(item), &item.identity, &mut buffer);
                let failed = result.is_err();
                results.lock().expect("no panics").push((*i, result));
                if failed {
                    next.store(unknown.len(), Ordering::Relaxed);
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 1..threads.min(unknown.len()) {
                scope.spawn(work);
            }
            work();
        });
        let results = results.into_inner().expect("no panics");
        for (i, content) in results {
            self.items[i].content = content?;
        }
        Ok(unknown.len() as u64)
    }
}

fn digest_xattrs(xattrs: &std::collections::BTreeMap<String, Vec<u8>>) -> [u8; 32] {
    if xattrs.is_empty() {
        return [0; 32];
    }
    let mut digest = Sha256::new();
    for (name, value) in xattrs {
        digest.update((name.len() as u64).to_le_bytes());
        digest.update((value.len() as u64).to_le_bytes());
        digest.update(name);
        digest.update(value);
    }
    digest.finalize().into()
}

/// The digest of a file's content, provided that it stays what it was.
fn digest_file(
    tree: &Tree,
    path: &[u8],
    identity: &Identity,
    buffer: &mut [u8],
) -> Result<[u8; 32], FsError> {
    let full = || tree.absolute(path).into_os_string().into_encoded_bytes();
    let file = tree.open_file(path).map_err(|e| match e {
        Errno::NOENT | Errno::NOTDIR => FsError::changed(&full(), "disappeared"),
        Errno::LOOP | Errno::NXIO => FsError::changed(&full(), "was replaced"),
        e => tree.error("open", path, e),
    })?;
    let unchanged = || {
        let stat = rustix::fs::fstat(&file).map_err(|e| tree.error("read", path, e))?;
        if Identity::of(&stat) == *identity {
            Ok(())
        } else {
            Err(FsError::changed(&full(), "was changed"))
        }
    };
    unchanged()?;
    let mut digest = blake3::Hasher::new();
    loop {
        match rustix::io::read(&file, &mut *buffer) {
            Ok(0) => break,
            Ok(n) => {
                digest.update(&buffer[..n]);
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(tree.error("read", path, e)),
        }
    }
    unchanged()?;
    Ok(digest.finalize().into())
}
