//! Errors of asking Slurm.

use crate::error::CommandError;
use mlbuild::slurm::SlurmError;

impl From<SlurmError> for CommandError {
    fn from(error: SlurmError) -> Self {
        let made = CommandError::new(error.kind(), &error);
        match error {
            SlurmError::LoginName { .. } => CommandError::user(format!("--ssh {}", made.message())),
            SlurmError::NoCommands { .. } => {
                made.hint("name a login node of the cluster, by which ssh knows it: --ssh LOGIN")
            }
            SlurmError::Unreachable { login, .. } => {
                made.hint(format!("does it work by hand? ssh {}", mlbuild::shell::word(login)))
            }
            SlurmError::Unknown { .. } => {
                made.hint("look whether it is there, before you submit it again: mlbuild jobs list --kind slurm")
            }
            SlurmError::FolderTaken { .. } => made.hint("take another --run-id"),
            SlurmError::File { .. } => made.hint("--job-folder names another folder, which login node and nodes share"),
            _ => made,
        }
    }
}
