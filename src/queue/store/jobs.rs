//! Jobs, seen from outside.

use super::sql::{Clock, Row, Tx, Value, all};
use super::{Store, StoreError, archives, timestamp, wall};
use crate::queue::archive::Archive;
use crate::queue::job::{Attempt, GpuNeed, Job, NewJob, State};

const JOB: &str = "SELECT j.id, j.queue, j.source, j.overrides, j.command, j.priority, j.state,
    j.attempt, j.retries, j.cancelled, j.agent, j.host, j.boot, j.lease, j.container, j.run_id,
    j.image, j.exit_code, j.error, j.log, j.created, j.started, j.ended FROM jobs j";

/// Which jobs are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this queue.
    pub queue: Option<String>,
    /// That got so far.
    pub state: Option<State>,
    /// At most so many.
    pub limit: Option<usize>,
}

fn insert(tx: &mut dyn Tx, id: &str, job: &NewJob, boot: &str) -> Result<(), StoreError> {
    let (gpus, gpu_ids) = written(&job.gpus);
    tx.execute(
        "INSERT INTO jobs (id, seq, queue, priority, source, overrides, command, gpus,
         gpu_ids, retries, state, attempt, epoch, not_before, cancelled, boot, created)
         VALUES ($1, (SELECT COALESCE(MAX(seq), 0) + 1 FROM jobs), $2, $3, $4, $5, $6, $7,
         $8, $9, 'queued', 1, 0, 0, 0, $10, $11)",
        &[
            id.into(),
            (&job.queue).into(),
            i64::from(job.priority).into(),
            (&json(&job.source)).into(),
            (&json(&job.overrides)).into(),
            (&json(&job.command)).into(),
            gpus.into(),
            (&gpu_ids).into(),
            i64::from(job.retries).into(),
            boot.into(),
            wall().into(),
        ],
    )?;
    Ok(())
}

impl Store {
    /// Takes a job in that needs no code.
    ///
    /// # Errors
    /// Where its queue isn't there.
    pub fn launch(&self, id: &str, job: &NewJob) -> Result<(), StoreError> {
        self.launch_with(id, job, None)
    }

    /// Takes a job in with its code, both or neither.
    ///
    /// # Errors
    /// Where its queue isn't there.
    pub fn launch_with(
        &self,
        id: &str,
        job: &NewJob,
        code: Option<&Archive>,
    ) -> Result<(), StoreError> {
        self.launch_all(&[(id, job)], code)
    }

    /// Takes jobs in, in this order, with the code that they all have: all of it or nothing.
    ///
    /// # Errors
    /// Where a queue isn't there.
    pub fn launch_all(
        &self,
        jobs: &[(&str, &NewJob)],
        code: Option<&Archive>,
    ) -> Result<(), StoreError> {
        let gone = self.transaction(|tx| {
            for (_, job) in jobs {
                let sql = format!("SELECT name FROM queues WHERE name = $1{}", tx.hold());
                if tx.query(&sql, &[(&job.queue).into()])?.is_empty() {
                    return Ok(Some(job.queue.clone()));
                }
            }
            if let Some(code) = code {
                archives::keep(tx, code)?;
            }
            let Clock { boot, .. } = tx.clock()?;
            for (id, job) in jobs {
                insert(tx, id, job, &boot)?;
            }
            tx.wake()?;
            Ok(None)
        })?;
        match gone {
            None => Ok(()),
            Some(queue) => Err(self.no_queue(&queue)?),
        }
    }

