//! The lock's entry beside the new image: that of the image that it was made from, which says so.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mlbuild_manifests::document::{Document as _, LOCK_ARTIFACT_TYPE};
use mlbuild_manifests::lock::{
    AptPackage, Derived, LockedBase, LockedImage, LockedPackages, PublishedImage,
};

use super::RebaseOutcome;
use super::source::Source;
use crate::lock::file::platform;
use crate::lock::{Fit, lock_beside_image};
use crate::registry::{Attachment, Registry};
use crate::reporter::Reporter;

/// Attaches the entry, with the Debian packages of the other base, where the old image has one. Without it the image still says what its base is.
pub async fn attach(
    registry: &Registry,
    source: &Source,
    outcome: &RebaseOutcome,
    mut apt: Vec<AptPackage>,
    reporter: &dyn Reporter,
) {
    if outcome.is_unchanged() {
        return;
    }
    let beside = lock_beside_image(registry, &source.reference, &source.digests()).await;
    let Some(beside) = beside.ok().flatten().filter(|b| b.fit != Fit::Other) else {
        return;
    };
    apt.sort();
    apt.dedup();
    let packages = beside.entry.packages.clone();
    let packages = packages.map(|old| LockedPackages {
        apt,
        python: old.python,
    });
    for published in &outcome.published {
        let images = registry.images(&published.reference, None).await;
        let Ok(images) = images else { continue };
        let (to, descriptor) = (&published.reference, &published.descriptor);
        let entry = LockedImage {
            name: format!("{}/{}", to.registry(), to.repository()),
            tag: to.tag().map(str::to_owned),
            created: Timestamp::now(),
            derived: Some(derived(source)),
            bases: vec![base(outcome)],
            packages: packages.clone(),
            platforms: images.iter().map(platform).collect(),
            published: Some(PublishedImage {
                reference: to.to_string(),
                digest: descriptor.digest().clone(),
                media_type: descriptor.media_type().to_string(),
                size: descriptor.size(),
            }),
            ..beside.entry.clone()
        };
        let json = entry.to_json();
        let none = BTreeMap::new();
        let blobs = [(LOCK_ARTIFACT_TYPE, json.as_slice())];
        let document = Attachment {
            artifact_type: LOCK_ARTIFACT_TYPE,
            blobs: &blobs,
            annotations: &none,
        };
        if let Err(error) = registry.attach_all(to, descriptor, &[document]).await {
            reporter.warning(format!(
                "{to} has no lock beside it; the registry did not take it: {error}"
            ));
        }
    }
}

/// What it was made from, and whose it still is.
fn derived(source: &Source) -> Derived {
    let account = source.images.iter().find_map(|one| one.account.as_ref());
    let id = |id: u64| u32::try_from(id).unwrap_or(u32::MAX);
    Derived {
        from: source.reference.to_string(),
        uid: account.map_or(0, |account| id(account.uid)),
        gid: account.map_or(0, |account| id(account.gid)),
        name: account.map_or_else(|| "root".to_owned(), |account| account.name.clone()),
    }
}

fn base(outcome: &RebaseOutcome) -> LockedBase {
    let name = outcome.base.split('@').next().unwrap_or_default();
    let platforms = outcome.platforms.iter();
    LockedBase {
        reference: name.to_owned(),
        digest: outcome.base_digest.clone(),
        platforms: platforms
            .map(|one| (one.platform.clone(), one.base.clone()))
            .collect(),
    }
}
