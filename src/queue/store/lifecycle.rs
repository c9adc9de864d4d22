//! The lifecycle of a job that an agent has: started once, ended, or given back.

use super::assignment::requeue;
use super::{Store, StoreError, wall};
use crate::queue::claim::{AgentRegistration, Claim, End, Start};

/// Longest wait before a job that failed is tried again.
const MAX_RETRY_DELAY_MS: i64 = 60_000;

impl Store {
    /// Writes down that a container is about to be started. Only after a yes may it be. Where the
    /// answer is lost, the same question is answered the same way again.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn begin(
        &self,
        registration: &AgentRegistration,
        claim: &Claim,
        start: &Start,
    ) -> Result<bool, StoreError> {
        self.transaction(|tx| {
            let clock = tx.clock()?;
            let sql = "UPDATE jobs SET state = 'running', container = $1, run_id = $2,
                       records = $3, image = $4, started = $5, lease = $6, boot = $7
                       WHERE id = $8 AND epoch = $9 AND session = $10
                       AND (state = 'claimed' AND cancelled = 0
                            OR state = 'running' AND container = $1)";
            let values = [
                (&start.container).into(),
                (&start.run_id).into(),
                (&start.records).into(),
                (&start.image).into(),
                wall().into(),
                registration.until(&clock).into(),
                (&clock.boot).into(),
                (&claim.id).into(),
                claim.fencing_token.into(),
                (&registration.session).into(),
            ];
            Ok(tx.execute(sql, &values)? > 0)
        })
    }

    /// Writes down that what was about to be started was made, with what tells it from others of its
    /// name. False: another agent has the job.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn note_made(
        &self,
        registration: &AgentRegistration,
        claim: &Claim,
        container: &str,
    ) -> Result<bool, StoreError> {
        self.transaction(|tx| {
            let sql = "UPDATE jobs SET container = $1
                       WHERE id = $2 AND epoch = $3 AND session = $4 AND state = 'running'";
            let values = [
                container.into(),
                (&claim.id).into(),
                claim.fencing_token.into(),
                (&registration.session).into(),
            ];
            Ok(tx.execute(sql, &values)? > 0)
        })
    }

    /// Writes down that a job's try ended. What becomes of the job is returned: it waits again
    /// where it may be tried once more. `None`: another agent has the job.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn finish(
        &self,
        registration: &AgentRegistration,
        claim: &Claim,
        end: &End,
    ) -> Result<Option<&'static str>, StoreError> {
        self.transaction(|tx| {
            let sql = format!(
                "SELECT attempt, retries, queue, run_id, started FROM jobs WHERE id = $1 AND epoch = $2
                 AND session = $3 AND state IN ('claimed', 'running'){}",
                tx.hold()
            );
            let mine = [(&claim.id).into(), claim.fencing_token.into(), (&registration.session).into()];
            let Some(mut row) = tx.query(&sql, &mine)?.pop() else {
                return Ok(None);
            };
            let (attempt, retries, queue) = (row.int()?, row.int()?, row.text()?);
            let (run_id, started) = (row.text_or_null()?, row.int_or_null()?);
            let now = wall();
            tx.execute(
                "INSERT INTO attempts (job, attempt, run_id, agent, host, started, ended, exit_code, error)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                &[
                    (&claim.id).into(),
                    attempt.into(),
                    run_id.as_ref().into(),
                    (&registration.name).into(),
                    (&registration.host).into(),
                    started.into(),
                    now.into(),
                    end.exit_code.into(),
                    end.error.as_ref().into(),
                ],
            )?;
            tx.execute("DELETE FROM gpus WHERE job = $1", &[(&claim.id).into()])?;
            tx.wake()?;
            let succeeded = end.exit_code == Some(0) && end.error.is_none();
            let sql = "SELECT name FROM queues WHERE name = $1";
            let has_queue = !tx.query(sql, &[(&queue).into()])?.is_empty();
            let state = match (end.cancelled, succeeded) {
                (true, _) => "cancelled",
                (_, true) => "succeeded",
                _ if attempt <= retries && has_queue => "queued",
                _ => "failed",
            };
            if state == "queued" {
                let clock = tx.clock()?;
                let delay = (1000_i64 << (attempt - 1).min(10)).min(MAX_RETRY_DELAY_MS);
                let sql = "UPDATE jobs SET state = 'queued', attempt = attempt + 1, session = NULL,
                           container = NULL, not_before = $1, boot = $2 WHERE id = $3";
                let values = [(clock.now + delay).into(), (&clock.boot).into(), (&claim.id).into()];
                tx.execute(sql, &values)?;
                return Ok(Some(state));
            }
            let sql = "UPDATE jobs SET state = $1, exit_code = $2, error = $3, log = $4, ended = $5,
                       session = NULL WHERE id = $6";
            let values = [
                state.into(),
                end.exit_code.into(),
                end.error.as_ref().into(),
                (&end.log).into(),
                now.into(),
                (&claim.id).into(),
            ];
            tx.execute(sql, &values)?;
            Ok(Some(state))
        })
    }

    /// Writes down that a container is about to be removed because it never ran, or that it isn't:
    /// whoever takes the job over and finds no container knows why. False: another agent has the job.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn discard(
        &self,
        registration: &AgentRegistration,
        claim: &Claim,
        container: Option<&str>,
    ) -> Result<bool, StoreError> {
        self.transaction(|tx| {
            let sql = "UPDATE jobs SET discarded = $1
                       WHERE id = $2 AND epoch = $3 AND session = $4 AND state = 'running'";
            let values = [
                container.map(str::to_owned).as_ref().into(),
                (&claim.id).into(),
                claim.fencing_token.into(),
                (&registration.session).into(),
            ];
            Ok(tx.execute(sql, &values)? > 0)
        })
    }

    /// Gives a job back that was never started. It counts as no try.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn give_back(
        &self,
        registration: &AgentRegistration,
        claim: &Claim,
    ) -> Result<bool, StoreError> {
        self.transaction(|tx| {
            let sql = format!(
                "SELECT id FROM jobs WHERE id = $1 AND epoch = $2 AND session = $3
                 AND state IN ('claimed', 'running'){}",
                tx.hold()
            );
            let mine = [
                (&claim.id).into(),
                claim.fencing_token.into(),
                (&registration.session).into(),
            ];
            if tx.query(&sql, &mine)?.is_empty() {
                return Ok(false);
            }
            requeue(tx, &claim.id, claim.fencing_token)?;
            Ok(true)
        })
    }
}
