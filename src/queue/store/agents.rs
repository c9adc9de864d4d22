//! Agents: their names and leases, and what they leave to others.

use super::assignment::{assign, requeue, source};
use super::sql::{Row, Tx, Value, all};
use super::{Store, StoreError};
use crate::queue::claim::{AgentRegistration, Claim, Held, Start};

impl Store {
    /// Gives an agent its name. One that had it and `is_gone`, by its session and host, is made to leave.
    ///
    /// # Errors
    /// Where another agent that is at work has it, or a queue isn't there.
    pub fn register(
        &self,
        registration: &AgentRegistration,
        is_gone: &dyn Fn(&str, &str) -> bool,
    ) -> Result<(), StoreError> {
        for queue in &registration.queues {
            self.queue(queue)?;
        }
        self.transaction(|tx| {
            let clock = tx.clock()?;
            let sql = "SELECT session, host FROM agents WHERE name = $1 AND session <> $2 AND boot = $3 AND lease >= $4";
            let others = tx.query(
                sql,
                &[
                    (&registration.name).into(),
                    (&registration.session).into(),
                    (&clock.boot).into(),
                    clock.now.into(),
                ],
            )?;
            if let Some(mut other) = others.into_iter().next() {
                let (session, host) = (other.text()?, other.text()?);
                if !is_gone(&session, &host) {
                    let name = registration.name.clone();
                    return Err(StoreError::AgentAtWork { name, host });
                }
                leave(tx, &session)?;
            }
            tx.execute("DELETE FROM agents WHERE name = $1", &[(&registration.name).into()])?;
            tx.execute(
                "INSERT INTO agents (name, session, host, engine, boot, lease)
                 VALUES ($1, $2, $3, $4, $5, $6)",
                &[
                    (&registration.name).into(),
                    (&registration.session).into(),
                    (&registration.host).into(),
                    (&registration.engine).into(),
                    (&clock.boot).into(),
                    registration.until(&clock).into(),
                ],
            )
            .map(drop)
        })
    }

