//! What is known of a base from one build to the next: its manifests and its configuration. They are named
//! by the digest that it is pinned to, and so no registry has to be asked for them again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mlbuild_templates::reference;
use oci_spec::distribution::Reference;
use sha2::{Digest as _, Sha256};

use super::{Base, KnownBaseError};
use crate::env_vars;
use crate::registry::{FetchedDocument, Registry};

/// Bytes of a base's documents that are kept: those of an index of ten platforms have three hundred thousand.
const MOST: usize = 8 << 20;

/// Looks up the bases of a plan for one platform, as [`super::look_up`] does.
///
/// # Errors
/// As [`super::look_up`].
pub async fn look_up(
    registry: &Registry,
    pins: &BTreeMap<String, Option<String>>,
    platform: &str,
) -> Result<Vec<Base>, KnownBaseError> {
    let mut read_documents = Vec::new();
    for (name, digest) in pins {
        if let Some((at, file)) = place(name, digest.as_deref())
            && let Some(documents) = read(&file)
        {
            read_documents.extend(documents.iter().filter(|d| d.is_whole()).cloned());
            registry.take_documents(&at, documents);
        }
    }
    let found = super::look_up(registry, pins, &[platform.to_owned()]).await?;
    for base in &found {
        let digest = base.reference.digest().unwrap_or_default();
        // What is missing from the file, or damaged in it, was fetched again.
        let image = &base.pack.image;
        let used = [
            digest,
            image.manifest.digest().as_ref(),
            image.config.digest().as_ref(),
        ];
        let is_kept = |digest: &&str| read_documents.iter().any(|d| d.digest() == *digest);
        if !used.iter().all(is_kept)
            && let Some(file) = file(&base.reference, digest)
        {
            write(&file, &registry.fetched_documents(&base.reference));
        }
    }
    Ok(found)
}

fn place(name: &str, digest: Option<&str>) -> Option<(Reference, PathBuf)> {
    let at = reference::parse(name).ok()?;
    let digest = digest.or(at.digest())?.to_owned();
    let file = file(&at, &digest)?;
    Some((at, file))
}

/// A file for each repository and digest: what one repository gave isn't another's.
fn file(at: &Reference, digest: &str) -> Option<PathBuf> {
    let name = format!("{}/{}@{digest}", at.registry(), at.repository());
    let name = hex::encode(Sha256::digest(name));
    let state = env_vars::state_dir()?;
    Some(state.join("bases").join(format!("{name}-documents.json")))
}

fn read(file: &Path) -> Option<Vec<FetchedDocument>> {
    let is_small = std::fs::metadata(file).ok()?.len() <= MOST as u64;
    serde_json::from_slice(&std::fs::read(file).ok().filter(|_| is_small)?).ok()
}

/// Without it the registry is asked again.
fn write(file: &Path, documents: &[FetchedDocument]) {
    let text = serde_json::to_vec(documents).expect("documents are plain data");
    if text.len() <= MOST {
        let _ = mlbuild_manifests::atomic::replace_soon(file, &text);
    }
}