    /// Jobs, the newest first.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn jobs(&self, filter: &Filter) -> Result<Vec<Job>, StoreError> {
        self.transaction(|tx| {
            let mut sql = format!("{JOB} WHERE j.seq > 0");
            let mut values: Vec<Value> = Vec::new();
            if let Some(queue) = &filter.queue {
                values.push(queue.into());
                sql.push_str(&format!(" AND j.queue = ${}", values.len()));
            }
            if let Some(state) = filter.state {
                values.push(state.as_str().into());
                sql.push_str(&format!(" AND j.state = ${}", values.len()));
            }
            sql.push_str(" ORDER BY j.seq DESC, j.id DESC");
            if let Some(limit) = filter.limit {
                sql.push_str(&format!(" LIMIT {limit}"));
            }
            let rows = tx.query(&sql, &values)?;
            let clock = tx.clock()?;
            let gpus = tx.query("SELECT job, id FROM gpus ORDER BY id", &[])?;
            let gpus = all(gpus, |mut row| Ok((row.text()?, row.text()?)))?;
            let mut jobs = all(rows, |row| job(row, &clock))?;
            for job in &mut jobs {
                let of_it = gpus.iter().filter(|(of, _)| *of == job.id);
                job.gpus = of_it.map(|(_, id)| id.clone()).collect();
            }
            Ok(jobs)
        })
    }

    /// The job with this id, or the only one that begins or ends so.
    ///
    /// # Errors
    /// Where there is none, or there are several.
    pub fn job(&self, typed: &str) -> Result<Job, StoreError> {
        let ids = self.transaction(|tx| {
            let rows = tx.query("SELECT id FROM jobs", &[])?;
            all(rows, |mut row| row.text())
        })?;
        let exact = ids.iter().filter(|id| *id == typed);
        let mut matching: Vec<&String> = exact.collect();
        if matching.is_empty() && !typed.is_empty() {
            let is_meant = |id: &&String| id.starts_with(typed) || id.ends_with(typed);
            matching = ids.iter().filter(is_meant).collect();
        }
        match matching[..] {
            [id] => {
                let found = self.transaction(|tx| {
                    let clock = tx.clock()?;
                    let rows = tx.query(&format!("{JOB} WHERE j.id = $1"), &[id.into()])?;
                    let mut found = all(rows, |row| job(row, &clock))?;
                    let sql = "SELECT id FROM gpus WHERE job = $1 ORDER BY id";
                    let gpus = tx.query(sql, &[id.into()])?;
                    if let Some(job) = found.first_mut() {
                        job.gpus = all(gpus, |mut row| row.text())?;
                    }
                    Ok(found.pop())
                })?;
                found.ok_or_else(|| StoreError::no_job(typed))
            }
            [] => Err(StoreError::no_job(typed)),
            _ => Err(StoreError::SeveralJobs {
                id: typed.to_owned(),
                count: matching.len(),
            }),
        }
    }

    /// The tries of a job that have ended.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn attempts(&self, id: &str) -> Result<Vec<Attempt>, StoreError> {
        self.transaction(|tx| {
            let sql = "SELECT attempt, run_id, agent, host, started, ended, exit_code, error
                       FROM attempts WHERE job = $1 ORDER BY attempt";
            let rows = tx.query(sql, &[id.into()])?;
            all(rows, attempt)
        })
    }

    /// Wants a job to end. One that waits is cancelled at once, returning its new state; the
    /// container of one that runs is stopped by its agent.
    ///
    /// # Errors
    /// Where it has ended already.
    pub fn cancel(&self, id: &str) -> Result<State, StoreError> {
        self.transaction(|tx| {
            let state = state_of(tx, id)?;
            match state {
                State::Queued => {
                    let sql = "UPDATE jobs SET state = 'cancelled', cancelled = 1, ended = $1
                               WHERE id = $2 AND state = 'queued'";
                    tx.execute(sql, &[wall().into(), id.into()])?;
                    Ok(State::Cancelled)
                }
                State::Claimed | State::Running => {
                    tx.execute("UPDATE jobs SET cancelled = 1 WHERE id = $1", &[id.into()])?;
                    tx.wake()?;
                    Ok(state)
                }
                ended => Err(StoreError::JobEnded {
                    id: id.to_owned(),
                    state: ended.as_str(),
                }),
            }
        })
    }

    /// Has a job that ended tried once more. Where its agent is silent and `force` is said, one
    /// that seems to run is given up first.
    ///
    /// # Errors
    /// Where it hasn't ended, or its queue is gone.
    pub fn retry(&self, id: &str, force: bool) -> Result<(), StoreError> {
        self.transaction(|tx| {
            let state = state_of(tx, id)?;
            let clock = tx.clock()?;
            if !state.is_final() {
                let silent = "SELECT id FROM jobs WHERE id = $1 AND state = 'running'
                              AND (boot <> $2 OR lease < $3)";
                let values = [id.into(), (&clock.boot).into(), clock.now.into()];
                let is_silent = !tx.query(silent, &values)?.is_empty();
                if !(force && is_silent) {
                    return Err(StoreError::JobRuns {
                        id: id.to_owned(),
                        state: state.as_str(),
                        silent: is_silent,
                    });
                }
                let sql = "INSERT INTO attempts (job, attempt, run_id, agent, host, started, ended, error)
                           SELECT id, attempt, run_id, agent, host, started, CAST(NULL AS BIGINT),
                           'given up: its agent said nothing' FROM jobs WHERE id = $1";
                tx.execute(sql, &[id.into()])?;
                tx.execute("DELETE FROM gpus WHERE job = $1", &[id.into()])?;
            }
            let sql = "SELECT q.name FROM queues q JOIN jobs j ON j.queue = q.name WHERE j.id = $1";
            if tx.query(sql, &[id.into()])?.is_empty() {
                return Err(StoreError::QueueGone { id: id.to_owned() });
            }
            let sql = "UPDATE jobs SET state = 'queued', attempt = attempt + 1, epoch = epoch + 1,
                cancelled = 0, not_before = 0, session = NULL, container = NULL, run_id = NULL,
                image = NULL, exit_code = NULL, error = NULL, log = NULL, started = NULL,
                ended = NULL WHERE id = $1";
            tx.execute(sql, &[id.into()])?;
            tx.wake()
        })
    }
}

