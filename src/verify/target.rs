//! What is to be proved: the lock's entry, and the image that was made from it.

use std::collections::BTreeMap;

use mlbuild_manifests::LockedImage;
use mlbuild_manifests::lock::ImageKey;
use oci_spec::distribution::Reference;
use oci_spec::image::Digest;

use super::error::VerifyError;
use crate::lock::{file, lock_beside_image};
use crate::planning::lock_key;
use crate::records::{Store, entry_of, exact_image};
use crate::registry::{Registry, RegistryError, platform_name};
use crate::reporter::Reporter;
use crate::settings::ImageSettings;

/// An image, and what it was made from.
pub struct Target {
    /// What it was made from.
    pub entry: LockedImage,
    /// The image, by digest.
    pub image: Reference,
    /// Whether it was named by a reference, and not by a run or a lock.
    pub is_by_reference: bool,
    /// Its manifests, by platform.
    pub manifests: BTreeMap<String, Digest>,
}

impl Target {
    /// The image's digests: of what its reference names, and of each platform's manifest.
    pub fn digests(&self) -> Vec<Digest> {
        let named = self.image.digest().and_then(|digest| digest.parse().ok());
        named
            .into_iter()
            .chain(self.manifests.values().cloned())
            .collect()
    }

    /// Where the lock has packages for several platforms, the image itself says which of those it was made
    /// for: they take the place of the settings' platforms. Gives those of the settings that it is for, which
    /// are to be proved; none: all.
    pub fn take_platforms(&self, settings: &mut Vec<String>) -> Vec<String> {
        let pins = self.entry.build.iter().flat_map(|build| &build.platforms);
        let pins: Vec<&String> = pins.map(|(platform, _)| platform).collect();
        let is_made = |platform: &&&String| self.manifests.contains_key(**platform);
        let made: Vec<String> = pins
            .iter()
            .filter(is_made)
            .map(|&name| name.clone())
            .collect();
        if pins.len() < 2 || settings.iter().any(|name| !made.contains(name)) {
            return Vec::new();
        }
        std::mem::replace(settings, made)
    }
}

/// Finds it.
///
/// # Errors
/// A lock without the image, a run or image that isn't there, an image without a lock.
pub async fn find(
    what: Option<&str>,
    settings: &ImageSettings,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<Target, VerifyError> {
    let Some(what) = what else {
        return of_lock(settings, registry, reporter).await;
    };
    let is_reference = what.contains(['/', '@', ':']);
    let (image, entry) = if is_reference {
        (RegistryError::reference(what)?, None)
    } else {
        let record = Store::of(&settings.project).find(what)?;
        let exact = exact_image(&record).ok_or_else(|| VerifyError::RunNotPushed {
            id: record.id.clone(),
        })?;
        let entry = entry_of(&record, &settings.project);
        (RegistryError::reference(&exact)?, entry)
    };
    let resolved = registry.resolve(&image, None).await?;
    let digest = resolved.descriptor.digest();
    let entry = match entry {
        Some(entry) => entry,
        None => {
            let beside = lock_beside_image(registry, &image, std::slice::from_ref(digest)).await?;
            let beside = beside.ok_or_else(|| VerifyError::NoLockBeside {
                image: Box::new(image.clone()),
            })?;
            beside.entry
        }
    };
    if let Some(derived) = &entry.derived {
        return Err(VerifyError::Derived {
            key: entry.key(),
            from: derived.from.clone(),
            base: other_base(&entry, &derived.from, registry).await,
        });
    }
    let image = image.clone_with_digest(digest.to_string());
    Ok(Target {
        is_by_reference: is_reference,
        ..in_registry(entry, image, registry).await?
    })
}

/// The base of an image that was derived from another one, with its digest, where that has another base. In doubt
/// none.
async fn other_base(entry: &LockedImage, from: &str, registry: &Registry) -> Option<String> {
    let from = RegistryError::reference(from).ok()?;
    let digest = from.digest()?.parse().ok()?;
    let beside = lock_beside_image(registry, &from, &[digest]).await;
    let before = beside.ok().flatten()?.entry;
    let base = entry.bases.first()?;
    let is_same = before.bases.iter().any(|old| old.digest == base.digest);
    (!is_same).then(|| format!("{}@{}", base.reference, base.digest))
}

/// An image that is in the registry, by digest.
async fn in_registry(
    entry: LockedImage,
    image: Reference,
    registry: &Registry,
) -> Result<Target, VerifyError> {
    let images = registry.images(&image, None).await?;
    let manifests = images
        .iter()
        .map(|i| (platform_name(&i.platform), i.manifest.digest().clone()));
    Ok(Target {
        entry,
        is_by_reference: false,
        manifests: manifests.collect(),
        image,
    })
}

/// What the lock describes, and the image that it says was pushed; where it says nothing, as after
/// `mlbuild lock` and a build with `--locked`, the one that the registry has by that name.
async fn of_lock(
    settings: &ImageSettings,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<Target, VerifyError> {
    let entry = locked(settings)?;
    let Some(published) = &entry.published else {
        let image = tagged(&entry, registry, reporter).await?;
        return in_registry(entry, image, registry).await;
    };
    let image = RegistryError::reference(&published.reference)?;
    let manifests = entry
        .platforms
        .iter()
        .map(|(name, p)| (name.clone(), p.manifest.clone()));
    Ok(Target {
        is_by_reference: false,
        manifests: manifests.collect(),
        image: image.clone_with_digest(published.digest.to_string()),
        entry,
    })
}

/// The image, by digest, that the registry has by an entry's name now.
async fn tagged(
    entry: &LockedImage,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<Reference, VerifyError> {
    let name = ImageKey {
        target: None,
        ..entry.key()
    };
    // A plain name is one of this machine: nobody but Docker pushes there.
    if entry.name.starts_with("docker.io/library/") {
        let is_local = true;
        return Err(VerifyError::NeverPushed { name, is_local });
    }
    let tag = RegistryError::reference(&name.to_string())?;
    match registry.resolve(&tag, None).await {
        Ok(resolved) => {
            let digest = resolved.descriptor.digest();
            reporter.note(format!(
                "the lock names no image; the registry has {name}@{digest}"
            ));
            Ok(tag.clone_with_digest(digest.to_string()))
        }
        Err(RegistryError::NotFound { .. }) => {
            let is_local = false;
            Err(VerifyError::NeverPushed { name, is_local })
        }
        Err(error) => Err(error.into()),
    }
}

/// The entry of the lock that is meant.
fn locked(settings: &ImageSettings) -> Result<LockedImage, VerifyError> {
    let path = settings.lock.file.as_deref();
    let path = path.ok_or(VerifyError::NoLock)?;
    let lock = file::load(path)?;
    let key = lock_key(settings);
    let mut all = lock.images();
    let entry = match (lock.get(&key), settings.named, all.next(), all.next()) {
        (Some(entry), ..) => entry,
        (None, false, Some(only), None) => only,
        (None, _, None, _) => {
            let path = path.to_owned();
            return Err(VerifyError::EmptyLock { path });
        }
        _ => {
            return Err(VerifyError::NoEntry {
                path: path.to_owned(),
                key,
                names: lock.images().map(|i| i.key().to_string()).collect(),
            });
        }
    };
    if let Some(derived) = &entry.derived {
        return Err(VerifyError::Derived {
            key: entry.key(),
            from: derived.from.clone(),
            // Putting it on another base leaves the lock as it is.
            base: None,
        });
    }
    Ok(entry.clone())
}
