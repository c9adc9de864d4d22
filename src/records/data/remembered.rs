//! Hashes of whole files that were read before, by device, inode, size and times: of a file that nobody
//! wrote since they hold; and the places outside of projects where data was fingerprinted. That they can't be
//! kept is no failure.

use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use crate::env_vars;

/// The file in the folder for caches.
const FILE: &str = "data-hashes.db";
/// Seconds after which a hash that nobody asked for is forgotten.
const FORGOTTEN: i64 = 180 * 24 * 3600;
/// A file that was written so many seconds ago may be written again within the clock's last tick.
const RACY: i64 = 2;
/// Another process that writes is waited for so long.
const PATIENCE: Duration = Duration::from_secs(2);

/// One row for each inode, so that the table never grows beyond the files that there are.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS files (device INTEGER, inode INTEGER, size INTEGER, \
    written TEXT, full BLOB, used INTEGER, PRIMARY KEY (device, inode))";

/// One row for each place that somebody on this machine gave.
const PLACES: &str = "CREATE TABLE IF NOT EXISTS places (path BLOB PRIMARY KEY)";

/// Rows that are written at once.
const BATCH: usize = 500;
/// Seconds after which it is written down that a hash was asked for.
const STALE: i64 = 24 * 3600;

pub(super) struct Remembered {
    database: Connection,
    now: i64,
    unwritten: Vec<(Key, [u8; 32])>,
}

/// Device, inode, size, and when content and inode were written.
type Key = (i64, i64, i64, String);

impl Remembered {
    /// Opens them; `None` where there is no place for them.
    pub(super) fn open() -> Option<Self> {
        let folder = env_vars::state_dir()?;
        std::fs::create_dir_all(&folder).ok()?;
        let database = Connection::open(folder.join(FILE)).ok()?;
        database.busy_timeout(PATIENCE).ok()?;
        database.execute(TABLE, []).ok()?;
        database.execute(PLACES, []).ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let now = i64::try_from(now.as_secs()).ok()?;
        let old = params![now - FORGOTTEN];
        database
            .execute("DELETE FROM files WHERE used < ?1", old)
            .ok()?;
        Some(Self {
            database,
            now,
            unwritten: Vec::new(),
        })
    }

    /// The hash of a file that is as it was.
    pub(super) fn get(&mut self, metadata: &Metadata) -> Option<[u8; 32]> {
        let key = key(metadata);
        let query = "SELECT full, used FROM files WHERE device = ?1 AND inode = ?2 AND size = ?3 \
            AND written = ?4";
        let (full, used): (Vec<u8>, i64) = {
            let mut query = self.database.prepare_cached(query).ok()?;
            let values = params![key.0, key.1, key.2, key.3];
            query
                .query_row(values, |row| Ok((row.get(0)?, row.get(1)?)))
                .ok()?
        };
        let full: [u8; 32] = full.try_into().ok()?;
        if self.now - used > STALE {
            self.keep(key, full);
        }
        Some(full)
    }

    /// Keeps the hash of a file, unless it was written just now.
    pub(super) fn put(&mut self, metadata: &Metadata, full: [u8; 32]) {
        if metadata.mtime() <= self.now - RACY && metadata.ctime() <= self.now - RACY {
            self.keep(key(metadata), full);
        }
    }

    fn keep(&mut self, key: Key, full: [u8; 32]) {
        self.unwritten.push((key, full));
        if self.unwritten.len() >= BATCH {
            self.write();
        }
    }

    /// What can't be written is read again another time.
    fn write(&mut self) {
        let rows = std::mem::take(&mut self.unwritten);
        let Ok(transaction) = self.database.transaction() else {
            return;
        };
        for (key, full) in &rows {
            let query = "INSERT OR REPLACE INTO files VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let values = params![key.0, key.1, key.2, key.3, full.as_slice(), self.now];
            let _ = transaction.execute(query, values);
        }
        let _ = transaction.commit();
    }
}

/// Keeps that somebody on this machine gave a place as a run's data.
pub(super) fn give(path: &Path) {
    if let Some(remembered) = Remembered::open() {
        let query = "INSERT OR REPLACE INTO places VALUES (?1)";
        let values = params![path.as_os_str().as_bytes()];
        let _ = remembered.database.execute(query, values);
    }
}

/// Whether somebody on this machine did.
pub(super) fn is_given(path: &Path) -> bool {
    let Some(remembered) = Remembered::open() else {
        return false;
    };
    let query = "SELECT 1 FROM places WHERE path = ?1";
    let values = params![path.as_os_str().as_bytes()];
    let found = remembered.database.query_row(query, values, |_| Ok(()));
    found.is_ok()
}

impl Drop for Remembered {
    fn drop(&mut self) {
        if !self.unwritten.is_empty() {
            self.write();
        }
    }
}

fn key(metadata: &Metadata) -> Key {
    let (m, c) = (
        (metadata.mtime(), metadata.mtime_nsec()),
        (metadata.ctime(), metadata.ctime_nsec()),
    );
    (
        metadata.dev().cast_signed(),
        metadata.ino().cast_signed(),
        metadata.len().cast_signed(),
        format!("{}.{:09} {}.{:09}", m.0, m.1, c.0, c.1),
    )
}
