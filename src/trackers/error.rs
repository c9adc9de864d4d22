//! Why a tracker's server doesn't say what a run was.

use std::path::PathBuf;

use mlbuild_waits::Stalled;

use crate::error::ErrorKind;

/// A tracker of experiments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracker {
    /// Weights & Biases.
    Wandb,
    /// MLflow.
    Mlflow,
}

impl std::fmt::Display for Tracker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wandb => "Weights & Biases",
            Self::Mlflow => "MLflow",
        })
    }
}

/// Why a tracker's server doesn't say what a run was. A server is named as `HOST:PORT`.
#[derive(Debug, thiserror::Error)]
pub enum TrackerError {
    /// The name of a run can't be read.
    #[error("`{text}` names no run of {tracker}: {why}")]
    Name {
        /// What was typed.
        text: String,
        /// The tracker.
        tracker: Tracker,
        /// What is missing or wrong.
        why: String,
    },
    /// The server's address is none.
    #[error("{from}: `{address}` is no address of a server: {why}")]
    Address {
        /// The variable or the file that says it.
        from: String,
        /// The address.
        address: String,
        /// What is wrong.
        why: String,
    },
    /// A file of settings or log-ins can't be read.
    #[error("{}: {why}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// The run's address is of another server than the one that the tracker's client would ask.
    #[error("the run is at {asked}, and {tracker} is set to {server}")]
    OtherServer {
        /// The tracker.
        tracker: Tracker,
        /// The host in the run's address.
        asked: String,
        /// The server that is set.
        server: String,
        /// The address to set, as far as it can be told.
        address: String,
    },
    /// There is no log-in for the server.
    #[error("there is no key for {server}: not in {}", looked.join(", "))]
    NoKey {
        /// The server.
        server: String,
        /// Where one was looked for.
        looked: Vec<String>,
    },
    /// A key that is for no server in particular isn't sent to one that a project's file names.
    #[error("{}: it names the server {server}, which isn't told the key of WANDB_API_KEY", file.display())]
    KeyElsewhere {
        /// The file.
        file: PathBuf,
        /// The server.
        server: String,
        /// Its address.
        address: String,
    },
    /// A way to log in that isn't supported.
    #[error("{variable} is set, and mlbuild can't log in by it")]
    LogIn {
        /// The tracker.
        tracker: Tracker,
        /// The variable.
        variable: &'static str,
    },
    /// The server refuses the log-in.
    #[error("{server} refuses the log-in: status {status}")]
    Refused {
        /// The tracker.
        tracker: Tracker,
        /// The server.
        server: String,
        /// The status of HTTP.
        status: u16,
    },
    /// The server can't be reached.
    #[error("{server} can't be reached: {why}")]
    Unreachable {
        /// The server.
        server: String,
        /// Why.
        why: String,
    },
    /// The server doesn't answer any more.
    #[error(transparent)]
    Stalled(#[from] Stalled),
    /// The server wants to be asked elsewhere.
    #[error("{server} sends log-ins on to {to}, and they stay with it")]
    Redirected {
        /// The tracker.
        tracker: Tracker,
        /// The server.
        server: String,
        /// Where it leads.
        to: String,
    },
    /// The answer is none that there should be.
    #[error("{what} of {server}: {why}")]
    Answer {
        /// The server.
        server: String,
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The server doesn't know the run, or doesn't show it.
    #[error("{server} has no run `{run}`, or doesn't show it to you")]
    NoSuchRun {
        /// The tracker.
        tracker: Tracker,
        /// The server.
        server: String,
        /// The run.
        run: String,
    },
    /// The server has no such experiment.
    #[error("{server} has no experiment `{experiment}`")]
    NoSuchExperiment {
        /// The server, or the database's file.
        server: String,
        /// The experiment's name or id.
        experiment: String,
    },
    /// Nothing says where MLflow's runs are.
    #[error("MLFLOW_TRACKING_URI isn't set, and {} has no mlflow.db", folder.display())]
    NoStore {
        /// The folder that was looked into.
        folder: PathBuf,
    },
    /// Runs are kept in a way that isn't read.
    #[error("MLFLOW_TRACKING_URI: `{address}` is {what}, which mlbuild doesn't read")]
    OtherStore {
        /// The address, without a log-in.
        address: String,
        /// What it is.
        what: &'static str,
    },
    /// A setting that changes how the server is asked, and isn't followed.
    #[error("{variable} is set, and mlbuild doesn't follow it")]
    Setting {
        /// The variable.
        variable: &'static str,
    },
}

impl TrackerError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoKey { .. }
            | Self::LogIn { .. }
            | Self::Refused { .. }
            | Self::Unreachable { .. }
            | Self::Stalled(_)
            | Self::Redirected { .. }
            | Self::Answer { .. } => ErrorKind::Environment,
            _ => ErrorKind::User,
        }
    }
}
