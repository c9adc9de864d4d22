//! The layers of an environment's packages.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use mlbuild_manifests::lock::{PinnedFile, Pins};
use mlbuild_wheels::{
    Budget, FileList, Layer, LayerStore, StoredLayer, Tags, Target, Wheel, WheelName,
    check_overlaps, group,
};
use sha2::{Digest as _, Sha256};

use super::{AssembleError, AssembleRequest};
use crate::package_store::Store;

/// A wheel that is to be installed.
#[derive(Clone, Debug)]
pub struct PinnedWheel {
    /// The name of its file, as the index has it.
    pub file: String,
    /// Its hash, hex.
    pub sha256: String,
    /// Bytes of its file.
    pub size: u64,
    /// Where its file is.
    pub path: PathBuf,
}

impl PinnedWheel {
    /// The packages that a lock pins, in a store that has them.
    ///
    /// # Errors
    /// [`AssembleError::Source`]: what isn't a wheel has to be built.
    pub fn of_pins(pins: &Pins, store: &Store) -> Result<Vec<Self>, AssembleError> {
        let wheel = |file: &PinnedFile| {
            if file.source {
                return Err(AssembleError::Source(file.file.clone()));
            }
            Ok(Self {
                file: file.file.clone(),
                sha256: file.sha256.clone(),
                size: file.size,
                path: store.path(&file.sha256),
            })
        };
        let all = pins.python_packages.iter().filter(|file| !file.build_only);
        all.map(wheel).collect()
    }
}

/// A layer of packages.
#[derive(Clone, Debug)]
pub struct EnvironmentLayer {
    /// Its packages: `NAME VERSION`.
    pub packages: Vec<String>,
    /// Its digests and sizes.
    pub layer: Layer,
    /// Where its blob is.
    pub blob: PathBuf,
    files: FileList,
    wheels: Vec<String>,
}

/// A wheel with its name taken apart; of a bundled one the content, of others the file.
struct Named {
    name: WheelName,
    sha256: String,
    size: u64,
    source: Source,
}

enum Source {
    File(PathBuf),
    Bytes(Vec<u8>),
}

/// The layers of the request's wheels and of those that the base's Python brings itself, from the
/// bottom. Several are made at once; the result doesn't depend on how many.
pub(super) fn layers(
    request: &AssembleRequest<'_>,
    target: &Target,
    others: usize,
    store: &LayerStore,
) -> Result<Vec<EnvironmentLayer>, AssembleError> {
    let wheels = named(request)?;
    let tags = Tags::of(target.python, &request.facts.platform);
    wheels
        .iter()
        .try_for_each(|wheel| tags.check(&wheel.name))?;
    let sizes: Vec<(&str, u64)> = wheels
        .iter()
        .map(|wheel| (wheel.name.name.as_str(), wheel.size))
        .collect();
    let before: Vec<&str> = request.before.iter().map(String::as_str).collect();
    let budget = Budget {
        base: request.base.image.layers.len(),
        others,
    };
    let groups = group(&sizes, &before, budget).map_err(|found| {
        let most = super::MOST_LAYERS;
        AssembleError::TooManyLayers { found, most }
    })?;
    let groups: Vec<Vec<&Named>> = groups
        .into_iter()
        .map(|group| group.into_iter().map(|at| &wheels[at]).collect())
        .collect();
    let made = make_all(&groups, request, target, store)?;
    let lists: Vec<(&[String], &FileList)> = made
        .iter()
        .map(|layer| (layer.wheels.as_slice(), &layer.files))
        .collect();
    check_overlaps(&lists)?;
    Ok(made)
}

/// The request's wheels, and of the bundled ones those that it has no other version of.
fn named(request: &AssembleRequest<'_>) -> Result<Vec<Named>, AssembleError> {
    let mut wheels = Vec::new();
    for wheel in request.wheels {
        wheels.push(Named {
            name: WheelName::parse(&wheel.file)?,
            sha256: wheel.sha256.clone(),
            size: wheel.size,
            source: Source::File(wheel.path.clone()),
        });
    }
    for (file, bytes) in &request.facts.bundled {
        let name = WheelName::parse(file)?;
        if wheels
            .iter()
            .all(|wheel: &Named| wheel.name.name != name.name)
        {
            wheels.push(Named {
                name,
                sha256: hex::encode(Sha256::digest(bytes)),
                size: bytes.len() as u64,
                source: Source::Bytes(bytes.clone()),
            });
        }
    }
    Ok(wheels)
}

fn make_all(
    groups: &[Vec<&Named>],
    request: &AssembleRequest<'_>,
    target: &Target,
    store: &LayerStore,
) -> Result<Vec<EnvironmentLayer>, AssembleError> {
    let slots: Vec<Mutex<Option<_>>> = groups.iter().map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(group) = groups.get(at) else { return };
            let made = make(group, request, target, store);
            if made.is_err() {
                next.store(groups.len(), Ordering::Relaxed);
            }
            *slots[at].lock().expect("nobody panics") = Some(made);
        }
    };
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores.clamp(1, 4) {
            scope.spawn(work);
        }
    });
    let done = slots.into_iter();
    let done: Vec<_> = done
        .map(|slot| slot.into_inner().expect("nobody panics"))
        .collect();
    // Where one failed, others weren't begun.
    let all_begun = done.iter().all(Option::is_some);
    let made: Vec<_> = done.into_iter().flatten().collect::<Result<_, _>>()?;
    assert!(all_begun, "a layer wasn't made, and none failed");
    Ok(made)
}

fn make(
    group: &[&Named],
    request: &AssembleRequest<'_>,
    target: &Target,
    store: &LayerStore,
) -> Result<EnvironmentLayer, AssembleError> {
    let hashes = group.iter().map(|wheel| wheel.sha256.as_str());
    let key = mlbuild_wheels::LayerKey::of(hashes, target, request.compression);
    let is_whole = |found: &StoredLayer| found.blob.is_some();
    let stored = match store.find(&key).filter(is_whole) {
        Some(found) => found,
        None => {
            let wheels = group.iter().map(|wheel| open(wheel));
            let wheels = wheels.collect::<Result<Vec<_>, _>>()?;
            store.make(&wheels, target, request.compression)?
        }
    };
    let about = |wheel: &&Named| format!("{} {}", wheel.name.name, wheel.name.version);
    Ok(EnvironmentLayer {
        packages: group.iter().map(about).collect(),
        layer: stored.layer,
        blob: stored.blob.expect("a layer that was made has its blob"),
        files: stored.files,
        wheels: stored.wheels,
    })
}

fn open(wheel: &Named) -> Result<Wheel, AssembleError> {
    let file = &wheel.name.file;
    Ok(match &wheel.source {
        Source::File(path) => Wheel::open(file, path, &wheel.sha256)?,
        Source::Bytes(bytes) => {
            let folder = std::env::temp_dir();
            Wheel::from_stream(file, bytes.as_slice(), &folder, &wheel.sha256)?
        }
    })
}
