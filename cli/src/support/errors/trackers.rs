//! Errors of trackers' servers.

use crate::error::CommandError;
use mlbuild::env_vars::{MLFLOW_TRACKING_URI, WANDB_BASE_URL};
use mlbuild::shell::word;
use mlbuild::trackers::{Tracker, TrackerError};

/// MLflow's own client does what isn't supported here.
const BY_CLIENT: &str = "from Python, by MLflow's own client: mlbuild.restore(\"mlflow:RUN_ID\")";

/// How MLflow's server is told who asks.
const MLFLOW_LOG_IN: &str = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN; or write both into ~/.mlflow/credentials";

impl From<TrackerError> for CommandError {
    fn from(error: TrackerError) -> Self {
        let made = CommandError::new(error.kind(), &error);
        match error {
            TrackerError::OtherServer {
                tracker: Tracker::Mlflow,
                address,
                ..
            } => made.hint(format!(
                "if that server is yours: export MLFLOW_TRACKING_URI={}",
                word(address)
            )),
            TrackerError::OtherServer { address, .. }
            | TrackerError::KeyElsewhere { address, .. } => made.hint(format!(
                "if that server is yours: export WANDB_BASE_URL={}",
                word(address)
            )),
            TrackerError::NoKey { .. } => made.hint("wandb login, or set WANDB_API_KEY"),
            TrackerError::LogIn {
                tracker: Tracker::Wandb,
                ..
            } => made.hint("set WANDB_API_KEY"),
            TrackerError::LogIn {
                tracker: Tracker::Mlflow,
                ..
            } => made.hint(BY_CLIENT).hint(MLFLOW_LOG_IN),
            TrackerError::Refused {
                tracker: Tracker::Mlflow,
                ..
            } => made.hint(MLFLOW_LOG_IN),
            TrackerError::Refused { .. } => made.hint(
                "a key of this server is needed: wandb login --relogin, or set WANDB_API_KEY",
            ),
            TrackerError::Redirected { tracker, .. } => made.hint(format!(
                "where that is the right server: set {} to it",
                match tracker {
                    Tracker::Wandb => WANDB_BASE_URL,
                    Tracker::Mlflow => MLFLOW_TRACKING_URI,
                }
            )),
            TrackerError::NoStore { .. } => {
                made.hint("export MLFLOW_TRACKING_URI=https://HOST, the address of MLflow's server")
            }
            TrackerError::OtherStore { .. } | TrackerError::Setting { .. } => {
                made.hint(BY_CLIENT).hint(
                    "or have a server on it: mlflow server --backend-store-uri URI, and set MLFLOW_TRACKING_URI to its address",
                )
            }
            TrackerError::NoSuchExperiment { .. } => {
                made.hint("of all experiments: mlbuild runs list --from mlflow")
            }
            TrackerError::NoSuchRun {
                tracker: Tracker::Mlflow,
                ..
            } => made
                .hint("the runs that it has: mlbuild runs list --from mlflow")
                .hint("MLFLOW_TRACKING_URI is the server"),
            TrackerError::NoSuchRun { .. } => made.hint(
                "as its page's address has it: ENTITY/PROJECT:RUN; WANDB_BASE_URL is the server",
            ),
            _ => made,
        }
    }
}
