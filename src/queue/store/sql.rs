//! What SQLite and PostgreSQL have in common: one dialect of SQL, transactions, rows.

use std::time::Duration;

use super::StoreError;

/// A value that is bound to a statement, or came out of one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row, read from the left.
pub(super) struct Row(pub(super) std::vec::IntoIter<Value>);

impl Row {
    pub(super) fn text(&mut self) -> String {
        self.text_or_null().unwrap_or_default()
    }

    pub(super) fn text_or_null(&mut self) -> Option<String> {
        match self.0.next() {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn int(&mut self) -> i64 {
        self.int_or_null().unwrap_or_default()
    }

    pub(super) fn int_or_null(&mut self) -> Option<i64> {
        match self.0.next() {
            Some(Value::Int(number)) => Some(number),
            _ => None,
        }
    }

    pub(super) fn bytes(&mut self) -> Vec<u8> {
        match self.0.next() {
            Some(Value::Bytes(bytes)) => bytes,
            _ => Vec::new(),
        }
    }
}

/// An open transaction. Parameters are `$1`, `$2`, …, named in this order.
pub(super) trait Tx {
    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, StoreError>;

    /// Returns how many rows were changed.
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError>;

    /// The clock of leases, in milliseconds: one that nobody's settings can step.
    fn clock(&mut self) -> Result<Clock, StoreError>;

    /// What stands after a query that locks rows of `j` and passes over those that others hold.
    fn skip_locked(&self) -> &'static str;

    /// What stands after a table that is to be gone through by an index. SQLite, which keeps no
    /// statistics here, has to be told; of a CROSS JOIN it takes the tables in their order.
    fn by_index(&self, index: &str) -> String;

    /// What stands after a query whose rows may not change or go until the transaction ends.
    fn hold(&self) -> &'static str;

    /// Wakes agents when the transaction is done.
    fn wake(&mut self) -> Result<(), StoreError>;
}

/// A moment of the clock of leases, which begins anew where `boot` changes.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    pub(super) boot: String,
    pub(super) now: i64,
}

/// What is done in a transaction. It may be done again where the database asks for that.
pub(super) type Work<'a> = &'a mut dyn FnMut(&mut dyn Tx) -> Result<(), StoreError>;

/// A connection.
pub(super) trait Backend: Send {
    fn transaction(&mut self, work: Work<'_>) -> Result<(), StoreError>;

    /// Gives the disk back what was removed, where the database doesn't do that by itself.
    fn give_room_back(&mut self) -> Result<(), StoreError>;
}

/// Waits for changes that others make.
pub trait Watch: Send {
    /// Returns when something may have changed, at the latest after `patience`.
    ///
    /// # Errors
    /// Where the store can't be reached.
    fn wait(&mut self, patience: Duration) -> Result<(), StoreError>;
}
