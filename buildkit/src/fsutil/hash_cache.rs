//! Remembers content digests between runs, so that unchanged files need not
//! be read again.
//!
//! An entry holds only for a file whose path, device, inode, size,
//! modification time and change time are all the same. The kernel sets the
//! change time on every write, rename or change of mode, and no call can set
//! it back; but it moves in ticks. So an entry is kept only if the file was at
//! rest for [`AT_REST`] before it was looked at: a later change then has a
//! later time for sure. Git guards its index in the same manner. What escapes
//! this is a store through a writable memory mapping that was already dirty;
//! file systems whose clock or cache is elsewhere (NFS, FUSE, 9p…) are never
//! trusted at all, see [`trusts`].
//!
//! The file is written whole under another name and renamed, so that two runs
//! at once do no harm, and it ends with a digest, so that damage shows; a
//! damaged file counts as an empty one.
//!
//! It also counts generations. A daemon takes a file for unchanged if its size
//! and modification time are what they were; where the content isn't, a new
//! generation begins, and the daemon must be given the context afresh.

use std::cmp::Ordering;
use std::io::{BufWriter, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::error::FsError;

const MAGIC: &[u8] = b"mlbuild hash cache 1\n";

/// How long a file must have been left alone. The coarsest clocks in use tick
/// every two seconds.
const AT_REST: Duration = Duration::from_secs(2);

/// What must be the same for a file to be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime: i64,
    /// Nanoseconds since 1970.
    pub ctime: i64,
}

impl Identity {
    pub(super) fn of(stat: &rustix::fs::Stat) -> Self {
        Identity {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size as u64,
            mtime: super::walk::mtime(stat),
            ctime: stat.st_ctime * 1_000_000_000 + stat.st_ctime_nsec as i64,
        }
    }

    fn fields(&self) -> [u64; 5] {
        [
            self.device,
            self.inode,
            self.size,
            self.mtime as u64,
            self.ctime as u64,
        ]
    }
}

/// What is remembered of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Remembered {
    /// BLAKE3 of the content; zeros for what has none.
    pub content: [u8; 32],
    /// SHA-256 of the extended attributes; zeros for none.
    pub xattrs: [u8; 32],
}

/// An entry of the cache.
pub(super) struct Entry<'a> {
    pub path: &'a [u8],
    pub identity: Identity,
    pub what: Remembered,
    /// The same identity means the same content.
    pub trusted: bool,
}

/// What the cache has to say about an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is what it was.
    Same(Remembered),
    /// A file of this size and modification time had this content.
    Looked([u8; 32]),
    Unknown,
}

/// A cache file that was read, to be asked in walk order.
#[derive(Default)]
pub(super) struct HashCache {
    bytes: Vec<u8>,
    at: usize,
    end: usize,
}

/// Bytes before the first entry: the magic line and the generation.
const HEADER: usize = MAGIC.len() + 8;
/// Bytes of an entry besides its path.
const FIXED: usize = 4 + 1 + 5 * 8 + 32 + 32;

impl HashCache {
    /// Reads a cache file; one that is missing or damaged is empty.
    pub(super) fn read(path: Option<&Path>) -> Self {
        let bytes = path.and_then(|p| std::fs::read(p).ok()).unwrap_or_default();
        let Some(end) = bytes.len().checked_sub(32).filter(|end| *end >= HEADER) else {
            return HashCache::default();
        };
        if !bytes.starts_with(MAGIC) || Sha256::digest(&bytes[..end])[..] != bytes[end..] {
            return HashCache::default();
        }
        HashCache {
            bytes,
            at: HEADER,
            end,
        }
    }

    /// The generation, if there is a cache.
    pub(super) fn generation(&self) -> Option<u64> {
        let bytes = self.bytes.get(MAGIC.len()..)?;
        Some(u64::from_le_bytes(*bytes.first_chunk()?))
    }

    /// The digest at the file's end.
    pub(super) fn digest(&self) -> Option<[u8; 32]> {
        self.bytes[self.end..].try_into().ok()
    }

