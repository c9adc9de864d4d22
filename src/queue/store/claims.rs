//! The next job for an agent, with its GPUs.

use super::assignment::{assign, source};
use super::jobs::read;
use super::sql::{Clock, Row, Tx, Value, all};
use super::{Store, StoreError};
use crate::queue::claim::{AgentRegistration, Claim};

impl Store {
    /// Gives the agent the next job that it can do; `None` where there is none.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn claim(&self, registration: &AgentRegistration) -> Result<Option<Claim>, StoreError> {
        self.transaction(|tx| {
            let queues = with_work(tx, registration)?;
            if queues.is_empty() {
                return Ok(None);
            }
            let clock = tx.clock()?;
            let free = free_gpus(tx, registration)?;
            // Jobs that want certain GPUs stand aside where those aren't free.
            let Some(mut row) = next(tx, registration, &queues, &clock, &free)? else {
                return Ok(None);
            };
            let mut claim = Claim {
                id: row.text()?,
                queue: row.text()?,
                config: row.text()?,
                source: source(&row.text()?)?,
                overrides: read(&row.text()?).ok_or(StoreError::TooNew)?,
                command: read(&row.text()?).ok_or(StoreError::TooNew)?,
                attempt: row.int()?,
                fencing_token: row.int()? + 1,
                gpus: Vec::new(),
                started: None,
                is_discarded: false,
            };
            claim.gpus = match (row.int()?, row.text()?) {
                (-1, _) => free,
                (_, ids) if !ids.is_empty() => ids.split(',').map(str::to_owned).collect(),
                (count, _) => free.into_iter().take(count as usize).collect(),
            };
            for id in &claim.gpus {
                // The key of the table is what keeps two jobs from having one GPU.
                let values = [(&registration.engine).into(), id.into(), (&claim.id).into()];
                tx.execute(
                    "INSERT INTO gpus (engine, id, job) VALUES ($1, $2, $3)",
                    &values,
                )?;
            }
            assign(tx, registration, &clock, &claim, "claimed")?;
            Ok(Some(claim))
        })
    }
}

fn free_gpus(tx: &mut dyn Tx, registration: &AgentRegistration) -> Result<Vec<String>, StoreError> {
    if registration.gpus.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx.query(
        "SELECT id FROM gpus WHERE engine = $1",
        &[(&registration.engine).into()],
    )?;
    let taken = all(rows, |mut row| row.text())?;
    Ok(registration
        .gpus
        .iter()
        .filter(|id| !taken.contains(id))
        .cloned()
        .collect())
}

/// The agent's queues that aren't paused and in which something waits. An agent with nothing to do
/// asks no more than this, however many jobs wait in a queue that is paused.
fn with_work(tx: &mut dyn Tx, registration: &AgentRegistration) -> Result<Vec<String>, StoreError> {
    let names: Vec<String> = (1..=registration.queues.len())
        .map(|n| format!("${n}"))
        .collect();
    let sql = format!(
        "SELECT q.name FROM queues q WHERE q.paused = 0 AND q.name IN ({}) AND EXISTS
         (SELECT 1 FROM jobs j WHERE j.state = 'queued' AND j.queue = q.name)",
        names.join(", ")
    );
    let values: Vec<Value> = registration.queues.iter().map(Value::from).collect();
    let rows = tx.query(&sql, &values)?;
    all(rows, |mut row| row.text())
}

/// The first job that waits and for which there are GPUs: the jobs are gone through in their order,
/// and nothing is sorted.
fn next(
    tx: &mut dyn Tx,
    registration: &AgentRegistration,
    queues: &[String],
    clock: &Clock,
    free: &[String],
) -> Result<Option<Row>, StoreError> {
    let all = if free.len() == registration.gpus.len() && !free.is_empty() {
        -1
    } else {
        0
    };
    let mut barred: Vec<String> = Vec::new();
    loop {
        let mut values: Vec<Value> = vec![
            (&clock.boot).into(),
            clock.now.into(),
            (free.len() as i64).into(),
            all.into(),
        ];
        let mut list = |names: &[String]| {
            let add = |name: &String| {
                values.push(name.into());
                format!("${}", values.len())
            };
            names.iter().map(add).collect::<Vec<_>>().join(", ")
        };
        let queues = list(queues);
        let without = if barred.is_empty() {
            String::new()
        } else {
            format!(" AND j.gpu_ids NOT IN ({})", list(&barred))
        };
        let sql = format!(
            "SELECT j.id, j.queue, q.config, j.source, j.overrides, j.command, j.attempt, j.epoch,
             j.gpus, j.gpu_ids FROM jobs j{} CROSS JOIN queues q
             WHERE q.name = j.queue AND j.state = 'queued' AND (j.boot <> $1 OR j.not_before <= $2)
             AND j.gpus <= $3 AND j.gpus >= $4 AND q.paused = 0 AND q.name IN ({queues}){without}
             ORDER BY j.priority DESC, j.seq LIMIT 1{}",
            tx.by_index("jobs_waiting"),
            tx.skip_locked()
        );
        let Some(row) = tx.query(&sql, &values)?.pop() else {
            return Ok(None);
        };
        match row.last() {
            Some(Value::Text(ids))
                if ids
                    .split(',')
                    .any(|id| !id.is_empty() && !free.iter().any(|f| f == id)) =>
            {
                barred.push(ids.clone());
            }
            _ => return Ok(Some(row)),
        }
    }
}
