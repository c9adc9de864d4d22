//! Base images from a distribution's own packages, for closed networks, and for whoever wants to know
//! where the first layer comes from.

mod debian;
mod error;

use std::path::PathBuf;
use std::sync::Arc;

use oci_spec::distribution::Reference;
use oci_spec::image::Digest;

use self::debian::Debian;
pub use self::error::{BaseError, ToolError};
use crate::image::OciLayout;
use crate::registry::Registry;
use crate::reporter::Reporter;

/// A base image of Debian packages, made by mmdebstrap.
#[derive(Debug, Clone)]
pub struct DebianRequest {
    /// Suite, by its code name.
    pub suite: String,
    /// Packages besides the essential ones and apt.
    pub include: Vec<String>,
    /// State of the archive at this time, as `20260301T000000Z`: `mirror` names an archive of snapshots.
    pub snapshot: Option<String>,
    /// Address of the archive; without it, the one that this machine takes the suite from.
    pub mirror: Option<String>,
    /// Address of the archive that the image's own apt names; without it, the one that it is made from.
    pub sources: Option<String>,
    /// Name in a registry that it is pushed under.
    pub tag: Option<Reference>,
    /// Folder that gets it as an OCI layout, and isn't there yet.
    pub output: Option<PathBuf>,
}

/// A base image that was made.
#[derive(Debug, Clone)]
pub struct BaseImage {
    /// `REFERENCE@DIGEST` where it was pushed, else its digest.
    pub name: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Seconds since 1970-01-01 that no time in it is past.
    pub epoch: i64,
}

/// Makes a base image. One archive in one state gives the same digest on every machine.
///
/// # Errors
/// Where a value can't be used, a tool is missing, the archive can't be reached, or the image can't be
/// pushed or written.
pub async fn make(
    request: &DebianRequest,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<BaseImage, BaseError> {
    if let Some(tag) = &request.tag {
        // A refusal is better known before the work than after it.
        registry.check_push(tag).await?;
    }
    let debian = Debian::plan(request)?;
    let made = tokio::task::block_in_place(|| debian.make(reporter))?;
    if let Some(folder) = &request.output {
        made.keep(folder)?;
    }
    let digest = made.top.digest().clone();
    let mut name = digest.to_string();
    if let Some(tag) = &request.tag {
        let layout = match &request.output {
            Some(folder) => OciLayout::open(folder)?,
            None => made.layout.finish(&made.top)?,
        };
        let pushed = registry
            .push_layout(&layout, tag, &[], Arc::new(|_| {}))
            .await?;
        name = pushed.pinned();
    }
    Ok(BaseImage {
        name,
        digest,
        epoch: made.epoch,
    })
}