    /// What is remembered of an entry. Ask in walk order: entries before this
    /// one are left behind.
    pub(super) fn get(&mut self, path: &[u8], identity: &Identity) -> Answer {
        while let Some(entry) = entry_at(&self.bytes[..self.end], self.at) {
            let order = in_walk_order(entry.path, path);
            if order == Ordering::Greater {
                break;
            }
            let then = entry.identity;
            self.at += FIXED + entry.path.len();
            if order == Ordering::Equal {
                if entry.trusted && then == *identity {
                    return Answer::Same(entry.what);
                }
                let looks_same = (then.size, then.mtime) == (identity.size, identity.mtime);
                if looks_same && entry.what.content != [0; 32] {
                    return Answer::Looked(entry.what.content);
                }
                break;
            }
        }
        Answer::Unknown
    }
}

fn entry_at(bytes: &[u8], at: usize) -> Option<Entry<'_>> {
    let bytes = bytes.get(at..)?;
    let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let number = |i: usize| {
        let field = bytes.get(5 + i * 8..)?.first_chunk()?;
        Some(u64::from_le_bytes(*field))
    };
    let digest = |at: usize| bytes.get(at..)?.first_chunk().copied();
    Some(Entry {
        path: bytes.get(FIXED..FIXED.checked_add(length)?)?,
        identity: Identity {
            device: number(0)?,
            inode: number(1)?,
            size: number(2)?,
            mtime: number(3)? as i64,
            ctime: number(4)? as i64,
        },
        what: Remembered {
            content: digest(45)?,
            xattrs: digest(77)?,
        },
        trusted: bytes[4] == 1,
    })
}

fn in_walk_order(a: &[u8], b: &[u8]) -> Ordering {
    let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    a.iter().map(key).cmp(b.iter().map(key))
}

/// Tells which entries may be trusted from now on.
#[derive(Clone, Copy)]
pub(super) struct AtRest {
    /// Files changed at this time or later may still change unseen.
    before: i64,
}

impl AtRest {
    /// `looked`: a time before the first entry was looked at.
    pub(super) fn when(looked: SystemTime) -> Self {
        let at_rest = looked
            .checked_sub(AT_REST)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        let since = at_rest.duration_since(SystemTime::UNIX_EPOCH);
        AtRest {
            before: since.map_or(0, |d| d.as_nanos() as i64),
        }
    }

    /// Whether a later change of this file is sure to show.
    pub(super) fn holds(&self, identity: &Identity) -> bool {
        identity.ctime < self.before
    }
}

/// Writes a cache file of these entries, given in walk order, unless `old` is
/// just that file.
pub(super) fn write<'a>(
    path: &Path,
    old: Option<[u8; 32]>,
    generation: u64,
    entries: impl Iterator<Item = Entry<'a>> + Clone,
) -> Result<(), FsError> {
    let mut digest = Sha256::new();
    encode(generation, entries.clone(), |bytes| {
        digest.update(bytes);
        Ok(())
    })
    .expect("a digest takes anything");
    let digest: [u8; 32] = digest.finalize().into();
    if old == Some(digest) {
        return Ok(());
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let written = || {
        std::fs::create_dir_all(folder)?;
        let mut file = NamedTempFile::new_in(workshop(folder))?;
        let mut out = BufWriter::with_capacity(64 * 1024, file.as_file_mut());
        encode(generation, entries, |bytes| out.write_all(bytes))?;
        out.write_all(&digest)?;
        out.flush()?;
        drop(out);
        file.persist(path).map(drop).map_err(|error| error.error)
    };
    written().map_err(|e| {
        let name = path.as_os_str().as_encoded_bytes();
        FsError::io("write the hash cache", name, e)
    })
}

/// Where a file for `folder` is written first: among the temporary things of this process, which its
/// owner looks after, if those are on the same file system.
fn workshop(folder: &Path) -> PathBuf {
    let temporary = tempfile::env::temp_dir();
    let device = |path: &Path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
    if device(&temporary).is_some() && device(&temporary) == device(folder) {
        temporary
    } else {
        folder.to_owned()
    }
}

fn encode<'a>(
    generation: u64,
    entries: impl Iterator<Item = Entry<'a>>,
    mut write: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    write(MAGIC)?;
    write(&generation.to_le_bytes())?;
    for entry in entries {
        let mut fixed = [0; FIXED];
        fixed[..4].copy_from_slice(&(entry.path.len() as u32).to_le_bytes());
        fixed[4] = u8::from(entry.trusted);
        let fields = fixed[5..45].chunks_exact_mut(8);
        for (place, field) in fields.zip(entry.identity.fields()) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        fixed[45..77].copy_from_slice(&entry.what.content);
        fixed[77..].copy_from_slice(&entry.what.xattrs);
        write(&fixed)?;
        write(entry.path)?;
    }
    Ok(())
}

