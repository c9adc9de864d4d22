//! A job's assignment: to an agent, and back to the queue.

use super::jobs::read;
use super::sql::{Clock, Tx};
use super::{StoreError, wall};
use crate::queue::claim::{AgentRegistration, Claim};
use crate::queue::job::Source;

impl AgentRegistration {
    /// When its lease ends, on the clock of leases, in milliseconds.
    pub(super) fn until(&self, clock: &Clock) -> i64 {
        clock.now + self.lease.as_millis() as i64
    }
}

pub(super) fn source(text: &str) -> Result<Source, StoreError> {
    read(text).ok_or(StoreError::TooNew)
}

/// Assigns the job to an agent.
pub(super) fn assign(
    tx: &mut dyn Tx,
    registration: &AgentRegistration,
    clock: &Clock,
    claim: &Claim,
    state: &str,
) -> Result<(), StoreError> {
    let sql = "UPDATE jobs SET state = $1, epoch = $2, session = $3, agent = $4, host = $5,
               engine = $6, boot = $7, lease = $8 WHERE id = $9";
    let values = [
        state.into(),
        claim.fencing_token.into(),
        (&registration.session).into(),
        (&registration.name).into(),
        (&registration.host).into(),
        (&registration.engine).into(),
        (&clock.boot).into(),
        registration.until(clock).into(),
        (&claim.id).into(),
    ];
    tx.execute(sql, &values).map(drop)
}

/// Has a job wait again whose agent was lost before it started anything.
pub(super) fn requeue(tx: &mut dyn Tx, id: &str, fencing_token: i64) -> Result<(), StoreError> {
    let sql =
        "UPDATE jobs SET state = 'queued', epoch = epoch + 1, session = NULL, container = NULL,
               run_id = NULL, image = NULL, started = NULL, not_before = 0
               WHERE id = $1 AND epoch = $2";
    tx.execute(sql, &[id.into(), fencing_token.into()])?;
    tx.execute("DELETE FROM gpus WHERE job = $1", &[id.into()])?;
    // Somebody wanted it to end.
    let sql = "UPDATE jobs SET state = 'cancelled', ended = $1
               WHERE id = $2 AND cancelled = 1 AND state = 'queued'";
    tx.execute(sql, &[wall().into(), id.into()])?;
    tx.wake()
}
