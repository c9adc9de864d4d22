//! Where queues and jobs are kept: a SQLite file, or PostgreSQL.
//!
//! | what | file |
//! | --- | --- |
//! | tables | `schema` |
//! | queues | `queues` |
//! | jobs, seen from outside: launch, list, cancel | `jobs` |
//! | the next job for an agent, with its GPUs | `claims` |
//! | a job that an agent has: its start, its end | `lifecycle` |
//! | agents: names, leases, what they leave to others | `agents` |
//! | a job given to an agent, or back to its queue | `assignment` |
//! | code of jobs, images built from it | `archives` |
//! | what is removed of jobs that are over | `prune` |
//! | the two databases | `sqlite`, `postgres`, `tls`, behind `sql` |
//!
//! A job that an agent has bears a lease and a fencing token (the column `epoch`), which every
//! assignment raises. Whoever wants to change such a job names the token: an agent that slept
//! through its lease changes nothing any more. A container is started only after the store said yes to it.

mod agents;
mod archives;
mod assignment;
mod claims;
mod jobs;
mod lifecycle;
mod postgres;
mod postgres_thread;
mod prune;
mod queues;
mod schema;
mod sql;
mod sqlite;
mod tls;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::ErrorKind;

pub use jobs::Filter;
pub use prune::{Prune, Pruned};
pub use sql::Watch;

use sql::{Backend, Tx};

/// Why the store can't do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite failed.
    #[error("the store {}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What SQLite says.
        source: Box<rusqlite::Error>,
    },
    /// Its folder can't be made.
    #[error("the store's folder {}: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The disk is full.
    #[error("the store {}: the disk is full", file.display())]
    Full {
        /// The file.
        file: PathBuf,
    },
    /// Another kind of file.
    #[error("{}: not a store of queues", file.display())]
    NotAStore {
        /// The file.
        file: PathBuf,
    },
    /// PostgreSQL failed or isn't there.
    #[error("the store in PostgreSQL: {0}")]
    Server(String),
    /// Its disk is full.
    #[error("the store in PostgreSQL: its disk is full")]
    ServerFull,
    /// Not an address.
    #[error("the store's address can't be read: {0}")]
    Address(String),
    /// Whoever is on the way could have the password sent in the clear.
    #[error(
        "the store's address has sslmode=prefer: the password goes in the clear where somebody on the way \
         says that there is no TLS; next: sslmode=require, or sslmode=disable if the network is yours"
    )]
    FallsBack,
    /// Two transactions got in each other's way.
    #[error("the store in PostgreSQL: too many at once")]
    Again,
    /// A newer mlbuild made it.
    #[error("the store was made by a newer mlbuild")]
    TooNew,
    /// It doesn't say which store it is.
    #[error("the store has no id")]
    NoId,
    /// A column is of another type than the tables have.
    #[error("the store holds {found} where {expected} is expected (column {column} of an answer)")]
    Row {
        /// Which one, from 1.
        column: usize,
        /// What the tables have.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A value that this version doesn't know.
    #[error("{what} in the store isn't known: `{value}`")]
    Unknown {
        /// What it is of.
        what: &'static str,
        /// As it stands there.
        value: String,
    },
    /// No job has this id.
    #[error("no job `{id}`")]
    NoJob {
        /// The id, as it was typed.
        id: String,
    },
    /// Several jobs have ids that begin or end so.
    #[error("`{id}` could be {count} jobs")]
    SeveralJobs {
        /// The id, as it was typed.
        id: String,
        /// How many.
        count: usize,
    },
    /// A job that has ended can't be cancelled.
    #[error("job {id} has ended: {state}")]
    JobEnded {
        /// The job.
        id: String,
        /// How.
        state: &'static str,
    },
    /// A job that hasn't ended can't be tried again.
    #[error("job {id} hasn't ended: it is {state}{}", if *silent { ", and its agent says nothing" } else { "" })]
    JobRuns {
        /// The job.
        id: String,
        /// How far it got.
        state: &'static str,
        /// Whether its agent let its lease run out.
        silent: bool,
    },
    /// A job's queue was deleted.
    #[error("the queue of job {id} is gone")]
    QueueGone {
        /// The job.
        id: String,
    },
    /// The code of a job isn't kept any more.
    #[error("no code {digest} in the store")]
    NoCode {
        /// The digest of its archive.
        digest: String,
    },
    /// Another agent has this name.
    #[error("an agent `{name}` is at work on {host}")]
    AgentAtWork {
        /// The name.
        name: String,
        /// The machine of the other one.
        host: String,
    },
    /// No queue has this name.
    #[error("there is no queue `{name}`")]
    NoQueue {
        /// The name.
        name: String,
        /// The queue that was probably meant.
        near: Option<String>,
    },
    /// A queue has this name already.
    #[error("there is a queue `{name}` already")]
    QueueExists {
        /// The name.
        name: String,
    },
    /// A queue with waiting jobs isn't deleted.
    #[error("jobs wait in `{queue}`: {count}")]
    JobsWait {
        /// The queue.
        queue: String,
        /// How many.
        count: u64,
    },
}

