//! What an image is, where it is, and what is known of it.
//!
//! | step | file |
//! | --- | --- |
//! | the registry | `remote` |
//! | this machine's Docker, Podman or nerdctl | `local` |
//! | the lock and the runs | `documents` |
//! | all of it | `report` |

mod documents;
mod error;
mod local;
mod remote;
mod report;

use std::path::{Path, PathBuf};

pub use self::error::InspectError;
use self::local::Local;
use self::remote::Remote;
pub use self::report::{
    InspectReport, LocalFacts, LockFacts, PackageFacts, PlatformFacts, RegistryFacts, RunFacts,
};
use crate::image::Contents;
use crate::image_source::{self, Opened};
use crate::pull::origin::{SifOrigin, is_sif};
use crate::records::this_host;
use crate::registry::{Registry, RegistryError};
use crate::reporter::Reporter;

/// Which image is looked at, and how closely.
#[derive(Debug, Clone)]
pub struct InspectRequest {
    /// A reference, an image ID, a path as for [`crate::diff`], or a file for Apptainer.
    pub image: String,
    /// This platform only, as `linux/amd64`.
    pub platform: Option<String>,
    /// Whether the layers are read: packages and accounts as they are in the image.
    pub reads_layers: bool,
    /// Whether no registry is asked.
    pub is_local: bool,
    /// Folder of the lock and the records.
    pub project: PathBuf,
}

/// Looks at an image.
///
/// # Errors
/// Where the name is none, the image is nowhere, or can't be read.
pub async fn inspect(
    request: &InspectRequest,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<InspectReport, InspectError> {
    let mut report = InspectReport::new(&request.image);
    let file = Path::new(&request.image);
    let opened = match image_source::path(&request.image) {
        _ if is_sif(file) => {
            report.add_sif(&SifOrigin::read(file)?);
            report.keep(request.platform.as_deref())?;
            if request.reads_layers {
                reporter.warning(
                    "a file for Apptainer holds no layers: those of the image that it names can be read",
                );
            }
            None
        }
        Some(_) => {
            let found = image_source::open(&request.image, registry).await?;
            report.read_from = "path".to_owned();
            report.add_platforms(&found);
            report.keep(request.platform.as_deref())?;
            Some(found)
        }
        None => look(request, registry, &mut report, reporter).await?,
    };
    documents::add(&mut report, &request.project, reporter);
    if request.reads_layers
        && let Some(opened) = opened
    {
        report.add_contents(contents(opened, &report).await?);
    }
    Ok(report)
}

/// Asks the registry and this machine. Returns where the layers are, if they are wanted.
async fn look(
    request: &InspectRequest,
    registry: &Registry,
    report: &mut InspectReport,
    reporter: &dyn Reporter,
) -> Result<Option<Opened>, InspectError> {
    let platform = request.platform.as_deref();
    let is_id = is_image_id(&request.image);
    if !is_id {
        RegistryError::reference(&request.image)?;
    }
    let here = local::look(&request.image, is_id || request.is_local).await?;
    let there = if is_id || request.is_local {
        Remote::NotAsked
    } else {
        remote::look(&request.image, registry).await?
    };
    if let Local::Found(local) = &here {
        report.local = Some(local.facts.clone());
    }
    match (there, here) {
        (Remote::Found(found), _) => {
            report.read_from = "registry".to_owned();
            found.add_to(report);
            report.keep(platform)?;
            found.see_whether_it_can_be_pulled(report, registry).await;
            documents::add_attached(report, &found, registry, reporter).await;
            Ok(Some(found.opened))
        }
        (there, Local::Found(local)) => {
            report.read_from = local.facts.runtime.clone();
            report.registry = there.problem();
            local.add_to(report);
            report.keep(platform)?;
            if request.reads_layers {
                local.saved(&request.image, reporter).map(Some)
            } else {
                Ok(None)
            }
        }
        (there, here) => Err(there.nowhere(&request.image, &here)),
    }
}

/// Whether a word is an image ID, which no registry is asked for.
fn is_image_id(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:");
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    hex.is_some_and(is_hex) || (text.len() == 64 && is_hex(text))
}

/// What the layers of one platform hold: this machine's, if there are several.
async fn contents(opened: Opened, report: &InspectReport) -> Result<Contents, InspectError> {
    let here = this_host().platform;
    let name = if report.platforms.contains_key(&here) {
        here
    } else {
        report.platforms.keys().next().cloned().unwrap_or_default()
    };
    let work = tokio::task::spawn_blocking(move || {
        let image = opened.images.get(&name).or(opened.images.values().next());
        let image = &image.expect("an image that was opened has one").image;
        Contents::read(image, &opened)
    });
    Ok(work.await??)
}

#[cfg(test)]
mod tests {
    use super::is_image_id;

    #[test]
    fn image_ids_are_told_from_names() {
        let full = "a".repeat(64);
        assert!(is_image_id(&full) && is_image_id("sha256:0123ab"));
        // A short one may be a name, too: both are asked.
        assert!(!is_image_id("cafe") && !is_image_id("cracks:v1") && !is_image_id("sha256:xyz"));
    }
}
