//! Runs that MLflow has, with the tags of the Python package's plugin: their record, here or beside their
//! image, else what the tags say.

use std::path::Path;

use super::error::RestoreError;
use crate::records::Store;
use crate::registry::{Registry, RegistryError};
use crate::reporter::Reporter;
use crate::runs::attached::{self, Attached};
use crate::runs::{self, is_of};
use crate::trackers::mlflow::{self, MlflowName, MlflowRun};

/// The record of a run that MLflow has.
///
/// # Errors
/// Where MLflow can't be asked, doesn't know the run, or knows no image of it.
pub async fn ask(
    name: &MlflowName,
    project: &Path,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<Attached, RestoreError> {
    let run = mlflow::fetch(name, project, reporter).await?;
    let pointer = run.image().ok_or_else(|| RestoreError::MlflowNoImage {
        from: run.shown.clone(),
    })?;
    let record = runs::record_of(&run).map_err(RestoreError::Mlflow)?;
    let store = Store::of(project);
    if let Some(found) = runs::recorded(&run, &store) {
        let patch = found.load_patch(store.folder());
        return Ok(Attached {
            patch: patch.map_err(RestoreError::Record)?,
            record: found,
        });
    }
    if run.run_id().is_some_and(|id| store.load(id).is_ok()) {
        reporter.warning(format!(
            "mlbuild.runs has another run of the id {}: its image isn't {pointer}",
            record.id
        ));
    }
    if let Some(found) = beside(&run, pointer, registry, reporter).await {
        return Ok(found);
    }
    reporter.note(format!(
        "the record of {} is neither here nor beside its image: image and commit are those of MLflow's tags",
        record.id
    ));
    if record.git.as_ref().is_some_and(|git| git.dirty) {
        reporter.warning("the run had changes that weren't committed, and MLflow hasn't them");
    }
    Ok(Attached {
        record,
        patch: None,
    })
}

/// The record that is attached to the run's image.
async fn beside(
    run: &MlflowRun,
    pointer: &str,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Option<Attached> {
    let id = run.run_id()?;
    // An image that was never pushed has no registry.
    let image = RegistryError::reference(pointer).ok()?;
    image.digest()?;
    match attached::find(registry, &image, id, reporter).await {
        Ok(found) => {
            let mut found = found.into_iter();
            found.find(|one| one.record.id.as_str() == id && is_of(&one.record, pointer))
        }
        Err(error) => {
            reporter.warning(format!(
                "{image} wasn't asked for the run's record: {error}"
            ));
            None
        }
    }
}