impl StoreError {
    fn no_job(id: &str) -> Self {
        Self::NoJob { id: id.to_owned() }
    }

    /// Whether it may work later: the database is away or full.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Server(_) | Self::ServerFull | Self::Full { .. } | Self::Again
        )
    }

    /// What the user named, or else what surrounds the store.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoJob { .. }
            | Self::SeveralJobs { .. }
            | Self::JobEnded { .. }
            | Self::JobRuns { .. }
            | Self::QueueGone { .. }
            | Self::NoCode { .. }
            | Self::AgentAtWork { .. }
            | Self::NoQueue { .. }
            | Self::QueueExists { .. }
            | Self::JobsWait { .. }
            | Self::Address(_)
            | Self::FallsBack
            | Self::NotAStore { .. } => ErrorKind::User,
            _ => ErrorKind::Environment,
        }
    }
}

/// Where a store is.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    /// A SQLite file.
    File(PathBuf),
    /// PostgreSQL.
    Postgres(String),
}

// The address may hold a password.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "File({})", file.display()),
            Self::Postgres(_) => f.write_str("Postgres(…)"),
        }
    }
}

impl Place {
    /// Reads an address.
    pub fn read(text: &str) -> Self {
        match text.starts_with("postgres://") || text.starts_with("postgresql://") {
            true => Self::Postgres(text.to_owned()),
            false => Self::File(Path::new(text.trim_start_matches("sqlite://")).to_owned()),
        }
    }

    /// Waits for changes.
    ///
    /// # Errors
    /// Where the store can't be reached.
    pub fn watch(&self) -> Result<Box<dyn Watch>, StoreError> {
        Ok(match self {
            Self::File(file) => Box::new(sqlite::SqliteWatch::open(file)?),
            Self::Postgres(url) => Box::new(postgres::PostgresWatch::open(url)?),
        })
    }
}

/// Queues and jobs. Whoever holds it may share it among threads.
pub struct Store {
    backend: Mutex<Box<dyn Backend>>,
}

impl Store {
    /// Opens a store, and makes its tables where they aren't there.
    ///
    /// # Errors
    /// Where it can't be reached, or isn't a store.
    pub fn open(place: &Place) -> Result<Self, StoreError> {
        let store = Self::connect(place)?;
        store.transaction(schema::migrate)?;
        Ok(store)
    }

    /// As [`Store::open`]. A database that answered and went away meanwhile is asked again: `wait` is called
    /// before each time.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_and_wait(place: &Place, wait: &dyn Fn(&StoreError)) -> Result<Self, StoreError> {
        let store = Self::connect(place)?;
        loop {
            match store.transaction(schema::migrate) {
                Err(error) if error.may_pass() => wait(&error),
                done => return done.map(|_| store),
            }
        }
    }

    fn connect(place: &Place) -> Result<Self, StoreError> {
        let backend: Box<dyn Backend> = match place {
            Place::File(file) => Box::new(sqlite::Sqlite::open(file)?),
            Place::Postgres(url) => Box::new(postgres::Postgres::open(url)?),
        };
        Ok(Self {
            backend: Mutex::new(backend),
        })
    }

    /// What tells it from other stores.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn id(&self) -> Result<String, StoreError> {
        self.transaction(|tx| {
            let row = tx.query("SELECT id FROM store", &[])?.pop();
            row.map_or(Err(StoreError::NoId), |mut row| row.text())
        })
    }

    /// Gives the disk back what was removed.
    fn give_room_back(&self) -> Result<(), StoreError> {
        let mut backend = self.backend.lock().unwrap_or_else(PoisonError::into_inner);
        backend.give_room_back()
    }

    /// Does `work` whole or not at all. It may run more than once.
    fn transaction<T>(
        &self,
        mut work: impl FnMut(&mut dyn Tx) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut done = None;
        let mut backend = self.backend.lock().unwrap_or_else(PoisonError::into_inner);
        backend.transaction(&mut |tx| {
            done = Some(work(tx)?);
            Ok(())
        })?;
        Ok(done.expect("the work was done"))
    }
}

/// Milliseconds since 1970, for people; nothing is decided by them.
fn wall() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn timestamp(milliseconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(milliseconds).unwrap_or_default()
}
