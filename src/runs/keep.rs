//! Images of runs get a tag of their own, so that no clean-up of a registry takes them for garbage.

use std::path::Path;

use oci_spec::distribution::Reference;

use super::push::{PushRequest, PushedRun, push};
use super::{RunsError, needed};
use crate::registry::{Registry, RegistryError};
use crate::reporter::Reporter;

/// Longest tag: OCI distribution specification 1.1, "Pulling manifests".
const MAX_TAG: usize = 128;

/// Attaches the records of runs to their images, as [`push`] does, and has the tag `run-ID` name each: the
/// images are named by it, and by digest (`HOST/NAME:run-ID@sha256:…`).
///
/// # Errors
/// As [`push`]; where a tag names another image already.
pub async fn keep(
    project: &Path,
    request: &PushRequest,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<Vec<PushedRun>, RunsError> {
    let pushed = push(project, request, registry, reporter).await?;
    let mut kept = Vec::new();
    for run in pushed {
        let exact = RegistryError::reference(&run.image)?;
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
        kept.push(PushedRun {
            image: format!("{tagged}@{digest}"),
            ..run
        });
    }
    Ok(kept)
}
