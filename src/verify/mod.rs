//! Rebuilds an image from its lock, and says whether it is the same.
//!
//! | step | file |
//! | --- | --- |
//! | what is to be proved | `target` |
//! | the image once more, with nothing from any cache | `rebuild` |
//! | the same of an assembled image alone, without its project | `alone` |
//! | what such an image and the lock beside it say, held against each other | `claims` |
//! | the layer of its code, which holds nothing else | `code` |
//! | what differs | [`crate::diff`] |

mod alone;
mod claims;
mod code;
mod error;
mod rebuild;
mod target;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use mlbuild_manifests::lock::Builder;
use oci_spec::distribution::Reference;
use oci_spec::image::Digest;

pub use self::error::VerifyError;
use self::rebuild::Rebuilt;
use self::target::Target;
use crate::build::assembled::OWN_NAME;
use crate::diff::ImageDifference;
use crate::image_source;
use crate::planning::registry_options;
use crate::pull::origin::{self, is_sif};
use crate::registry::Registry;
use crate::reporter::Reporter;
use crate::settings::{self, BuildRequest};

/// What is to be proved, and how it is built.
#[derive(Debug, Clone, Default)]
pub struct VerifyRequest {
    /// A run's id or the beginning of it, a reference in a registry, or a file for Apptainer; the project's lock without it.
    pub what: Option<String>,
    /// The image, as it was asked for when it was built. What only a build has a use for (push, load,
    /// outputs) is left aside.
    pub image: BuildRequest,
}

/// What came out of rebuilding an image.
#[derive(Debug)]
pub struct Verification {
    /// The image that was proved, by digest.
    pub image: Reference,
    /// Its manifests, by platform.
    pub expected: BTreeMap<String, Digest>,
    /// The manifests that were made here, by platform.
    pub rebuilt: BTreeMap<String, Digest>,
    /// Name and version of the builder.
    pub builder: String,
    /// Seconds that rebuilding took.
    pub rebuild_seconds: f64,
    /// What differs; `None` where nothing does.
    pub difference: Option<VerifiedDifference>,
    /// What was taken as the image has it, and not made again.
    pub taken: Vec<String>,
    /// Whether the lock pins packages, and mlbuild writes the image's bytes.
    pub has_pinned_packages: bool,
}

/// How a rebuilt image differs.
#[derive(Debug)]
pub struct VerifiedDifference {
    /// What differs; `None` where that can't be told, which was a warning.
    pub details: Option<ImageDifference>,
    /// Seconds that comparing took.
    pub seconds: f64,
}

impl Verification {
    /// True if every platform that was rebuilt has the manifest that was expected.
    pub fn is_identical(&self) -> bool {
        self.difference.is_none()
    }

    /// What differs, in one line; `None` where nothing does.
    pub fn summary(&self) -> Option<String> {
        let difference = self.difference.as_ref()?;
        Some(match &difference.details {
            Some(details) => details.summary(),
            None => "the rebuilt image has another digest".to_owned(),
        })
    }
}

/// Finds what is to be proved, rebuilds it and compares. Nothing is pushed or written.
///
/// # Errors
/// [`crate::error::ErrorKind::Difference`] where the project isn't the one that the lock is of; an
/// image or lock that isn't there; those of a build.
///
/// # Panics
/// On a runtime of tokio with one thread: files are read and written while others go on.
pub async fn verify(
    request: &VerifyRequest,
    reporter: &dyn Reporter,
) -> Result<Verification, VerifyError> {
    let VerifyRequest { what, image } = request;
    let mut settings = settings::resolve(image)?;
    settings.check_trust(reporter)?;
    let registry = Registry::new(registry_options(&settings));
    let what = prove_file(what.as_deref(), &registry, reporter).await?;
    let target = target::find(what.as_deref(), &settings, &registry, reporter).await?;
    let by_mlbuild = |builder: &Builder| builder.name == OWN_NAME;
    if target.entry.build.is_none() && target.entry.builder.as_ref().is_some_and(by_mlbuild) {
        return Err(VerifyError::NotPinned {
            key: target.entry.key(),
            image: Box::new(target.image),
        });
    }
    let is_alone = target.is_by_reference && alone::is_meant(&settings, &target);
    if let (None, Some(variant), false) = (&image.variant, &target.entry.variant, is_alone) {
        settings = settings::resolve(&BuildRequest {
            variant: Some(variant.clone()),
            ..image.clone()
        })?;
        settings.check_trust(reporter)?;
    }
    settings.build.target.clone_from(&target.entry.target);
    let asked = target.take_platforms(&mut settings.build.platforms);

    let began = Instant::now();
    let (rebuilt, taken) = match is_alone {
        true => alone::rebuild(image, &target, &asked, &registry, reporter).await?,
        false => {
            let entry = &target.entry;
            let rebuilt = rebuild::rebuild(&settings, &registry, entry, &asked, reporter);
            (rebuilt.await?, Vec::new())
        }
    };
    let rebuild_seconds = began.elapsed().as_secs_f64();
    let is_same =
        |(platform, found): (&String, &Digest)| target.manifests.get(platform) == Some(found);
    let difference = if rebuilt.manifests.iter().all(is_same) {
        None
    } else {
        let began = Instant::now();
        let details = compare(&target, &rebuilt, &registry).await;
        let seconds = began.elapsed().as_secs_f64();
        if let Err(error) = &details {
            reporter.warning(format!("what differs can't be told: {error}"));
        }
        Some(VerifiedDifference {
            details: details.ok(),
            seconds,
        })
    };
    Ok(Verification {
        image: target.image,
        expected: target.manifests,
        builder: rebuilt.builder.clone(),
        rebuilt: rebuilt.manifests,
        rebuild_seconds,
        difference,
        taken,
        has_pinned_packages: target.entry.build.is_some(),
    })
}

/// Makes a file for Apptainer once more, where it is one that is to be proved; what is left to be proved is the
/// image that it is of.
async fn prove_file(
    what: Option<&str>,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<Option<String>, VerifyError> {
    let Some(file) = what.map(Path::new).filter(|what| is_sif(what)) else {
        return Ok(what.map(str::to_owned));
    };
    let origin = origin::prove(file, registry).await?;
    reporter.note(format!(
        "identical: {} is what {} gives for {}, all {} bytes",
        file.display(),
        origin.pinned(),
        origin.platform,
        origin.size
    ));
    Ok(Some(origin.pinned()))
}

/// Looks into both images.
async fn compare(
    target: &Target,
    rebuilt: &Rebuilt,
    registry: &Registry,
) -> Result<ImageDifference, VerifyError> {
    let first = image_source::open(&target.image.to_string(), registry).await?;
    let second = rebuilt.open(registry)?;
    Ok(tokio::task::block_in_place(|| {
        ImageDifference::of(&first, &second, None)
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reporter::Silent;

    /// So a caller may spawn it.
    #[test]
    fn the_future_of_a_verification_may_go_to_another_thread() {
        fn may_move(_future: impl Send) {}
        may_move(verify(&VerifyRequest::default(), &Silent));
    }
}
