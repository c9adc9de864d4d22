//! MLflow: its runs, as its server or its SQLite database has them.
//!
//! Held against the client and the server `mlflow` 3.17 of Python.

mod api;
mod database;
mod name;
mod run;
mod settings;

use std::path::Path;

pub use self::name::MlflowName;
pub use self::run::{MlflowList, MlflowRun, MlflowStatus};
use self::settings::Place;
use super::TrackerError;
use crate::reporter::Reporter;

/// Asks where MLflow's client would ask in this folder for a run.
///
/// # Errors
/// Where the server, its log-in or the run can't be found, or an answer can't be used.
pub async fn fetch(
    name: &MlflowName,
    project: &Path,
    reporter: &dyn Reporter,
) -> Result<MlflowRun, TrackerError> {
    match settings::find(project, name.page.as_ref(), reporter)? {
        Place::Server(server) => api::run(&server, &name.id).await,
        Place::Database(file) => database::run(file, name.id.clone()).await,
    }
}

/// The newest runs that the plugin of the Python package tagged, of one experiment (by name) or of those
/// that MLflow's variables name, or else of all.
///
/// # Errors
/// As [`fetch`]; where there is no such experiment.
pub async fn list(
    experiment: Option<&str>,
    project: &Path,
    reporter: &dyn Reporter,
) -> Result<MlflowList, TrackerError> {
    let experiment = settings::experiment(experiment);
    let list = match settings::find(project, None, reporter)? {
        Place::Server(server) => api::list(&server, experiment.as_ref()).await?,
        Place::Database(file) => database::list(file, experiment).await?,
    };
    if list.is_cut {
        reporter.warning(format!(
            "the newest {} runs are looked at, and there are more",
            run::MAX_RUNS
        ));
    }
    for why in &list.unreadable {
        reporter.warning(why);
    }
    Ok(list)
}
