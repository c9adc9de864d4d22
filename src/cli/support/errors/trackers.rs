//! Errors of trackers' servers.

use crate::cli::error::CommandError;
use crate::shell::word;
use crate::trackers::TrackerError;

impl From<TrackerError> for CommandError {
    fn from(error: TrackerError) -> Self {
        let made = CommandError::new(error.kind(), &error);
        match error {
            TrackerError::OtherServer { address, .. }
            | TrackerError::KeyElsewhere { address, .. } => made.hint(format!(
                "if that server is yours: export WANDB_BASE_URL={}",
                word(address)
            )),
            TrackerError::NoKey { .. } => made.hint("wandb login, or set WANDB_API_KEY"),
            TrackerError::LogIn { .. } => made.hint("set WANDB_API_KEY"),
            TrackerError::Refused { .. } => made.hint(
                "a key of this server is needed: wandb login --relogin, or set WANDB_API_KEY",
            ),
            TrackerError::Redirected { .. } => {
                made.hint("where that is the right server: set WANDB_BASE_URL to it")
            }
            TrackerError::NoSuchRun { .. } => made.hint(
                "as its page's address has it: ENTITY/PROJECT:RUN; WANDB_BASE_URL is the server",
            ),
            _ => made,
        }
    }
}
