//! What an agent and the store agree on: who the agent is, which job it has, what it starts for
//! it, and how that ended.

use std::time::Duration;

use super::job::Source;

/// An agent as the store knows it.
#[derive(Debug, Clone)]
pub struct AgentRegistration {
    /// Its name, for people.
    pub name: String,
    /// What tells it from an earlier agent of the same name.
    pub session: String,
    /// Its machine's name.
    pub host: String,
    /// The container engine that it starts jobs on. Whoever uses the same one can take them over.
    pub engine: String,
    /// The queues that it serves.
    pub queues: Vec<String>,
    /// The GPUs that it may hand out.
    pub gpus: Vec<String>,
    /// How long it may say nothing.
    pub lease: Duration,
}

/// What an agent still has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The job.
    pub id: String,
    /// The fencing token of its assignment.
    pub fencing_token: i64,
    /// Whether somebody wants it to end.
    pub cancelled: bool,
}

/// A job that an agent has.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The job.
    pub id: String,
    /// Its queue.
    pub queue: String,
    /// The queue's configuration.
    pub config: String,
    /// What its container is made from.
    pub source: Source,
    /// Overrides of the queue's options.
    pub overrides: Vec<String>,
    /// Its command.
    pub command: Vec<String>,
    /// Which try this is.
    pub attempt: i64,
    /// The number of this assignment, which every further one raises. A write that names an older
    /// one changes nothing.
    pub fencing_token: i64,
    /// The GPUs that it may use.
    pub gpus: Vec<String>,
    /// What was started, where it was: the job is taken over.
    pub started: Option<Start>,
    /// Whether the agent before was removing that container, as one that never ran.
    pub is_discarded: bool,
}

/// A container that is about to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The container.
    pub container: String,
    /// Id of the run.
    pub run_id: String,
    /// The folder with the run's record.
    pub records: String,
    /// The image, by digest.
    pub image: String,
}

/// How a try ended.
#[derive(Debug, Clone, Default)]
pub struct End {
    /// The program's exit code.
    pub exit_code: Option<i64>,
    /// Why it failed, where that wasn't the program's doing.
    pub error: Option<String>,
    /// The end of its output.
    pub log: String,
    /// Whether it ended because somebody wanted that.
    pub cancelled: bool,
}
