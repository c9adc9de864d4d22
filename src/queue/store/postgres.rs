//! The store in PostgreSQL: agents on many machines.

use std::time::Duration;

use bytes::BytesMut;
use postgres::Config;
use postgres::config::{Host, SslMode};
use postgres::error::SqlState;
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::StoreError;
use super::postgres_thread::Connection;
use super::sql::{Backend, Clock, Row, Tx, Value, Watch, Work};
use crate::loopback::is_loopback;

/// What agents are woken by.
const CHANNEL: &str = "mlbuild_queue";
/// A server that doesn't answer for so long isn't there.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a transaction is done again where two of them got in each other's way.
const TRIES: usize = 20;

/// The address with what the environment adds to it.
pub(super) fn config(url: &str) -> Result<Config, StoreError> {
    let mut config: Config = url
        .parse()
        .map_err(|error: postgres::Error| StoreError::Address(error.to_string()))?;
    let password = std::env::var(crate::env_vars::PGPASSWORD).ok();
    if let (None, Some(password)) = (config.get_password(), password) {
        config.password(password);
    }
    // `prefer` falls back to the clear when somebody between says that there is no TLS.
    if config.get_ssl_mode() == SslMode::Prefer && is_remote(&config) {
        if names_ssl_mode(url) {
            return Err(StoreError::FallsBack);
        }
        config.ssl_mode(SslMode::Require);
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(PATIENCE);
    }
    config.application_name("mlbuild");
    Ok(config)
}

/// Whether the user says how much TLS there has to be.
fn names_ssl_mode(url: &str) -> bool {
    let words = url.split(|c: char| "?& ".contains(c));
    words.map(str::trim).any(|word| word.starts_with("sslmode"))
}

/// Whether any of the addresses that may be connected to is another machine's. `hostaddr` is
/// connected to in the place of `host`.
fn is_remote(config: &Config) -> bool {
    let by_name = config.get_hosts().iter().any(|host| match host {
        Host::Tcp(name) => !is_loopback(name) && name != "::1",
        Host::Unix(_) => false,
    });
    by_name || config.get_hostaddrs().iter().any(|ip| !ip.is_loopback())
}

pub(super) struct Postgres {
    config: Config,
    connection: Option<Connection>,
}

impl Postgres {
    pub(super) fn open(url: &str) -> Result<Self, StoreError> {
        let mut store = Self {
            config: config(url)?,
            connection: None,
        };
        store.connection()?;
        Ok(store)
    }

    /// The connection; a new one where the last one broke.
    fn connection(&mut self) -> Result<&mut Connection, StoreError> {
        connect(&mut self.connection, &self.config)
    }
}

/// The connection; a new one where there is none, or the last one broke.
fn connect<'a>(
    connection: &'a mut Option<Connection>,
    config: &Config,
) -> Result<&'a mut Connection, StoreError> {
    if connection.as_mut().is_none_or(Connection::is_closed) {
        *connection = Some(Connection::open(config)?);
    }
    Ok(connection.as_mut().expect("made just now"))
}

impl Backend for Postgres {
    fn transaction(&mut self, work: Work<'_>) -> Result<(), StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let connection = self.connection()?;
            match once(connection, work) {
                Err(StoreError::Again) if tries < TRIES => {}
                result => return result,
            }
        }
    }

    fn give_room_back(&mut self) -> Result<(), StoreError> {
        Ok(()) // The server does, in the background.
    }
}

fn once(connection: &mut Connection, work: Work<'_>) -> Result<(), StoreError> {
    connection.begin()?;
    let mut tx = PostgresTx { connection };
    let done = work(&mut tx);
    let ended = tx.connection.end(done.is_ok());
    done.and(ended)
}

struct PostgresTx<'a> {
    connection: &'a mut Connection,
}