fn state_of(tx: &mut dyn Tx, id: &str) -> Result<State, StoreError> {
    let sql = format!("SELECT state FROM jobs WHERE id = $1{}", tx.hold());
    let row = tx.query(&sql, &[id.into()])?.pop();
    let row = row.ok_or_else(|| StoreError::no_job(id));
    State::read(&row?.text()?)
}

fn attempt(mut row: Row) -> Result<Attempt, StoreError> {
    Ok(Attempt {
        attempt: row.int()?,
        run_id: row.text_or_null()?,
        agent: row.text_or_null()?,
        host: row.text_or_null()?,
        started: row.int_or_null()?.map(timestamp),
        ended: row.int_or_null()?.map(timestamp),
        exit_code: row.int_or_null()?,
        error: row.text_or_null()?,
    })
}

fn job(mut row: Row, clock: &Clock) -> Result<Job, StoreError> {
    let mut job = Job {
        id: row.text()?,
        queue: row.text()?,
        source: read(&row.text()?).ok_or(StoreError::TooNew)?,
        overrides: read(&row.text()?).ok_or(StoreError::TooNew)?,
        command: read(&row.text()?).ok_or(StoreError::TooNew)?,
        priority: row.int()?,
        state: State::read(&row.text()?)?,
        attempt: row.int()?,
        retries: row.int()?,
        cancel_wanted: row.int()? != 0,
        agent: row.text_or_null()?,
        host: row.text_or_null()?,
        agent_is_silent: row.text_or_null()?.as_ref() != Some(&clock.boot),
        container: None,
        run_id: None,
        image: None,
        gpus: Vec::new(),
        exit_code: None,
        error: None,
        log: None,
        created: timestamp(0),
        started: None,
        ended: None,
    };
    let lease = row.int_or_null()?.unwrap_or_default();
    let is_held = matches!(job.state, State::Claimed | State::Running);
    job.agent_is_silent = is_held && (job.agent_is_silent || lease < clock.now);
    job.container = row.text_or_null()?;
    job.run_id = row.text_or_null()?;
    job.image = row.text_or_null()?;
    job.exit_code = row.int_or_null()?;
    job.error = row.text_or_null()?;
    job.log = row.text_or_null()?;
    job.created = timestamp(row.int()?);
    job.started = row.int_or_null()?.map(timestamp);
    job.ended = row.int_or_null()?.map(timestamp);
    Ok(job)
}

pub(super) fn read<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// A need for GPUs as a number and names: `-1` is all.
fn written(need: &GpuNeed) -> (i64, String) {
    match need {
        GpuNeed::None => (0, String::new()),
        GpuNeed::Count(n) => (i64::from(*n), String::new()),
        GpuNeed::All => (-1, String::new()),
        GpuNeed::Ids(ids) => (ids.len() as i64, ids.join(",")),
    }
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data")
}
