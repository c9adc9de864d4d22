//! Runs in a SQLite database, where MLflow's client keeps them without a server. The file may be a
//! stranger's: it is opened for reading, its views and triggers may call nothing, and what takes long is
//! given up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mlbuild_waits::Wait;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params_from_iter};

use super::run::{IMAGE, MAX_RUNS, MAX_TAG, MlflowList, MlflowRun, Raw, TAGS};
use super::settings::Experiment;
use crate::trackers::{Tracker, TrackerError};

/// What is read of a run.
const COLUMNS: &str = "substr(run_uuid, 1, 300), CAST(experiment_id AS TEXT), \
    substr(coalesce(status, ''), 1, 300), start_time, end_time";

/// Reads a run.
///
/// # Errors
/// Where the file can't be read or doesn't have it.
pub(super) async fn run(file: PathBuf, id: String) -> Result<MlflowRun, TrackerError> {
    let shown = file.display().to_string();
    let (asked, at) = (id.clone(), file.clone());
    let raw = read(file, move |database| {
        let query = format!("SELECT {COLUMNS} FROM runs WHERE run_uuid = ?1");
        let raw = database.query_row(&query, [&asked], raw).optional()?;
        raw.map(|raw| with_tags(database, raw)).transpose()
    })
    .await?;
    let raw = raw.ok_or_else(|| TrackerError::NoSuchRun {
        tracker: Tracker::Mlflow,
        server: shown.clone(),
        run: id,
    })?;
    raw.check(&shown).map_err(|why| wrong(&at, why))
}

/// Reads the newest runs that are tagged.
///
/// # Errors
/// Where the file can't be read or doesn't have the experiment.
pub(super) async fn list(
    file: PathBuf,
    experiment: Option<Experiment>,
) -> Result<MlflowList, TrackerError> {
    let shown = file.display().to_string();
    let (column, value) = match experiment {
        None => ("1", None),
        Some(Experiment::Name(name)) => ("name", Some(name)),
        Some(Experiment::Id(id)) => ("CAST(experiment_id AS TEXT)", Some(id)),
    };
    let asked = value.clone();
    let found = read(file, move |database| {
        let wanted = if asked.is_some() { "?1" } else { "1" };
        let of_experiment =
            format!("SELECT experiment_id FROM experiments WHERE {column} = {wanted}");
        let is_there = format!("SELECT EXISTS ({of_experiment})");
        let parameters = || params_from_iter(&asked);
        if !database.query_row(&is_there, parameters(), |row| row.get::<_, bool>(0))? {
            return Ok(None);
        }
        let query = format!(
            "SELECT {COLUMNS} FROM runs WHERE lifecycle_stage = 'active' \
             AND experiment_id IN ({of_experiment}) AND EXISTS (SELECT 1 FROM tags \
             WHERE tags.run_uuid = runs.run_uuid AND tags.key = '{IMAGE}') \
             ORDER BY start_time DESC LIMIT {}",
            MAX_RUNS + 1
        );
        let mut query = database.prepare(&query)?;
        let rows = query.query_map(parameters(), raw)?;
        let rows: Vec<Raw> = rows.collect::<rusqlite::Result<_>>()?;
        let tagged = rows.into_iter().map(|raw| with_tags(database, raw));
        tagged.collect::<rusqlite::Result<Vec<Raw>>>().map(Some)
    })
    .await?;
    let mut found = match (found, value) {
        (Some(found), _) => found,
        (None, None) => Vec::new(),
        (None, Some(experiment)) => {
            return Err(TrackerError::NoSuchExperiment {
                server: shown,
                experiment,
            });
        }
    };
    let mut list = MlflowList {
        is_cut: found.len() > MAX_RUNS,
        ..MlflowList::default()
    };
    found.truncate(MAX_RUNS);
    for raw in found {
        match raw.check(&shown) {
            Ok(run) => list.runs.push(run),
            Err(why) => list.unreadable.push(why),
        }
    }
    Ok(list)
}

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok(Raw {
        id: row.get(0)?,
        experiment: row.get(1)?,
        status: row.get(2)?,
        started: row.get(3)?,
        ended: row.get(4)?,
        tags: BTreeMap::new(),
    })
}

/// The run with its tags, each cut where it is larger than may be.
fn with_tags(database: &Connection, mut raw: Raw) -> rusqlite::Result<Raw> {
    let places = vec!["?"; TAGS.len()].join(", ");
    let query = format!(
        "SELECT key, substr(coalesce(value, ''), 1, {}) FROM tags \
         WHERE run_uuid = ? AND key IN ({places}) LIMIT {}",
        MAX_TAG + 1,
        TAGS.len()
    );
    let mut query = database.prepare_cached(&query)?;
    let parameters = params_from_iter([raw.id.as_str()].into_iter().chain(TAGS));
    let rows = query.query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?)))?;
    raw.tags = rows.collect::<rusqlite::Result<_>>()?;
    Ok(raw)
}

/// Opens the file and reads in it, beside the other tasks of this process.
async fn read<T: Send + 'static>(
    file: PathBuf,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, TrackerError> {
    // Whatever else than a file may hang when it is opened.
    let metadata = std::fs::metadata(&file).map_err(|error| wrong(&file, error))?;
    if !metadata.is_file() {
        return Err(wrong(&file, "it is no file"));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(&file, flags);
    let database = opened.map_err(|error| wrong(&file, error))?;
    let hardened = database.pragma_update(None, "trusted_schema", false);
    hardened.map_err(|error| wrong(&file, error))?;
    let interrupt = database.get_interrupt_handle();
    let wait = Wait::on(format!("the database {}", file.display()));
    let mut task = tokio::task::spawn_blocking(move || work(&database));
    let done = wait.within(&mut task).await;
    if done.is_err() {
        interrupt.interrupt();
    }
    let done = done?.map_err(|error| wrong(&file, error))?;
    done.map_err(|error| wrong(&file, error))
}

fn wrong(file: &Path, why: impl ToString) -> TrackerError {
    TrackerError::File {
        file: file.to_owned(),
        why: why.to_string(),
    }
}