impl Tx for PostgresTx<'_> {
    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.connection.query(sql, values)
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        self.connection.execute(sql, values)
    }

    fn clock(&mut self) -> Result<Clock, StoreError> {
        // One clock for all machines: the server's.
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        let now = self.query(sql, &[])?.pop();
        let now = now.map_or(Ok(0), |mut row| row.int())?;
        Ok(Clock {
            boot: String::new(),
            now,
        })
    }

    fn skip_locked(&self) -> &'static str {
        " FOR UPDATE OF j SKIP LOCKED"
    }

    fn by_index(&self, _: &str) -> String {
        String::new() // It knows.
    }

    fn hold(&self) -> &'static str {
        " FOR UPDATE"
    }

    fn wake(&mut self) -> Result<(), StoreError> {
        self.connection.batch(&format!("NOTIFY {CHANNEL}"))
    }
}

pub(super) fn value(row: &postgres::Row, index: usize) -> Value {
    fn read<'a, T: FromSql<'a>>(
        row: &'a postgres::Row,
        index: usize,
        of: impl Fn(T) -> Value,
    ) -> Value {
        match row.try_get::<_, Option<T>>(index) {
            Ok(value) => value.map_or(Value::Null, of),
            Err(_) => Value::Other,
        }
    }
    match *row.columns()[index].type_() {
        Type::INT8 => read(row, index, Value::Int),
        Type::BYTEA => read(row, index, Value::Bytes),
        _ => read(row, index, Value::Text),
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null | Self::Other => Ok(IsNull::Yes),
            Self::Int(number) => number.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
            Self::Bytes(bytes) => bytes.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT8, Type::TEXT, Type::BYTEA].contains(kind)
    }

    to_sql_checked!();
}

pub(super) fn failed(error: postgres::Error) -> StoreError {
    let again = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::UNIQUE_VIOLATION,
    ];
    match error.code() {
        Some(code) if again.contains(code) => StoreError::Again,
        Some(code) if *code == SqlState::DISK_FULL => StoreError::ServerFull,
        _ => StoreError::Server(crate::error::chain(&error)),
    }
}

/// Listens.
pub(super) struct PostgresWatch {
    config: Config,
    connection: Option<Connection>,
}

impl PostgresWatch {
    pub(super) fn open(url: &str) -> Result<Self, StoreError> {
        Ok(Self {
            config: config(url)?,
            connection: None,
        })
    }
}

impl Watch for PostgresWatch {
    fn wait(&mut self, patience: Duration) -> Result<(), StoreError> {
        if self.connection.as_mut().is_none_or(Connection::is_closed) {
            let connection = connect(&mut self.connection, &self.config)?;
            // What happened before it listened was heard by nobody.
            return connection.batch(&format!("LISTEN {CHANNEL}"));
        }
        connect(&mut self.connection, &self.config)?.wait(patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_machine_is_reached_by_tls_unless_the_user_says_otherwise() {
        for (url, mode) in [
            ("postgres://u@db.example/q", SslMode::Require),
            ("postgres://u@10.0.0.7:5432/q", SslMode::Require),
            (
                "postgres://u@db.example/q?sslmode=disable",
                SslMode::Disable,
            ),
            (
                "postgres://u@localhost/q?hostaddr=10.0.0.7",
                SslMode::Require,
            ),
            ("postgres:///q?hostaddr=10.0.0.7", SslMode::Require),
            ("postgres://u@localhost,db.example/q", SslMode::Require),
            (
                "postgres://u@localhost/q?hostaddr=127.0.0.1",
                SslMode::Prefer,
            ),
            ("postgres://u@[::1]/q", SslMode::Prefer),
            ("postgres://u@localhost/q", SslMode::Prefer),
            ("postgres://u@127.0.0.1:5432/q", SslMode::Prefer),
            ("postgres:///q?host=/run/postgresql", SslMode::Prefer),
        ] {
            assert_eq!(config(url).unwrap().get_ssl_mode(), mode, "{url}");
        }
        for url in [
            "postgres://u@db.example/q?sslmode=prefer",
            "postgresql://u@db.example/q?application_name=a&sslmode=prefer",
            "postgres://u@localhost/q?hostaddr=10.0.0.7&sslmode=prefer",
        ] {
            let refused = config(url).unwrap_err().to_string();
            assert!(refused.contains("sslmode=require"), "{refused}");
        }
        config("postgres://u@localhost/q?sslmode=prefer").unwrap();
    }
}