    /// Says that the agent lives, and returns what it still has.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn renew(&self, registration: &AgentRegistration) -> Result<Vec<Held>, StoreError> {
        self.transaction(|tx| {
            let clock = tx.clock()?;
            let values = [
                Value::from(registration.until(&clock)),
                (&clock.boot).into(),
                (&registration.session).into(),
            ];
            let sql = "UPDATE agents SET lease = $1, boot = $2 WHERE session = $3";
            tx.execute(sql, &values)?;
            let sql = "UPDATE jobs SET lease = $1, boot = $2
                       WHERE session = $3 AND state IN ('claimed', 'running')
                       RETURNING id, epoch, cancelled";
            let rows = tx.query(sql, &values)?;
            all(rows, held)
        })
    }

    /// What the agent still has.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn held(&self, registration: &AgentRegistration) -> Result<Vec<Held>, StoreError> {
        self.transaction(|tx| {
            let sql = "SELECT id, epoch, cancelled FROM jobs
                       WHERE session = $1 AND state IN ('claimed', 'running')";
            let rows = tx.query(sql, &[(&registration.session).into()])?;
            all(rows, held)
        })
    }

    /// Goes: its name is free, what it hadn't started waits again, and what it had started may be
    /// taken over at once.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn leave(&self, registration: &AgentRegistration) -> Result<(), StoreError> {
        self.transaction(|tx| leave(tx, &registration.session))
    }

    /// Takes over what agents left that say nothing any more. Jobs that they hadn't started wait
    /// again; those that were started on the same engine are returned, with their container. The same
    /// goes for jobs of its own that it isn't `working` on: it was given them, and never heard so.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn take_over(
        &self,
        registration: &AgentRegistration,
        working: &[String],
    ) -> Result<Vec<Claim>, StoreError> {
        self.transaction(|tx| {
            let clock = tx.clock()?;
            // What it works on is none of them, even where the machine slept for longer than its lease.
            let mut values = vec![
                Value::from(&clock.boot),
                clock.now.into(),
                (&registration.session).into(),
            ];
            let mut unheard = "j.session = $3".to_owned();
            for (n, id) in working.iter().enumerate() {
                unheard.push_str(&format!(" AND j.id <> ${}", n + 4));
                values.push(id.into());
            }
            let silent =
                format!("((j.boot <> $1 OR j.lease < $2) AND j.session <> $3 OR {unheard})");
            let sql = format!(
                "SELECT j.id, j.epoch FROM jobs j WHERE j.state = 'claimed' AND {silent}{}",
                tx.skip_locked()
            );
            for mut row in tx.query(&sql, &values)? {
                requeue(tx, &row.text()?, row.int()?)?;
            }
            let sql = format!(
                "SELECT j.id, j.queue, j.source, j.attempt, j.epoch, j.container,
                 j.run_id, j.records, j.image, j.discarded FROM jobs j
                 WHERE j.state = 'running' AND {silent} AND j.engine = ${}{}",
                values.len() + 1,
                tx.skip_locked()
            );
            values.push((&registration.engine).into());
            let mut taken = Vec::new();
            for mut row in tx.query(&sql, &values)? {
                let mut claim = Claim {
                    id: row.text()?,
                    queue: row.text()?,
                    config: String::new(),
                    source: source(&row.text()?)?,
                    overrides: Vec::new(),
                    command: Vec::new(),
                    attempt: row.int()?,
                    fencing_token: row.int()? + 1,
                    gpus: Vec::new(),
                    started: Some(Start {
                        container: row.text()?,
                        run_id: row.text()?,
                        records: row.text()?,
                        image: row.text()?,
                    }),
                    is_discarded: false,
                };
                let discarded = row.text_or_null()?;
                let container = claim.started.as_ref().map(|start| &start.container);
                claim.is_discarded = discarded.is_some() && discarded.as_ref() == container;
                assign(tx, registration, &clock, &claim, "running")?;
                taken.push(claim);
            }
            Ok(taken)
        })
    }

    /// Whether a container that was made for a job is of any use: it was started, or may be.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn needs(
        &self,
        job: &str,
        fencing_token: i64,
        container: &str,
    ) -> Result<bool, StoreError> {
        self.transaction(|tx| {
            let sql = "SELECT id FROM jobs WHERE id = $1
                       AND ((epoch = $2 AND state = 'claimed') OR container = $3)";
            let values = [job.into(), fencing_token.into(), container.into()];
            Ok(!tx.query(sql, &values)?.is_empty())
        })
    }

    /// Whether nothing is done for a job any more: it ended, or isn't kept.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn is_over(&self, job: &str) -> Result<bool, StoreError> {
        self.transaction(|tx| {
            let sql = "SELECT id FROM jobs WHERE id = $1 AND state IN ('claimed', 'running')";
            Ok(tx.query(sql, &[job.into()])?.is_empty())
        })
    }

    /// Whether an agent still has a job.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn has(&self, registration: &AgentRegistration, claim: &Claim) -> Result<bool, StoreError> {
        let held = self.held(registration)?;
        Ok(held
            .iter()
            .any(|held| held.id == claim.id && held.fencing_token == claim.fencing_token))
    }

    /// Whether nothing waits or runs in these queues.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn is_idle(&self, queues: &[String]) -> Result<bool, StoreError> {
        self.transaction(|tx| {
            let names: Vec<String> = (1..=queues.len()).map(|n| format!("${n}")).collect();
            let sql = format!(
                "SELECT id FROM jobs WHERE queue IN ({}) AND state IN ('queued', 'claimed', 'running') LIMIT 1",
                names.join(", ")
            );
            let values: Vec<Value> = queues.iter().map(Value::from).collect();
            Ok(tx.query(&sql, &values)?.is_empty())
        })
    }
}

/// What [`Store::leave`] does for a session.
fn leave(tx: &mut dyn Tx, session: &str) -> Result<(), StoreError> {
    let session = [Value::from(session)];
    let sql = "SELECT id, epoch FROM jobs WHERE session = $1 AND state = 'claimed'";
    for mut row in tx.query(sql, &session)? {
        requeue(tx, &row.text()?, row.int()?)?;
    }
    let sql = "UPDATE jobs SET lease = 0 WHERE session = $1 AND state = 'running'";
    tx.execute(sql, &session)?;
    tx.execute("DELETE FROM agents WHERE session = $1", &session)?;
    tx.wake()
}

fn held(mut row: Row) -> Result<Held, StoreError> {
    Ok(Held {
        id: row.text()?,
        fencing_token: row.int()?,
        cancelled: row.int()? != 0,
    })
}