/// Whether a file system's change times can be relied on: the local ones that
/// stamp them by this machine's clock.
pub(super) fn trusts(root: &impl std::os::fd::AsFd) -> bool {
    const KNOWN: [u64; 9] = [
        0xef53,      // ext2, ext3, ext4
        0x5846_5342, // xfs
        0x9123_683e, // btrfs
        0x0102_1994, // tmpfs
        0x794c_7630, // overlayfs
        0xf2f5_2010, // f2fs
        0x2fc1_2fc1, // zfs
        0x8584_58f6, // ramfs
        0xca45_1a4e, // bcachefs
    ];
    rustix::fs::fstatfs(root).is_ok_and(|s| KNOWN.contains(&(s.f_type as u64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(ctime: i64) -> Identity {
        Identity {
            device: 1,
            inode: 2,
            size: 3,
            mtime: 4,
            ctime,
        }
    }

    const WHAT: Remembered = Remembered {
        content: [7; 32],
        xattrs: [9; 32],
    };

    fn written(dir: &Path) -> std::path::PathBuf {
        let path = dir.join("cache");
        let names: [(&[u8], bool); 4] =
            [(b"a", true), (b"a/b", true), (b"a-b", true), (b"c", false)];
        let entries = names.into_iter().map(|(path, trusted)| Entry {
            path,
            identity: identity(5),
            what: WHAT,
            trusted,
        });
        write(&path, None, 17, entries).unwrap();
        path
    }

    #[test]
    fn entries_hold_for_the_same_file_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = HashCache::read(Some(&written(dir.path())));
        assert_eq!(cache.generation(), Some(17));
        assert_eq!(cache.get(b"a", &identity(6)), Answer::Looked(WHAT.content));
        assert_eq!(cache.get(b"a/a", &identity(5)), Answer::Unknown);
        assert_eq!(cache.get(b"a/b", &identity(5)), Answer::Same(WHAT));
        let larger = Identity {
            size: 9,
            ..identity(5)
        };
        assert_eq!(cache.get(b"a-b", &larger), Answer::Unknown);
        assert_eq!(cache.get(b"c", &identity(5)), Answer::Looked(WHAT.content));
        assert_eq!(cache.get(b"d", &identity(5)), Answer::Unknown);
    }

    #[test]
    fn files_that_were_just_changed_are_not_kept() {
        let now = SystemTime::now();
        let nanoseconds =
            |t: SystemTime| t.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as i64;
        let at_rest = AtRest::when(now);
        assert!(!at_rest.holds(&identity(nanoseconds(now - AT_REST))));
        assert!(!at_rest.holds(&identity(nanoseconds(now + AT_REST))));
        assert!(at_rest.holds(&identity(nanoseconds(now - 2 * AT_REST))));
    }

    #[test]
    fn a_damaged_file_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        let good = std::fs::read(&path).unwrap();
        for i in 0..good.len() {
            let mut bad = good.clone();
            bad[i] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            assert_eq!(HashCache::read(Some(&path)).end, 0, "byte {i}");
            std::fs::write(&path, &good[..i]).unwrap();
            assert_eq!(HashCache::read(Some(&path)).end, 0, "cut at {i}");
        }
    }
}
