//! Why Slurm can't be asked, or says no.

use std::io;

use super::job::JobNumber;
use crate::error::ErrorKind;

/// Why Slurm can't be asked, or says no.
#[derive(Debug, thiserror::Error)]
pub enum SlurmError {
    /// The text isn't the name of a host.
    #[error("`{text}` is no login node: write a name that ssh knows, such as me@login.example")]
    LoginName {
        /// What was given as one.
        text: String,
    },
    /// There are no commands of Slurm.
    #[error("there is no sbatch on {place}")]
    NoCommands {
        /// Where.
        place: String,
    },
    /// A program can't be started.
    #[error("{program} can't be started: {source}")]
    Program {
        /// The program.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The login node can't be reached.
    #[error("ssh can't reach {login}: {said}")]
    Unreachable {
        /// The login node.
        login: String,
        /// ssh's words.
        said: String,
    },
    /// Nothing came for too long.
    #[error(transparent)]
    Stalled(#[from] mlbuild_waits::Stalled),
    /// Slurm's own daemon doesn't answer, or a command fails.
    #[error("{command} failed: {said}")]
    Failed {
        /// The command.
        command: &'static str,
        /// Its words.
        said: String,
    },
    /// sbatch didn't take the job.
    #[error("Slurm doesn't take the job: {said}")]
    Refused {
        /// sbatch's words.
        said: String,
    },
    /// Nobody knows whether sbatch's job is there.
    #[error("sbatch was called, and it isn't known whether there is a job now: {said}")]
    Unknown {
        /// What happened.
        said: String,
    },
    /// A file or folder of the job can't be made or read.
    #[error("{path}: {said}")]
    File {
        /// Its path, on the cluster.
        path: String,
        /// Why.
        said: String,
    },
    /// Another job has the folder.
    #[error("the folder {path} is there already: it is of another job with this run id")]
    FolderTaken {
        /// The folder.
        path: String,
    },
    /// Slurm doesn't know the job (any more).
    #[error("Slurm knows no job {job}")]
    NotFound {
        /// The job.
        job: JobNumber,
    },
}

impl SlurmError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::LoginName { .. }
            | Self::Refused { .. }
            | Self::FolderTaken { .. }
            | Self::NotFound { .. } => ErrorKind::User,
            _ => ErrorKind::Environment,
        }
    }
}
