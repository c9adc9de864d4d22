//! Queues.

use super::sql::{Row, Value, all};
use super::{Store, StoreError};
use crate::nearest::nearest;
use crate::queue::job::Queue;

const QUEUE: &str = "SELECT name, config, paused,
    (SELECT count(*) FROM jobs j WHERE j.queue = q.name AND j.state = 'queued'),
    (SELECT count(*) FROM jobs j WHERE j.queue = q.name AND j.state IN ('claimed', 'running'))
    FROM queues q";

impl Store {
    /// Makes a queue, or gives one that is there another configuration.
    ///
    /// # Errors
    /// Where the name is taken and `replace` isn't said.
    pub fn create_queue(&self, name: &str, config: &str, replace: bool) -> Result<(), StoreError> {
        self.transaction(|tx| {
            let values = [Value::from(config), name.into()];
            let sql = "UPDATE queues SET config = $1 WHERE name = $2";
            if replace && tx.execute(sql, &values)? > 0 {
                return Ok(());
            }
            let sql = "INSERT INTO queues (name, config, paused) VALUES ($1, $2, 0)
                       ON CONFLICT DO NOTHING";
            match tx.execute(sql, &[name.into(), config.into()])? {
                0 => Err(StoreError::QueueExists { name: name.into() }),
                _ => Ok(()),
            }
        })
    }

    /// All queues, by name.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn queues(&self) -> Result<Vec<Queue>, StoreError> {
        self.transaction(|tx| {
            let rows = tx.query(&format!("{QUEUE} ORDER BY name"), &[])?;
            all(rows, queue)
        })
    }

    /// One queue.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn queue(&self, name: &str) -> Result<Queue, StoreError> {
        let found = self.transaction(|tx| {
            let rows = tx.query(&format!("{QUEUE} WHERE name = $1"), &[name.into()])?;
            rows.into_iter().next().map(queue).transpose()
        })?;
        match found {
            Some(queue) => Ok(queue),
            None => Err(self.no_queue(name)?),
        }
    }

    /// Has a queue's jobs wait, or go on.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn pause_queue(&self, name: &str, paused: bool) -> Result<(), StoreError> {
        let changed = self.transaction(|tx| {
            tx.wake()?;
            let values = [Value::from(i64::from(paused)), name.into()];
            tx.execute("UPDATE queues SET paused = $1 WHERE name = $2", &values)
        })?;
        match changed {
            0 => Err(self.no_queue(name)?),
            _ => Ok(()),
        }
    }

    /// Removes a queue. Jobs that wait in it are cancelled, where that is wanted; those that run
    /// go on to their end.
    ///
    /// # Errors
    /// Where there is none of this name, or jobs wait in it.
    pub fn delete_queue(&self, name: &str, cancel: bool) -> Result<u64, StoreError> {
        let gone = self.transaction(|tx| {
            // First, so that nobody launches a job into it meanwhile.
            if tx.execute("DELETE FROM queues WHERE name = $1", &[name.into()])? == 0 {
                return Ok(None);
            }
            let sql = "UPDATE jobs SET state = 'cancelled', cancelled = 1, ended = $1,
                       error = 'its queue was deleted' WHERE queue = $2 AND state = 'queued'";
            let waiting = tx.execute(sql, &[super::wall().into(), name.into()])?;
            if waiting > 0 && !cancel {
                return Err(StoreError::JobsWait {
                    queue: name.to_owned(),
                    count: waiting,
                });
            }
            Ok(Some(waiting))
        })?;
        match gone {
            Some(cancelled) => Ok(cancelled),
            None => Err(self.no_queue(name)?),
        }
    }

    /// The error for a queue that isn't there, with the name that was probably meant.
    pub(super) fn no_queue(&self, name: &str) -> Result<StoreError, StoreError> {
        let queues = self.queues()?;
        let near = nearest(name, queues.iter().map(|queue| queue.name.as_str()));
        Ok(StoreError::NoQueue {
            name: name.to_owned(),
            near: near.map(str::to_owned),
        })
    }
}

fn queue(mut row: Row) -> Result<Queue, StoreError> {
    Ok(Queue {
        name: row.text()?,
        config: row.text()?,
        paused: row.int()? != 0,
        waiting: row.int()?,
        running: row.int()?,
    })
}
