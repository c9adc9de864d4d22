//! What is read of a run: its tags of mlbuild's plugin and of MLflow's own context.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::name::is_id;

/// Most runs that are listed.
pub(super) const MAX_RUNS: usize = 10_000;
/// Most bytes of a tag that is read.
pub(super) const MAX_TAG: usize = 2048;
/// The tag without which a run is none of mlbuild's.
pub(super) const IMAGE: &str = "mlbuild.image";
/// All tags that are read.
pub(super) const TAGS: [&str; 9] = [
    IMAGE,
    "mlbuild.run_id",
    "mlbuild.commit",
    "mlbuild.lock",
    "mlflow.runName",
    "mlflow.source.name",
    "mlflow.source.git.commit",
    "mlflow.source.git.dirty",
    "mlflow.source.git.repoURL",
];

/// A run as MLflow has it. Nothing of it is known to be true.
#[derive(Debug, Clone)]
pub struct MlflowRun {
    /// The run, as `RUN at HOST:PORT`, or in a file.
    pub shown: String,
    /// Its id.
    pub id: String,
    /// Its experiment's id.
    pub experiment: String,
    /// How far it got.
    pub status: MlflowStatus,
    /// When it started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    tags: BTreeMap<String, String>,
}

/// How far a run got, in MLflow's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MlflowStatus {
    /// It waits for its start.
    Scheduled,
    /// It runs, or nobody saw its end.
    Running,
    /// It ended.
    Finished,
    /// It ended with an error.
    Failed,
    /// Somebody ended it.
    Killed,
}

/// Runs of a server or of a database, newest first.
#[derive(Debug, Default)]
pub struct MlflowList {
    /// Those that can be read.
    pub runs: Vec<MlflowRun>,
    /// What is wrong with the others.
    pub unreadable: Vec<String>,
    /// Whether there are more.
    pub is_cut: bool,
}

/// A run as it was read, not yet looked at.
pub(super) struct Raw {
    pub(super) id: String,
    pub(super) experiment: String,
    pub(super) status: String,
    /// Milliseconds since 1970.
    pub(super) started: Option<i64>,
    pub(super) ended: Option<i64>,
    pub(super) tags: BTreeMap<String, String>,
}

impl MlflowStatus {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "SCHEDULED" => Self::Scheduled,
            "RUNNING" => Self::Running,
            "FINISHED" => Self::Finished,
            "FAILED" => Self::Failed,
            "KILLED" => Self::Killed,
            _ => return None,
        })
    }

    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Finished => "ok",
            Self::Failed => "failed",
            Self::Killed => "killed",
        }
    }
}

impl Raw {
    /// Looks at what was read; `place` is the server or the file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn check(self, place: &str) -> Result<MlflowRun, String> {
        if !is_id(&self.id) {
            return Err(format!(
                "{:?} at {place}: that is no run's id",
                cut(&self.id)
            ));
        }
        let shown = format!("{} at {place}", self.id);
        let status = MlflowStatus::parse(&self.status);
        let status =
            status.ok_or_else(|| format!("{shown}: {:?} is no status", cut(&self.status)))?;
        if let Some((name, _)) = self.tags.iter().find(|(_, value)| value.len() > MAX_TAG) {
            return Err(format!(
                "{shown}: its tag {name} is larger than {MAX_TAG} bytes"
            ));
        }
        let time = |millis: Option<i64>| match millis {
            // MLflow 1 wrote 0 for none.
            None | Some(0) => Ok(None),
            Some(millis) => Timestamp::from_millisecond(millis)
                .map(Some)
                .map_err(|error| format!("{shown}: {error}")),
        };
        Ok(MlflowRun {
            experiment: self.experiment,
            started: time(self.started)?,
            ended: time(self.ended)?,
            id: self.id,
            status,
            shown,
            tags: self.tags,
        })
    }
}

/// Enough of a stranger's text to tell it by.
fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

impl MlflowRun {
    fn tag(&self, name: &str) -> Option<&str> {
        let value = self.tags.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// The pinned image that it ran in: `NAME@sha256:…`, or an image's ID.
    pub fn image(&self) -> Option<&str> {
        self.tag(IMAGE)
    }

    /// The id that mlbuild gave the run.
    pub fn run_id(&self) -> Option<&str> {
        self.tag("mlbuild.run_id")
    }

    /// The commit of its code, by its record or else by MLflow.
    pub fn commit(&self) -> Option<&str> {
        self.tag("mlbuild.commit")
            .or_else(|| self.tag("mlflow.source.git.commit"))
    }

    /// Whether MLflow saw changes that weren't committed.
    pub fn is_dirty(&self) -> bool {
        self.tag("mlflow.source.git.dirty")
            .is_some_and(|dirty| dirty.eq_ignore_ascii_case("true"))
    }

    /// Where its repository comes from.
    pub fn remote(&self) -> Option<&str> {
        self.tag("mlflow.source.git.repoURL")
    }

    /// Checksum of its image's entry in the lock.
    pub fn lock(&self) -> Option<&str> {
        self.tag("mlbuild.lock")
    }

    /// Its name for people.
    pub fn name(&self) -> Option<&str> {
        self.tag("mlflow.runName")
    }

    /// The program that MLflow saw, without its arguments.
    pub fn program(&self) -> Option<&str> {
        self.tag("mlflow.source.name")
    }
}
