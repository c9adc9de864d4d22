//! Files of images that Apptainer starts on this machine: one for each digest and platform, made once.
//!
//! Whoever makes one holds a lock meanwhile, and it is there whole or not at all. Whoever starts it holds the
//! file itself, so that it isn't removed before it is mounted.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mlbuild_sif::{OciConfig, Sif};
use oci_spec::distribution::Reference;
use tokio_util::sync::CancellationToken;

use super::{PullError, PullRequest, pull};
use crate::env_vars;
use crate::records::this_host;
use crate::registry::{Registry, RegistryError};
use crate::reporter::Reporter;

/// In the folder for caches.
const FOLDER: &str = "sif";
/// How a file's name ends.
const FILE: &str = ".sif";
/// How the name of the lock ends that is held by whoever makes a file.
const LOCK: &str = ".lock";
/// How often it is looked whether another process is done.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A file that is there, and stays as long as this is held.
#[derive(Debug)]
pub struct KeptSif {
    /// Where it is.
    pub path: PathBuf,
    /// What the image starts, and its variables.
    pub config: OciConfig,
    _held: File,
}

/// An image by its digest.
#[derive(Debug, Clone)]
pub struct PinnedReference {
    /// `NAME@DIGEST`.
    pub pinned: String,
    digest: String,
    platform: String,
}

/// What an image's name means now: no registry is asked where it has a digest.
///
/// # Errors
/// Where the name is none, or its registry can't be asked.
pub async fn resolve(
    image: &str,
    platform: String,
    registry: &Registry,
) -> Result<PinnedReference, PullError> {
    let reference = RegistryError::reference(image)?;
    let digest = match reference.digest() {
        Some(digest) => digest.to_owned(),
        None => asked(&reference, registry).await?,
    };
    let name = format!("{}/{}", reference.registry(), reference.repository());
    Ok(PinnedReference {
        pinned: format!("{name}@{digest}"),
        digest,
        platform,
    })
}

async fn asked(reference: &Reference, registry: &Registry) -> Result<String, PullError> {
    let resolved = registry.resolve(reference, None).await?;
    Ok(resolved.descriptor.digest().to_string())
}

/// The image's file, where it is there.
pub fn find(image: &PinnedReference) -> Option<Arc<KeptSif>> {
    KeptSif::open(&path_of(image).ok()?).map(Arc::new)
}

/// Whether there is a file of an image, named by its digest, for this machine.
pub fn has(image: &str) -> bool {
    let digest = image.rsplit_once('@').map(|(_, digest)| digest.to_owned());
    let pinned = digest.map(|digest| PinnedReference {
        pinned: image.to_owned(),
        digest,
        platform: this_host().platform,
    });
    pinned.is_some_and(|image| find(&image).is_some())
}

/// The image's file, which is made where it isn't there.
///
/// # Errors
/// As [`pull`]; where the folder for caches can't be written to.
pub async fn get(
    image: &PinnedReference,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<Arc<KeptSif>, PullError> {
    if let Some(found) = find(image) {
        return Ok(found);
    }
    let path = path_of(image)?;
    let alone = alone(&path, reporter).await?;
    if let Some(found) = find(image) {
        return Ok(found);
    }
    reporter.note(format!("making a file for Apptainer of {}", image.pinned));
    let request = PullRequest {
        image: image.pinned.clone(),
        platform: Some(image.platform.clone()),
        output: Some(path.clone()),
    };
    pull(&request, registry, &CancellationToken::new()).await?;
    // Whoever waits for it finds the file, and whoever comes later, too.
    let _ = fs::remove_file(lock_of(&path));
    drop(alone);
    find(image).ok_or_else(|| PullError::Write {
        path,
        source: io::Error::other("it was written, and is gone or damaged now"),
    })
}

fn folder() -> Result<PathBuf, PullError> {
    let caches = env_vars::cache_dir().ok_or_else(|| PullError::Write {
        path: FOLDER.into(),
        source: io::Error::new(io::ErrorKind::NotFound, "there is no folder for caches"),
    })?;
    Ok(caches.join(FOLDER))
}

fn path_of(image: &PinnedReference) -> Result<PathBuf, PullError> {
    let plain = |text: &str| text.replace([':', '/'], "-");
    let name = format!("{}-{}{FILE}", plain(&image.digest), plain(&image.platform));
    Ok(folder()?.join(name))
}

/// Held by whoever makes a file.
fn lock_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(LOCK);
    name.into()
}

/// Waits until nobody else makes the file. A file system that has no locks lets several make it: they write
/// the same, and each puts it there in one step.
async fn alone(path: &Path, reporter: &dyn Reporter) -> Result<File, PullError> {
    let lock = lock_of(path);
    let failed = |source| PullError::Write {
        path: lock.clone(),
        source,
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let file = File::create(&lock).map_err(failed)?;
    let mut is_told = false;
    while let Err(TryLockError::WouldBlock) = file.try_lock() {
        if !is_told {
            reporter.note("another mlbuild makes the image's file: waiting for it");
            is_told = true;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(file)
}

impl KeptSif {
    /// Opens it, and writes down that it is used now. `None` where it isn't there or makes no sense.
    fn open(path: &Path) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        // Without locks there is nobody to hold it against.
        let _ = file.try_lock_shared();
        let _ = file.set_modified(SystemTime::now());
        let sif = Sif::read(&mut file).ok()?;
        sif.partition?;
        let config = sif.json.get("oci-config.json")?;
        let config = serde_json::from_slice::<Option<OciConfig>>(config).ok()?;
        // It was removed in between.
        path.exists().then(|| Self {
            path: path.to_owned(),
            config: config.unwrap_or_default(),
            _held: file,
        })
    }
}

/// What was removed, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PrunedSifs {
    /// How many.
    pub removed: usize,
    /// Bytes.
    pub removed_bytes: u64,
    /// How many stay.
    pub kept: usize,
    /// Bytes.
    pub kept_bytes: u64,
}

/// Removes files that were not used since a time, as many as it takes to keep at most a size, those first
/// that were not used for longest; with neither, all. One that is being started stays.
///
/// # Errors
/// The file that can't be removed, and why.
pub fn prune(
    unused_since: Option<SystemTime>,
    keep_size: Option<u64>,
    is_dry: bool,
) -> Result<PrunedSifs, (PathBuf, io::Error)> {
    let Ok(folder) = folder() else {
        return Ok(PrunedSifs::default());
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let meta = entry.metadata().ok().filter(|meta| meta.is_file());
        let is_ours = entry
            .file_name()
            .as_encoded_bytes()
            .ends_with(FILE.as_bytes());
        if let Some(meta) = meta.filter(|_| is_ours) {
            let used = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            files.push((used, meta.len(), path));
        }
    }
    files.sort();
    let mut left: u64 = files.iter().map(|(_, size, _)| size).sum();
    let mut pruned = PrunedSifs::default();
    for (used, size, path) in files {
        let may_go =
            unused_since.is_none_or(|time| used < time) && keep_size.is_none_or(|most| left > most);
        if !may_go || is_held(&path) {
            pruned.kept += 1;
            pruned.kept_bytes += size;
            continue;
        }
        if !is_dry {
            fs::remove_file(&path).map_err(|error| (path.clone(), error))?;
        }
        left -= size;
        pruned.removed += 1;
        pruned.removed_bytes += size;
    }
    Ok(pruned)
}

fn is_held(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}
