//! The tables, the same in both databases. A change is added at the end: each version of the
//! program brings a store up to its own.

use mlbuild_manifests::RunId;

use super::StoreError;
use super::sql::{Tx, Value};

/// One step each; what stands here once is never changed.
const STEPS: &[&[&str]] = &[
    &[
        "CREATE TABLE store (id TEXT NOT NULL)",
        "CREATE TABLE queues (
        name TEXT PRIMARY KEY, config TEXT NOT NULL, paused BIGINT NOT NULL)",
        "CREATE TABLE jobs (
        id TEXT PRIMARY KEY, seq BIGINT NOT NULL, queue TEXT NOT NULL, priority BIGINT NOT NULL,
        source TEXT NOT NULL, overrides TEXT NOT NULL, command TEXT NOT NULL,
        gpus BIGINT NOT NULL, gpu_ids TEXT NOT NULL, retries BIGINT NOT NULL,
        state TEXT NOT NULL, attempt BIGINT NOT NULL, epoch BIGINT NOT NULL,
        not_before BIGINT NOT NULL, cancelled BIGINT NOT NULL,
        session TEXT, agent TEXT, host TEXT, engine TEXT, boot TEXT, lease BIGINT,
        container TEXT, run_id TEXT, records TEXT, image TEXT,
        exit_code BIGINT, error TEXT, log TEXT,
        created BIGINT NOT NULL, started BIGINT, ended BIGINT)",
        "CREATE INDEX jobs_seq ON jobs (seq)",
        "CREATE INDEX jobs_waiting ON jobs (priority DESC, seq) WHERE state = 'queued'",
        "CREATE INDEX jobs_held ON jobs (session) WHERE state IN ('claimed', 'running')",
        "CREATE TABLE attempts (
        job TEXT NOT NULL, attempt BIGINT NOT NULL, run_id TEXT, agent TEXT, host TEXT,
        started BIGINT, ended BIGINT, exit_code BIGINT, error TEXT,
        PRIMARY KEY (job, attempt))",
        "CREATE TABLE gpus (
        engine TEXT NOT NULL, id TEXT NOT NULL, job TEXT NOT NULL, PRIMARY KEY (engine, id))",
        "CREATE TABLE agents (
        name TEXT PRIMARY KEY, session TEXT NOT NULL, host TEXT NOT NULL, engine TEXT NOT NULL,
        boot TEXT NOT NULL, lease BIGINT NOT NULL)",
        "CREATE TABLE builds (key TEXT PRIMARY KEY, image TEXT NOT NULL)",
        "CREATE TABLE archives (digest TEXT PRIMARY KEY, bytes BYTEA NOT NULL)",
    ],
    // The container that is being removed because it never ran.
    &["ALTER TABLE jobs ADD COLUMN discarded TEXT"],
    // Whether a queue has work, without a look at the work of others.
    &["CREATE INDEX jobs_of_queue ON jobs (queue) WHERE state = 'queued'"],
];

/// Brings the store up to this version.
pub(super) fn migrate(tx: &mut dyn Tx) -> Result<(), StoreError> {
    tx.execute(
        "CREATE TABLE IF NOT EXISTS mlbuild_schema (version BIGINT NOT NULL)",
        &[],
    )?;
    let found = tx.query("SELECT version FROM mlbuild_schema", &[])?.pop();
    let version = found.map_or(Ok(0), |mut row| row.int())? as usize;
    if version > STEPS.len() {
        return Err(StoreError::TooNew);
    }
    for statement in STEPS[version..].iter().copied().flatten() {
        tx.execute(statement, &[])?;
    }
    if version < STEPS.len() {
        tx.execute("DELETE FROM mlbuild_schema", &[])?;
        let now = Value::Int(STEPS.len() as i64);
        tx.execute("INSERT INTO mlbuild_schema VALUES ($1)", &[now])?;
    }
    if version == 0 {
        let id = RunId::generate();
        tx.execute("INSERT INTO store VALUES ($1)", &[id.as_str().into()])?;
    }
    Ok(())
}
