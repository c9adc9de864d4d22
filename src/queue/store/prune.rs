//! Room: jobs that are over, and the code that no job needs any more.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::jobs::read;
use super::sql::{Row, Tx, all};
use super::{Store, StoreError, timestamp};
use crate::queue::job::{Source, State};

/// Which jobs are removed. Only those that are over ever are.
#[derive(Debug, Clone, Default)]
pub struct Prune {
    /// That ended before this.
    pub older_than: Option<Timestamp>,
    /// That ended so.
    pub state: Option<State>,
    /// So many of them stay, the newest.
    pub keep: usize,
    /// Nothing is removed; only looked for.
    pub dry_run: bool,
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The jobs, newest first.
    pub jobs: Vec<String>,
    /// How many archives of code.
    pub archives: usize,
    /// Their size as they were kept, in bytes.
    pub archive_bytes: u64,
}

impl Store {
    /// Removes jobs that are over, with what is known of their tries; and code of which no job
    /// remains. A job that may still be tried again keeps its code as long as it is there itself.
    ///
    /// # Errors
    /// Where the store fails; nothing is removed then.
    pub fn prune(&self, prune: &Prune) -> Result<Pruned, StoreError> {
        let pruned = self.transaction(|tx| {
            let mut jobs = prune.choose(tx)?;
            if !prune.dry_run {
                let chosen = std::mem::take(&mut jobs);
                for id in chosen {
                    if remove_job(tx, &id)? {
                        jobs.push(id);
                    }
                }
            }
            let mut pruned = Pruned {
                jobs,
                ..Pruned::default()
            };
            remove_archives(tx, prune.dry_run, &mut pruned)?;
            Ok(pruned)
        })?;
        if !prune.dry_run && pruned.archives > 0 {
            self.give_room_back()?;
        }
        Ok(pruned)
    }
}

impl Prune {
    fn choose(&self, tx: &mut dyn Tx) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT id, state, COALESCE(ended, created) FROM jobs
                   WHERE state IN ('succeeded', 'failed', 'cancelled')
                   ORDER BY seq DESC, id DESC";
        let meant = |mut row: Row| {
            let id = row.text()?;
            let state = State::read(&row.text()?)?;
            let ended = timestamp(row.int()?);
            let by_state = self.state.is_none_or(|wanted| wanted == state);
            let by_age = self.older_than.is_none_or(|time| ended < time);
            Ok((by_state && by_age).then_some(id))
        };
        let ids = all(tx.query(sql, &[])?, meant)?;
        Ok(ids.into_iter().flatten().skip(self.keep).collect())
    }
}

/// False where somebody had it tried again meanwhile.
fn remove_job(tx: &mut dyn Tx, id: &str) -> Result<bool, StoreError> {
    let sql = "DELETE FROM jobs WHERE id = $1 AND state IN ('succeeded', 'failed', 'cancelled')";
    let is_gone = tx.execute(sql, &[id.into()])? > 0;
    if is_gone {
        tx.execute("DELETE FROM attempts WHERE job = $1", &[id.into()])?;
    }
    Ok(is_gone)
}

/// The archives are held first: a launch that wants one has then written its job down, or waits and
/// finds the archive gone. Only after that it is certain which jobs there are.
fn remove_archives(tx: &mut dyn Tx, dry_run: bool, pruned: &mut Pruned) -> Result<(), StoreError> {
    let hold = if dry_run { "" } else { tx.hold() };
    let sql = "SELECT digest, CAST(length(bytes) AS BIGINT) FROM archives ORDER BY digest";
    let archives = tx.query(&format!("{sql}{hold}"), &[])?;
    let gone: BTreeSet<&String> = pruned.jobs.iter().collect();
    let mut needed = BTreeSet::new();
    for mut row in tx.query("SELECT id, source FROM jobs", &[])? {
        let (id, source) = (row.text()?, row.text()?);
        // One that this version can't read may name any.
        let source = read(&source).ok_or(StoreError::TooNew)?;
        if let Source::Folder { digest, .. } = source
            && !gone.contains(&id)
        {
            needed.insert(digest);
        }
    }
    for mut row in archives {
        let (digest, size) = (row.text()?, row.int()?);
        if needed.contains(&digest) {
            continue;
        }
        if !dry_run {
            tx.execute(
                "DELETE FROM archives WHERE digest = $1",
                &[(&digest).into()],
            )?;
        }
        pruned.archives += 1;
        pruned.archive_bytes += u64::try_from(size).unwrap_or_default();
    }
    Ok(())
}
