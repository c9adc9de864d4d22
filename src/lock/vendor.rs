//! Pinned packages kept beside the image: one OCI artifact in its repository, whose blobs are the
//! packages themselves. So each is found there by the hash that the lock has.

use std::io::Read as _;
use std::sync::Arc;

use mlbuild_manifests::lock::{LockedBuild, Pins};
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest, MediaType};
use serde_json::json;

use super::LockingError;
use crate::image::LayoutWriter;
use crate::package_store::{Store, StoreError};
use crate::registry::Registry;

/// Artifact type of the packages.
const ARTIFACT: &str = "application/vnd.mlbuild.packages.v1";
/// Media type of one of them.
const PACKAGE: &str = "application/vnd.mlbuild.package.v1";

/// Files of pins: name, hash, size.
fn files(pins: &Pins) -> impl Iterator<Item = (String, &str, u64)> {
    let debs = pins.apt.iter();
    let debs = debs.map(|deb| (deb.file(), deb.sha256.as_str(), deb.size));
    let python = pins.python_files().chain(&pins.rattler);
    let python = python.map(|file| (file.file.clone(), file.sha256.as_str(), file.size));
    let conda = pins.conda.iter();
    let conda = conda.map(|file| (file.file.clone(), file.sha256.as_str(), file.size));
    debs.chain(python).chain(conda)
}

/// Pushes the packages, which are in the store; gives the digest of what names them. The same
/// packages give the same digest.
///
/// # Errors
/// Where the registry doesn't take them.
pub async fn keep(
    registry: &Registry,
    image: &Reference,
    build: &LockedBuild,
) -> Result<Digest, LockingError> {
    let store = Store::open()?;
    let layout = LayoutWriter::new()?;
    let mut all: Vec<_> = build.platforms.values().flat_map(files).collect();
    all.sort();
    all.dedup_by(|a, b| a.1 == b.1);
    let mut layers = Vec::new();
    for (name, sha256, size) in &all {
        layout.link(sha256, &store.path(sha256))?;
        layers.push(json!({
            "mediaType": PACKAGE,
            "digest": format!("sha256:{sha256}"),
            "size": size,
            "annotations": { "org.opencontainers.image.title": name },
        }));
    }
    let empty = layout.document(MediaType::EmptyJSON, b"{}")?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": ARTIFACT,
        "config": empty,
        "layers": layers,
    });
    let text = manifest.to_string();
    let top = layout.document(MediaType::ImageManifest, text.as_bytes())?;
    let finished = layout.finish(&top)?;
    // A tag of its own: what no tag names, registries throw away.
    let tag = format!("packages-{}", &top.digest().digest()[..16]);
    let (host, name) = (image.registry().to_owned(), image.repository().to_owned());
    let reference = Reference::with_tag(host, name, tag);
    let pushed = registry
        .push_layout(&finished, &reference, &[], Arc::new(|_| {}))
        .await?;
    Ok(pushed.descriptor.digest().clone())
}

/// Takes what the store lacks from beside the image, checked by hash. What isn't there is left.
///
/// # Errors
/// Where a blob isn't what its digest says, or the store can't be written.
pub async fn fetch(
    registry: &Registry,
    image: &Reference,
    pins: &Pins,
) -> Result<usize, LockingError> {
    let store = Store::open()?;
    let lacking: Vec<(String, String, u64)> = files(pins)
        .filter(|(_, sha256, size)| !store.has(sha256, *size))
        .map(|(name, sha256, size)| (name, sha256.to_owned(), size))
        .collect();
    let (registry, image) = (registry.clone(), image.clone());
    let runtime = tokio::runtime::Handle::current();
    let work = move || {
        let mut taken = 0;
        for (name, sha256, size) in lacking {
            let digest: Digest = format!("sha256:{sha256}")
                .parse()
                .expect("checked by the lock");
            let blob = Descriptor::new(MediaType::from(PACKAGE), size, digest);
            // Not there, or out of reach: the archives are asked next.
            let Ok(content) = registry.open_blob(&image, &blob, &runtime) else {
                continue;
            };
            // One byte more than it may have is enough to see that it is another.
            match store.take(&name, content.take(size + 1), Some(&sha256)) {
                Ok(_) => taken += 1,
                Err(error @ StoreError::Refused(_)) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(taken)
    };
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done??)
}
