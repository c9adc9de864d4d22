//! The connection's own thread: a server that hangs must not hang whoever asks it.
//!
//! The client blocks its thread for as long as the server takes, and nothing can wake it. So it has a
//! thread, which is left to itself once the server has not answered for too long; it ends when its
//! connection does.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use fallible_iterator::FallibleIterator as _;
use mlbuild_waits::{Wait, policy};
use postgres::config::Host;
use postgres::types::ToSql;
use postgres::{Client, Config};

use super::StoreError;
use super::postgres::{failed, value};
use super::sql::{Row, Value};
use super::tls;

/// Something to do on the connection.
type Task = Box<dyn FnOnce(&mut Client) + Send>;

/// A connection, on its thread.
pub(super) struct Connection {
    tasks: Sender<Task>,
    peer: String,
    is_lost: bool,
}

impl Connection {
    /// Connects.
    pub(super) fn open(config: &Config) -> Result<Self, StoreError> {
        let (tasks, inbox) = channel::<Task>();
        let (connected, heard) = channel();
        let peer = peer(config);
        let config = config.clone();
        let thread = std::thread::Builder::new().name("database".into());
        let run = move || match config.connect(tls::connector()) {
            Ok(mut client) => {
                let _ = connected.send(Ok(()));
                for task in inbox {
                    task(&mut client);
                }
            }
            Err(error) => drop(connected.send(Err(failed(error)))),
        };
        thread
            .spawn(run)
            .map_err(|error| StoreError::Server(error.to_string()))?;
        let mut connection = Self {
            tasks,
            peer,
            is_lost: false,
        };
        connection.hear(&heard, Duration::ZERO)??;
        Ok(connection)
    }

    /// True where another connection has to be made.
    pub(super) fn is_closed(&mut self) -> bool {
        self.is_lost || self.ask(|client| client.is_closed()).unwrap_or(true)
    }

    pub(super) fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        let (sql, values) = (sql.to_owned(), values.to_vec());
        self.ask(move |client| {
            let rows = client.query(&sql, &bound(&values)).map_err(failed)?;
            let row =
                |row: &postgres::Row| Row::new((0..row.len()).map(|i| value(row, i)).collect());
            Ok(rows.iter().map(row).collect())
        })?
    }

    pub(super) fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        let (sql, values) = (sql.to_owned(), values.to_vec());
        self.ask(move |client| client.execute(&sql, &bound(&values)).map_err(failed))?
    }

    /// Begins a transaction.
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        self.batch("BEGIN")
    }

    /// Ends it: with what was done in it, or without.
    pub(super) fn end(&mut self, is_kept: bool) -> Result<(), StoreError> {
        self.batch(if is_kept { "COMMIT" } else { "ROLLBACK" })
    }

    pub(super) fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        let sql = sql.to_owned();
        self.ask(move |client| client.batch_execute(&sql).map_err(failed))?
    }

    /// Waits until something was notified, at the latest for `patience`.
    pub(super) fn wait(&mut self, patience: Duration) -> Result<(), StoreError> {
        let task = move |client: &mut Client| {
            let mut heard = client.notifications();
            heard.timeout_iter(patience).next().map_err(failed)?;
            while heard.iter().next().map_err(failed)?.is_some() {}
            Ok(())
        };
        self.ask_for(task, patience)?
    }

    fn ask<T: Send + 'static>(
        &mut self,
        task: impl FnOnce(&mut Client) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask_for(task, Duration::ZERO)
    }

    /// Has something done that may take `more` than the limit of waits.
    fn ask_for<T: Send + 'static>(
        &mut self,
        task: impl FnOnce(&mut Client) -> T + Send + 'static,
        more: Duration,
    ) -> Result<T, StoreError> {
        let (tell, heard) = channel();
        let task: Task = Box::new(move |client| {
            // Nobody listens any more where it took too long.
            let _ = tell.send(task(client));
        });
        if self.is_lost || self.tasks.send(task).is_err() {
            return Err(StoreError::Server("the connection is lost".into()));
        }
        self.hear(&heard, more)
    }

    fn hear<T>(&mut self, from: &Receiver<T>, more: Duration) -> Result<T, StoreError> {
        // Listening is no wait on the server.
        let _wait = more.is_zero().then(|| Wait::on(self.peer.as_str()));
        let answer = match policy().stall {
            Some(limit) => from.recv_timeout(limit + more),
            None => from.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        answer.map_err(|error| {
            self.is_lost = true;
            StoreError::Server(match error {
                RecvTimeoutError::Timeout => {
                    let limit = policy().stall.unwrap_or_default();
                    format!("no answer from {} for {} s", self.peer, limit.as_secs())
                }
                RecvTimeoutError::Disconnected => "the connection is lost".into(),
            })
        })
    }
}

fn bound(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|v| v as &(dyn ToSql + Sync)).collect()
}

/// Who is waited for.
fn peer(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".to_owned(),
    };
    match config.get_ports().first() {
        Some(port) => format!("the database at {host}:{port}"),
        None => format!("the database at {host}"),
    }
}
