//! Gives an image to another user, without a builder and without its big layers.
//!
//! | step | file |
//! | --- | --- |
//! | read the small documents and the last layer | `source` |
//! | write them anew | `derive`; what is written is decided in [`crate::image::reown`] |
//! | the new image's entry in the lock | `record` |

mod derive;
mod error;
mod record;
mod source;

use std::path::PathBuf;

use oci_spec::distribution::Reference;

use self::derive::Adopted;
pub use self::derive::AdoptedPlatform;
pub use self::error::AdoptError;
use crate::image::reown::NewOwner;
use crate::registry::{Published, Registry, platform_name};
use crate::reporter::Reporter;

/// Which image is given to whom.
#[derive(Debug, Clone)]
pub struct AdoptRequest {
    /// Image in a registry.
    pub from: Reference,
    /// Its new user.
    pub owner: NewOwner,
    /// Name of the new image, in the same registry: see [`default_name`].
    pub target: Reference,
    /// Lock file that gets an entry, where it is there.
    pub lock: Option<PathBuf>,
}

/// An image that was given to another user.
#[derive(Debug)]
pub struct AdoptOutcome {
    /// The image that it was made from: `NAME@DIGEST`.
    pub from: String,
    /// True if it belonged to that user already, on every platform.
    pub is_unchanged: bool,
    /// By platform.
    pub platforms: Vec<AdoptedPlatform>,
    /// What the registry confirmed.
    pub published: Published,
    /// The lock file that has its entry.
    pub lock: Option<PathBuf>,
}

/// The name of an image for another user where none is given: the old name, with the tag
/// `TAG-uidID`.
pub fn default_name(from: &Reference, owner: &NewOwner) -> Reference {
    let group = if owner.gid == owner.uid {
        String::new()
    } else {
        format!("-gid{}", owner.gid)
    };
    let tag = match from.tag() {
        Some(tag) => format!("{tag}-uid{}{group}", owner.uid),
        None => format!("uid{}{group}", owner.uid),
    };
    Reference::with_tag(from.registry().into(), from.repository().into(), tag)
}

/// Writes an image's last layer and configuration for another user, and pushes them. All other layers
/// are used as they are, and not downloaded.
///
/// # Errors
/// An image that can't be given away safely, or a registry that doesn't take it.
pub async fn adopt(
    request: &AdoptRequest,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<AdoptOutcome, AdoptError> {
    let AdoptRequest {
        from,
        owner,
        target,
        lock,
    } = request;
    let source = source::fetch(registry, from).await?;
    let adopted = derive::derive(&source, from, owner)?;
    if adopted.is_unchanged() && target.repository() != from.repository() {
        return Err(AdoptError::AlreadyOwned {
            from: Box::new(from.clone()),
            uid: owner.uid,
        });
    }
    let published = registry.push_derived(&adopted.image, from, target).await?;
    tell(from, &adopted, reporter);
    let lock = match lock.as_deref().filter(|lock| lock.exists()) {
        Some(lock) => {
            let entry = record::NewEntry {
                from,
                source: &source,
                adopted: &adopted,
                published: &published,
            };
            record::record(lock, registry, entry, reporter).await?
        }
        None => None,
    };
    Ok(AdoptOutcome {
        from: format!("{}@{}", source::name(from), source.top.descriptor.digest()),
        is_unchanged: adopted.is_unchanged(),
        platforms: adopted.platforms,
        published,
        lock,
    })
}

/// What was done, and what could not be.
fn tell(from: &Reference, adopted: &Adopted, reporter: &dyn Reporter) {
    for platform in &adopted.platforms {
        let name = platform_name(&platform.image.platform);
        let Some(new) = &platform.reowned else {
            reporter.note(format!("{name}: it belongs to that user already"));
            continue;
        };
        let (was, now) = (&new.was, &new.now);
        let kept: u64 = new.kept.iter().map(oci_spec::image::Descriptor::size).sum();
        reporter.note(format!(
            "{name}: {} ({}:{}) is now {} ({}:{}); {} entries of the last layer written anew, \
             {} layers ({} MB) used as they are",
            was.name,
            was.uid,
            was.gid,
            now.name,
            now.uid,
            now.gid,
            new.changed,
            new.kept.len(),
            kept / 1_000_000
        ));
        if !new.is_template {
            reporter.warning(format!(
                "{from} wasn't made by mlbuild's templates: what its other layers have of uid {} \
                 stays that user's; they were not read",
                was.uid
            ));
        }
        if !new.mentions.is_empty() {
            reporter.warning(format!(
                "these files name the old home folder: {}",
                new.mentions.join(", ")
            ));
        }
    }
    if adopted.dropped > 0 {
        reporter.note("its attestations tell of the old image, and were left out");
    }
}
