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
    /// Something that no column of ours is.
    Other,
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

impl Value {
    /// What it is, for an error. The value itself may be a secret.
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Int(_) => "a number",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Other => "another type",
        }
    }
}

/// A row, read from the left. A value of another type than the one asked for is an error: a
/// fencing token that read as 0 would let two agents have one job.
pub(super) struct Row {
    values: std::vec::IntoIter<Value>,
    column: usize,
}

impl Row {
    pub(super) fn new(values: Vec<Value>) -> Self {
        Self {
            values: values.into_iter(),
            column: 0,
        }
    }

    /// The last of the values that are left.
    pub(super) fn last(&self) -> Option<&Value> {
        self.values.as_slice().last()
    }

    pub(super) fn text(&mut self) -> Result<String, StoreError> {
        match self.next() {
            Value::Text(text) => Ok(text),
            other => Err(self.unexpected("text", &other)),
        }
    }

    pub(super) fn text_or_null(&mut self) -> Result<Option<String>, StoreError> {
        match self.next() {
            Value::Text(text) => Ok(Some(text)),
            Value::Null => Ok(None),
            other => Err(self.unexpected("text", &other)),
        }
    }

    pub(super) fn int(&mut self) -> Result<i64, StoreError> {
        match self.next() {
            Value::Int(number) => Ok(number),
            other => Err(self.unexpected("a number", &other)),
        }
    }

    pub(super) fn int_or_null(&mut self) -> Result<Option<i64>, StoreError> {
        match self.next() {
            Value::Int(number) => Ok(Some(number)),
            Value::Null => Ok(None),
            other => Err(self.unexpected("a number", &other)),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        match self.next() {
            Value::Bytes(bytes) => Ok(bytes),
            other => Err(self.unexpected("bytes", &other)),
        }
    }

    fn next(&mut self) -> Value {
        self.column += 1;
        self.values.next().unwrap_or(Value::Null)
    }

    fn unexpected(&self, expected: &'static str, found: &Value) -> StoreError {
        StoreError::Row {
            column: self.column,
            expected,
            found: found.kind(),
        }
    }
}

/// Every row, read by `read`.
pub(super) fn all<T>(
    rows: Vec<Row>,
    read: impl FnMut(Row) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    rows.into_iter().map(read).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        let text = Value::Text("7".into());
        Row::new(vec![Value::Int(7), Value::Null, text, Value::Other])
    }

    #[test]
    fn reads_from_the_left() {
        let mut row = row();
        assert_eq!(row.int().unwrap(), 7);
        assert_eq!(row.text_or_null().unwrap(), None);
        assert_eq!(row.text().unwrap(), "7");
    }

    #[test]
    fn refuses_a_value_of_another_type() {
        let mut errors = Vec::new();
        errors.push(row().text().unwrap_err().to_string());
        let mut row = row();
        row.int().unwrap();
        errors.push(row.int().unwrap_err().to_string());
        errors.push(row.int_or_null().unwrap_err().to_string());
        errors.push(row.bytes().unwrap_err().to_string());
        errors.push(row.int().unwrap_err().to_string());
        insta::assert_snapshot!(errors.join("\n"), @r"
        the store holds a number where text is expected (column 1 of an answer)
        the store holds NULL where a number is expected (column 2 of an answer)
        the store holds text where a number is expected (column 3 of an answer)
        the store holds another type where bytes is expected (column 4 of an answer)
        the store holds NULL where a number is expected (column 5 of an answer)
        ");
    }
}
