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

use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

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
    /// SHA-256 of the content; zeros for what has none.
    pub content: [u8; 32],
    /// SHA-256 of the extended attributes; zeros for none.
    pub xattrs: [u8; 32],
}

/// A cache file that was read, to be asked in walk order.
pub(super) struct HashCache {
    bytes: Vec<u8>,
    at: usize,
    end: usize,
}

/// Bytes of an entry besides its path.
const FIXED: usize = 4 + 5 * 8 + 32 + 32;

impl HashCache {
    /// Reads a cache file; one that is missing or damaged is empty.
    pub(super) fn read(path: Option<&Path>) -> Self {
        let bytes = path.and_then(|p| std::fs::read(p).ok()).unwrap_or_default();
        let empty = HashCache {
            bytes: Vec::new(),
            at: 0,
            end: 0,
        };
        let Some(end) = bytes.len().checked_sub(32) else {
            return empty;
        };
        if !bytes.starts_with(MAGIC) || Sha256::digest(&bytes[..end])[..] != bytes[end..] {
            return empty;
        }
        HashCache {
            bytes,
            at: MAGIC.len(),
            end,
        }
    }

    /// What is remembered of an entry. Ask in walk order: entries before this
    /// one are left behind.
    pub(super) fn get(&mut self, path: &[u8], identity: &Identity) -> Option<Remembered> {
        loop {
            let entry = self.bytes[..self.end].get(self.at..)?;
            let length = u32::from_le_bytes(*entry.first_chunk()?) as usize;
            let fixed = entry.get(4..FIXED)?;
            let name = entry.get(FIXED..FIXED.checked_add(length)?)?;
            match in_walk_order(name, path) {
                std::cmp::Ordering::Less => self.at += FIXED + length,
                std::cmp::Ordering::Greater => return None,
                std::cmp::Ordering::Equal => {
                    self.at += FIXED + length;
                    let same = fixed
                        .chunks_exact(8)
                        .zip(identity.fields())
                        .all(|(bytes, field)| bytes == field.to_le_bytes());
                    return same.then(|| Remembered {
                        content: fixed[40..72].try_into().expect("32 bytes"),
                        xattrs: fixed[72..].try_into().expect("32 bytes"),
                    });
                }
            }
        }
    }
}

fn in_walk_order(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    a.iter().map(key).cmp(b.iter().map(key))
}

/// Collects the next cache file.
pub(super) struct NewCache {
    bytes: Vec<u8>,
    /// Files changed at this time or later may still change unseen.
    before: i64,
}

impl NewCache {
    /// `looked`: a time before the first entry was looked at.
    pub(super) fn new(looked: SystemTime) -> Self {
        let at_rest = looked
            .checked_sub(AT_REST)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        let since = at_rest.duration_since(SystemTime::UNIX_EPOCH);
        NewCache {
            bytes: MAGIC.to_vec(),
            before: since.map_or(0, |d| d.as_nanos() as i64),
        }
    }

    /// Adds an entry, unless it may still change unseen. In walk order.
    pub(super) fn add(&mut self, path: &[u8], identity: &Identity, what: &Remembered) {
        if identity.ctime >= self.before {
            return;
        }
        self.bytes.extend((path.len() as u32).to_le_bytes());
        for field in identity.fields() {
            self.bytes.extend(field.to_le_bytes());
        }
        self.bytes.extend(what.content);
        self.bytes.extend(what.xattrs);
        self.bytes.extend(path);
    }

    /// Writes the file, if it isn't there as it is already.
    pub(super) fn write(mut self, path: &Path, old: &HashCache) -> Result<(), FsError> {
        if self.bytes == old.bytes[..old.end] {
            return Ok(());
        }
        self.bytes.extend(Sha256::digest(&self.bytes));
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let failed = |e| {
            FsError::io(
                "write the hash cache",
                path.as_os_str().as_encoded_bytes(),
                e,
            )
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let name = format!(".hashes-{}-{}", std::process::id(), unique());
        let temporary = folder.join(name);
        let written = std::fs::File::create_new(&temporary)
            .and_then(|mut file| file.write_all(&self.bytes))
            .and_then(|()| std::fs::rename(&temporary, path));
        written.map_err(|e| {
            let _ = std::fs::remove_file(&temporary);
            failed(e)
        })
    }
}

fn unique() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
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
        let mut new = NewCache::new(SystemTime::now());
        for name in ["a", "a/b", "a-b"] {
            new.add(name.as_bytes(), &identity(5), &WHAT);
        }
        new.write(&path, &HashCache::read(None)).unwrap();
        path
    }

    #[test]
    fn entries_hold_for_the_same_file_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = HashCache::read(Some(&written(dir.path())));
        assert_eq!(cache.get(b"a", &identity(6)), None);
        assert_eq!(cache.get(b"a/a", &identity(5)), None);
        assert_eq!(cache.get(b"a/b", &identity(5)), Some(WHAT));
        assert_eq!(cache.get(b"a-b", &identity(5)), Some(WHAT));
        assert_eq!(cache.get(b"b", &identity(5)), None);
    }

    #[test]
    fn files_that_were_just_changed_are_not_kept() {
        let now = SystemTime::now();
        let nanoseconds =
            |t: SystemTime| t.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as i64;
        let mut new = NewCache::new(now);
        let empty = new.bytes.len();
        new.add(b"fresh", &identity(nanoseconds(now - AT_REST)), &WHAT);
        new.add(b"future", &identity(nanoseconds(now + AT_REST)), &WHAT);
        assert_eq!(new.bytes.len(), empty);
        new.add(b"old", &identity(nanoseconds(now - 2 * AT_REST)), &WHAT);
        assert!(new.bytes.len() > empty);
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
