//! What a job is.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::store::StoreError;

/// What a job's container is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Source {
    /// An image that is there.
    Image {
        /// Its name.
        image: String,
    },
    /// A folder with code, kept in the store.
    Folder {
        /// Its name, for people.
        name: String,
        /// The digest of its archive.
        digest: String,
        /// The variant of its image.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        variant: Option<String>,
    },
    /// A commit of a repository.
    Git {
        /// The repository.
        url: String,
        /// What was asked for.
        revision: String,
        /// The commit that it was then.
        #[serde(deserialize_with = "mlbuild_manifests::run_record::commit::required")]
        commit: String,
        /// The variant of its image.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        variant: Option<String>,
    },
}

impl Source {
    /// The variant of the image that is built of it.
    pub fn variant(&self) -> Option<&str> {
        match self {
            Self::Image { .. } => None,
            Self::Folder { variant, .. } | Self::Git { variant, .. } => variant.as_deref(),
        }
    }

    /// One word or two, for people.
    pub fn shown(&self) -> String {
        let shown = match self {
            Self::Image { image } => image.clone(),
            Self::Folder { name, .. } => format!("{name}/"),
            Self::Git { url, revision, .. } => format!("{url}@{revision}"),
        };
        match self.variant() {
            Some(variant) => format!("{shown} ({variant})"),
            None => shown,
        }
    }
}

/// Which GPUs a job needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum GpuNeed {
    /// None.
    #[default]
    None,
    /// So many.
    Count(u32),
    /// All that an agent has.
    All,
    /// These.
    Ids(Vec<String>),
}

/// A job as it is handed in.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// The queue.
    pub queue: String,
    /// What its container is made from.
    pub source: Source,
    /// Overrides of the queue's options, `KEY=VALUE`.
    pub overrides: Vec<String>,
    /// The command; empty: the image's own.
    pub command: Vec<String>,
    /// Which GPUs it needs.
    pub gpus: GpuNeed,
    /// How often it is tried again after it failed.
    pub retries: u32,
    /// Higher goes first.
    pub priority: i32,
}

/// How far a job got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Waits for an agent.
    Queued,
    /// An agent has it: its image is built or pulled, its container is made.
    Claimed,
    /// Its container was started.
    Running,
    /// It ended with exit code 0.
    Succeeded,
    /// It didn't.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Queued,
        Self::Claimed,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// What it means, in a line.
    pub fn about(self) -> &'static str {
        match self {
            Self::Queued => "Waits for an agent",
            Self::Claimed => "An agent has it: its image is built or pulled, its container is made",
            Self::Running => "Its container was started",
            Self::Succeeded => "It ended with exit code 0",
            Self::Failed => "It didn't",
            Self::Cancelled => "Somebody cancelled it",
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Claimed => "claimed",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more happens to it by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    pub(super) fn read(word: &str) -> Result<Self, StoreError> {
        let same = |state: &Self| state.as_str() == word;
        let found = Self::ALL.into_iter().find(same);
        found.ok_or_else(|| StoreError::Unknown {
            what: "the state of a job",
            value: word.to_owned(),
        })
    }
}

/// A job in the store.
#[derive(Debug, Clone, Serialize)]
pub struct Job {
    /// Its id, which its first run has too.
    pub id: String,
    /// Its queue.
    pub queue: String,
    /// What its container is made from.
    pub source: Source,
    /// Overrides of the queue's options.
    pub overrides: Vec<String>,
    /// Its command.
    pub command: Vec<String>,
    /// Higher goes first.
    pub priority: i64,
    /// How far it got.
    pub state: State,
    /// Which try this is, from 1.
    pub attempt: i64,
    /// How often it is tried again.
    pub retries: i64,
    /// Whether somebody wants it to end.
    pub cancel_wanted: bool,
    /// The agent that has it, or had it last.
    pub agent: Option<String>,
    /// That agent's machine.
    pub host: Option<String>,
    /// True where the agent said nothing for longer than its lease.
    pub agent_is_silent: bool,
    /// The container.
    pub container: Option<String>,
    /// Id of the run.
    pub run_id: Option<String>,
    /// The image, by digest.
    pub image: Option<String>,
    /// The GPUs that it was handed.
    pub gpus: Vec<String>,
    /// The program's exit code.
    pub exit_code: Option<i64>,
    /// Why it failed, where that wasn't the program's doing.
    pub error: Option<String>,
    /// The end of its output, where it has ended.
    #[serde(skip)]
    pub log: Option<String>,
    /// When it was launched.
    pub created: Timestamp,
    /// When its container was started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// One try of a job that has ended.
#[derive(Debug, Clone, Serialize)]
pub struct Attempt {
    /// Which, from 1.
    pub attempt: i64,
    /// Id of the run, where it got so far.
    pub run_id: Option<String>,
    /// Who tried.
    pub agent: Option<String>,
    /// Where.
    pub host: Option<String>,
    /// When its container was started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The program's exit code.
    pub exit_code: Option<i64>,
    /// Why it failed, where that wasn't the program's doing.
    pub error: Option<String>,
}

/// A queue.
#[derive(Debug, Clone, Serialize)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Its configuration, as it was written.
    pub config: String,
    /// Whether its jobs wait.
    pub paused: bool,
    /// How many jobs wait.
    pub waiting: i64,
    /// How many an agent has.
    pub running: i64,
}
