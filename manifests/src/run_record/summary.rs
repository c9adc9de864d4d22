//! What a list of runs shows of each: read from the text without the rest of the record, which
//! takes most of the time where there are thousands.

use std::path::Path;

use jiff::Timestamp;

use super::{RunRecord, RunRecordError, RunStatus, quick};

/// The part of a record that is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSummary {
    /// The run's id.
    pub id: String,
    /// When it was bound to the image.
    pub created: Timestamp,
    /// Reference of the image, without digest.
    pub reference: String,
    /// Commit that was checked out.
    pub commit: Option<String>,
    /// True if the tree held changes beyond the commit; none without version control.
    pub dirty: Option<bool>,
    /// What stood after the image; none where mlbuild started nothing.
    pub argv: Option<Vec<String>>,
    /// Name of the machine.
    pub host: Option<String>,
    /// How far it got.
    pub status: RunStatus,
    /// When it started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The container's exit code.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<String>,
}

impl RunSummary {
    /// Reads a record's text; `path` is its file.
    ///
    /// # Errors
    /// As [`RunRecord::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, RunRecordError> {
        let summary = match quick::summary(text) {
            Some(summary) => summary,
            None => Self::of(&RunRecord::parse(text, path)?),
        };
        match path.file_stem().is_some_and(|name| name == &*summary.id) {
            true => Ok(summary),
            // The error that says so.
            false => RunRecord::load(path).map(|record| Self::of(&record)),
        }
    }

    /// That part of a record.
    pub fn of(record: &RunRecord) -> Self {
        let outcome = record.outcome.as_ref();
        let git = record.git.as_ref();
        Self {
            id: record.id.to_string(),
            created: record.created,
            reference: record.image.reference.clone(),
            commit: git.and_then(|git| git.commit.clone()),
            dirty: git.map(|git| git.dirty),
            argv: record.command.as_ref().map(|command| command.argv.clone()),
            host: record.host.as_ref().map(|host| host.name.clone()),
            status: record.status(),
            started: outcome.map(|outcome| outcome.started),
            ended: outcome.and_then(|outcome| outcome.ended),
            exit_code: outcome.and_then(|outcome| outcome.exit_code),
            signal: outcome.and_then(|outcome| outcome.signal.clone()),
        }
    }

    /// When it started, or was bound to its image.
    pub fn when(&self) -> Timestamp {
        self.started.unwrap_or(self.created)
    }

    /// Seconds from start to end; none where it hasn't ended.
    pub fn duration(&self) -> Option<i64> {
        Some(self.ended?.as_second() - self.started?.as_second())
    }
}
