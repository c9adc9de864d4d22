//! The lock's entry that travels with an image in its registry.
//!
//! Whoever may push an image may attach documents to it, so an entry is taken for the image's own by
//! what it names, and not for being attached.

use mlbuild_manifests::document::{Document, DocumentError, LOCK_ARTIFACT_TYPE};
use mlbuild_manifests::lock::LockedImage;
use oci_spec::distribution::Reference;
use oci_spec::image::Digest;

use crate::error::ErrorKind;
use crate::registry::{Registry, RegistryError};

/// An entry that is attached to an image.
#[derive(Debug, Clone, PartialEq)]
pub struct LockBeside {
    /// The entry.
    pub entry: LockedImage,
    /// What it says of the image.
    pub fit: Fit,
}

/// What an attached entry says of the image that it is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// It names other images: what was pushed since is another one, or it was copied here.
    Other,
    /// It names no image, as after pinning and before the first push.
    Unnamed,
    /// It names this image.
    Named,
}

/// Why the entry beside an image can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LockBesideError {
    /// The registry can't be asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// What is attached as a lock's entry is none, and nothing else is there.
    #[error("the lock beside {image}: {source}")]
    Unreadable {
        /// The image.
        image: String,
        /// What is wrong with it.
        source: DocumentError,
    },
}

impl LockBesideError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            LockBesideError::Registry(error) => error.kind(),
            LockBesideError::Unreadable { .. } => ErrorKind::Work,
        }
    }
}

/// Finds the entry beside an image: of all that are attached, one that names the image before one
/// that names none, those before others, and the newest of them. `digests` are the image's own: first
/// what the reference resolves to, then its platforms' manifests.
///
/// # Errors
/// Where the registry can't be asked, or nothing but unreadable entries is attached.
pub async fn lock_beside_image(
    registry: &Registry,
    image: &Reference,
    digests: &[Digest],
) -> Result<Option<LockBeside>, LockBesideError> {
    let mut unreadable = None;
    for subject in digests {
        let (entries, broken) = attached(registry, image, subject).await?;
        unreadable = unreadable.or(broken);
        let found = entries.into_iter().map(|entry| LockBeside {
            fit: fit(&entry, digests),
            entry,
        });
        let best = found.max_by_key(|found| (found.fit, found.entry.created));
        if best.is_some() {
            return Ok(best);
        }
    }
    match unreadable {
        Some(source) => Err(LockBesideError::Unreadable {
            image: image.to_string(),
            source,
        }),
        None => Ok(None),
    }
}

/// What an entry says of the image with these digests.
pub fn fit(entry: &LockedImage, digests: &[Digest]) -> Fit {
    if digests_named(entry).any(|digest| digests.contains(digest)) {
        Fit::Named
    } else if entry.published.is_none() && entry.platforms.is_empty() && entry.derived.is_none() {
        Fit::Unnamed
    } else {
        Fit::Other
    }
}

/// The digests by which an entry names its image: of what was pushed, and of each platform's manifest
/// and configuration.
pub fn digests_named(entry: &LockedImage) -> impl Iterator<Item = &Digest> {
    let published = entry.published.iter().map(|published| &published.digest);
    let platforms = entry.platforms.values();
    published.chain(platforms.flat_map(|p| [&p.manifest, &p.config]))
}

/// All entries that are attached to a manifest and can be read, in the registry's order.
///
/// # Errors
/// Where the registry can't be asked.
pub async fn entries_beside(
    registry: &Registry,
    image: &Reference,
    subject: &Digest,
) -> Result<Vec<LockedImage>, RegistryError> {
    Ok(attached(registry, image, subject).await?.0)
}

/// The entries, and what is wrong with one that can't be read.
async fn attached(
    registry: &Registry,
    image: &Reference,
    subject: &Digest,
) -> Result<(Vec<LockedImage>, Option<DocumentError>), RegistryError> {
    let referrers = registry
        .referrers(image, subject, Some(LOCK_ARTIFACT_TYPE))
        .await?;
    let (mut entries, mut unreadable) = (Vec::new(), None);
    for referrer in referrers {
        let document = registry.pull_attached(image, &referrer.descriptor).await?;
        match LockedImage::from_json(&document) {
            Ok(entry) => entries.push(entry),
            Err(error) => unreadable = Some(error),
        }
    }
    Ok((entries, unreadable))
}

#[cfg(test)]
mod tests {
    use mlbuild_manifests::digest::sha256;
    use mlbuild_manifests::lock::{Inputs, PublishedImage};

    use super::*;

    fn entry(published: Option<&Digest>) -> LockedImage {
        LockedImage {
            name: "registry.example/a".into(),
            tag: None,
            target: None,
            variant: None,
            created: jiff::Timestamp::UNIX_EPOCH,
            derived: None,
            inputs: Inputs {
                mlbuild: "0".into(),
                template: None,
                spec: None,
                dockerfile: sha256(b""),
                context: None,
                settings: None,
                args: Default::default(),
            },
            bases: Vec::new(),
            builder: None,
            platforms: Default::default(),
            published: published.map(|digest| PublishedImage {
                reference: "registry.example/a:1".into(),
                digest: digest.clone(),
                media_type: String::new(),
                size: 1,
            }),
            packages: None,
            build: None,
        }
    }

    #[test]
    fn an_entry_is_the_images_own_by_what_it_names() {
        let (here, elsewhere) = (sha256(b"here"), sha256(b"elsewhere"));
        let digests = [here.clone()];
        assert_eq!(fit(&entry(Some(&here)), &digests), Fit::Named);
        assert_eq!(fit(&entry(Some(&elsewhere)), &digests), Fit::Other);
        assert_eq!(fit(&entry(None), &digests), Fit::Unnamed);
    }
}
