//! Images of runs get a tag of their own, so that no clean-up of a registry takes them for garbage.

use std::path::Path;

use oci_spec::distribution::Reference;
use serde::Serialize;

use super::push::{PushRequest, push};
use super::{RunsError, needed};
use crate::records::Store;
use crate::registry::Registry;
use crate::reporter::Reporter;

/// Longest tag: OCI distribution specification 1.1, "Pulling manifests".
const MAX_TAG: usize = 128;

/// A run whose image has a tag of its own.
#[derive(Debug, Clone, Serialize)]
pub struct KeptRun {
    /// Id of the run.
    pub run: String,
    /// The image by its tag and digest: `HOST/NAME:run-ID@sha256:…`.
    pub image: String,
}

/// Attaches the records of runs to their images, as [`push`] does, and has the tag `run-ID` name each.
///
/// # Errors
/// As [`push`]; where a tag names another image already.
pub async fn keep(
    project: &Path,
    request: &PushRequest,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<Vec<KeptRun>, RunsError> {
    let pushed = push(project, request, registry, reporter).await?;
    let store = Store::of(project);
    let mut kept = Vec::new();
    for run in pushed {
        let record = store.load(&run.run)?;
        let exact = needed::published(&record)?.expect("its record was attached to it");
        let digest = exact.digest().expect("it is named by digest").to_owned();
        let tag = needed::tag_of(&run.run);
        if tag.len() > MAX_TAG {
            return Err(RunsError::NoTag { run: run.run });
        }
        let tagged = Reference::with_tag(
            exact.registry().to_owned(),
            exact.repository().to_owned(),
            tag.clone(),
        );
        match registry.head(&tagged).await? {
            Some(found) if found.digest().as_ref() == digest => {}
            Some(found) => {
                return Err(RunsError::KeptOtherwise {
                    run: run.run,
                    tag: tagged.to_string(),
                    found: found.digest().clone(),
                });
            }
            None => {
                registry.tag(&exact, &tag).await?;
            }
        }
        kept.push(KeptRun {
            run: run.run,
            image: format!("{tagged}@{digest}"),
        });
    }
    Ok(kept)
}
