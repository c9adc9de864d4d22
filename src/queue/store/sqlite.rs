//! The store in a file: one machine, many agents.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, ToSql, Transaction, TransactionBehavior};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::StoreError;
use super::sql::{Backend, Clock, Row, Tx, Value, Watch, Work};

/// Writers wait for each other; longer than this, something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Sqlite {
    connection: Connection,
    file: PathBuf,
    boot: String,
}

impl Sqlite {
    pub(super) fn open(file: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = file.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|source| StoreError::Folder {
                folder: folder.to_owned(),
                source,
            })?;
        }
        make_private(file).map_err(|source| StoreError::Folder {
            folder: file.to_owned(),
            source,
        })?;
        let connection = connect(file)?;
        let prepared = connection
            .pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))
            // A job that was taken in is on the disk, and a start is on paper before it happens.
            .and_then(|()| connection.pragma_update(None, "synchronous", "full"));
        prepared.map_err(|error| failed(file, error))?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Ok(Self {
            connection,
            file: file.to_owned(),
            boot: boot.trim().to_owned(),
        })
    }
}

/// Jobs hold code and variables. The file, and the two beside it that get its mode, are for its
/// owner alone whatever the umask; one that somebody shared with a group on purpose stays so.
fn make_private(file: &Path) -> io::Result<()> {
    let made = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file);
    match made {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        // SQLite says better what is wrong with it.
        Err(_) => return Ok(()),
    }
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o007 == 0 {
        return Ok(());
    }
    // Made by an older version. Whoever isn't its owner can't change that.
    for end in ["", "-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(end);
        let _ = std::fs::set_permissions(name, Permissions::from_mode(0o600));
    }
    Ok(())
}

fn connect(file: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(file).map_err(|error| failed(file, error))?;
    connection
        .busy_timeout(PATIENCE)
        .map_err(|error| failed(file, error))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

impl Backend for Sqlite {
    fn transaction(&mut self, work: Work<'_>) -> Result<(), StoreError> {
        let file = self.file.clone();
        let begun = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(|error| failed(&file, error))?;
        let mut tx = SqliteTx {
            transaction,
            file: &file,
            boot: &self.boot,
        };
        work(&mut tx)?;
        let committed = tx.transaction.commit();
        committed.map_err(|error| failed(&file, error))
    }

    fn give_room_back(&mut self) -> Result<(), StoreError> {
        let done = self
            .connection
            .execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
        match done {
            // Somebody is at work, or the disk has no room for a copy: what comes next uses it.
            Err(error)
                if matches!(
                    error.sqlite_error_code(),
                    Some(ErrorCode::DatabaseBusy | ErrorCode::DiskFull)
                ) =>
            {
                Ok(())
            }
            done => done.map_err(|error| failed(&self.file, error)),
        }
    }
}

struct SqliteTx<'a> {
    transaction: Transaction<'a>,
    file: &'a Path,
    boot: &'a str,
}

impl Tx for SqliteTx<'_> {
    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        let read = || {
            let mut statement = self.transaction.prepare_cached(sql)?;
            let columns = statement.column_count();
            let rows = statement.query_map(rusqlite::params_from_iter(values), |row| {
                (0..columns)
                    .map(|i| row.get_ref(i).map(value))
                    .collect::<Result<Vec<_>, _>>()
            })?;
            rows.map(|row| row.map(Row::new))
                .collect::<Result<Vec<Row>, rusqlite::Error>>()
        };
        read().map_err(|error| failed(self.file, error))
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        let run = || {
            let mut statement = self.transaction.prepare_cached(sql)?;
            statement.execute(rusqlite::params_from_iter(values))
        };
        let changed = run().map_err(|error| failed(self.file, error))?;
        Ok(changed as u64)
    }

    fn clock(&mut self) -> Result<Clock, StoreError> {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Ok(Clock {
            boot: self.boot.to_owned(),
            now: time.tv_sec * 1000 + time.tv_nsec / 1_000_000,
        })
    }

    fn skip_locked(&self) -> &'static str {
        "" // A transaction that writes is alone.
    }

    fn by_index(&self, index: &str) -> String {
        format!(" INDEXED BY {index}")
    }

    fn hold(&self) -> &'static str {
        ""
    }

    fn wake(&mut self) -> Result<(), StoreError> {
        Ok(()) // Watchers see that the log changed.
    }
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
        ValueRef::Null => Value::Null,
        ValueRef::Real(_) => Value::Other,
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null | Self::Other => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn failed(file: &Path, error: rusqlite::Error) -> StoreError {
    let file = file.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { file },
        // The files beside it are mapped into memory, which fails with other words.
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) if is_full(&file) => {
            StoreError::Full { file }
        }
        Some(ErrorCode::NotADatabase) => StoreError::NotAStore { file },
        _ => StoreError::File {
            file,
            source: Box::new(error),
        },
    }
}

/// Whether there is no room for even the smallest of its files.
fn is_full(file: &Path) -> bool {
    let folder = file.parent().unwrap_or(file);
    let room = rustix::fs::statvfs(folder).map(|disk| disk.f_bavail * disk.f_frsize);
    room.is_ok_and(|room| room < 64 << 10)
}

/// Watches the log that every change is written to first. The kernel says when; nothing is polled.
pub(super) struct SqliteWatch {
    /// Keeps the log from going away between two changes.
    _connection: Connection,
    events: OwnedFd,
    file: PathBuf,
}

impl SqliteWatch {
    pub(super) fn open(file: &Path) -> Result<Self, StoreError> {
        let connection = connect(file)?;
        let look = || {
            connection.query_row("SELECT count(*) FROM queues", [], |row| {
                row.get::<_, i64>(0)
            })
        };
        look().map_err(|error| failed(file, error))?;
        let mut log = file.as_os_str().to_owned();
        log.push("-wal");
        let watched =
            inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).and_then(|events| {
                inotify::add_watch(&events, Path::new(&log), WatchFlags::MODIFY)?;
                Ok(events)
            });
        let events = watched.map_err(|error| StoreError::Folder {
            folder: log.into(),
            source: error.into(),
        })?;
        Ok(Self {
            _connection: connection,
            events,
            file: file.to_owned(),
        })
    }
}

impl Watch for SqliteWatch {
    fn wait(&mut self, patience: Duration) -> Result<(), StoreError> {
        let failed = |error: rustix::io::Errno| StoreError::Folder {
            folder: self.file.clone(),
            source: error.into(),
        };
        let timeout = Timespec::try_from(patience).unwrap_or_default();
        let mut waits = [PollFd::new(&self.events, PollFlags::IN)];
        match poll(&mut waits, Some(&timeout)) {
            // A signal for the agent: it looks for itself.
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(failed(error)),
        }
        let mut buffer = [0; 4096];
        while rustix::io::read(&self.events, &mut buffer).is_ok_and(|count| count > 0) {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("queues/queue.db");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        drop(Sqlite::open(&file).unwrap());
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        for (before, after) in [(0o644, 0o600), (0o666, 0o600), (0o660, 0o660)] {
            std::fs::set_permissions(&file, Permissions::from_mode(before)).unwrap();
            drop(Sqlite::open(&file).unwrap());
            assert_eq!(mode(&file), after);
        }
    }
}
