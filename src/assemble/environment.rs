//! The layers of an environment's packages.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use mlbuild_manifests::lock::{PinnedFile, Pins};
use mlbuild_wheels::{
    Budget, BytecodeKey, FileList, Layer, LayerKey, LayerStore, StoredLayer, Tags, Target,
    WheelName, check_overlaps, group,
};
use oci_spec::image::Digest;

use super::bytecode::Uncompiled;
use super::named_wheel::{NamedWheel, Source, open};
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
    /// Where its blob is; `None` for one of those that are elsewhere.
    pub blob: Option<PathBuf>,
    files: FileList,
    wheels: Vec<String>,
}

/// What isn't here of an environment's layers.
pub struct EnvironmentNeeds {
    target: Target,
    compiler: Option<String>,
    /// Layers without a blob, with their digests where they were made before, and their wheels.
    layers: Vec<(Option<Layer>, Vec<NamedWheel>)>,
}

impl EnvironmentNeeds {
    /// True where all layers are in the store.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// True where of a layer nothing is known but its wheels.
    pub fn has_unknown(&self) -> bool {
        self.layers.iter().any(|(layer, _)| layer.is_none())
    }

    /// Layers that are known and not here: made here before, or vouched for. A registry may have them.
    pub fn remembered(&self) -> Vec<Layer> {
        let layers = self.layers.iter();
        layers.filter_map(|(layer, _)| layer.clone()).collect()
    }

    /// Known layers, but those of `elsewhere`, that can't be made of what is here: bytecode that the store
    /// has, and files (hash, bytes) that `has` says are here.
    pub fn unmakeable(
        &self,
        elsewhere: &HashSet<Digest>,
        store: &LayerStore,
        has: impl Fn(&str, u64) -> bool,
    ) -> Vec<Layer> {
        let lacks = |wheel: &NamedWheel| {
            let is_file = matches!(wheel.source, Source::File(_));
            (is_file && !has(&wheel.sha256, wheel.size)) || !self.is_compiled(wheel, store)
        };
        let layers = self.layers.iter().filter_map(|(layer, wheels)| {
            let layer = layer.as_ref()?;
            let is_wanted = !elsewhere.contains(&layer.digest) && wheels.iter().any(lacks);
            is_wanted.then(|| layer.clone())
        });
        layers.collect()
    }

    /// Whether a wheel's bytecode is kept, or none is wanted.
    fn is_compiled(&self, wheel: &NamedWheel, store: &LayerStore) -> bool {
        let kept =
            |compiler| store.bytecode(&BytecodeKey::of(&wheel.sha256, &self.target, compiler));
        self.compiler.as_deref().is_none_or(|by| kept(by).is_some())
    }

    fn wheels(&self, elsewhere: &HashSet<Digest>) -> impl Iterator<Item = &NamedWheel> {
        let is_made = |layer: &Option<Layer>| {
            let known = layer.as_ref().map(|layer| &layer.digest);
            !known.is_some_and(|digest| elsewhere.contains(digest))
        };
        let made = self.layers.iter().filter(move |(layer, _)| is_made(layer));
        made.flat_map(|(_, wheels)| wheels)
    }

    /// Hash (hex) and size of each file that has to be read, where layers of these digests needn't be
    /// made.
    pub fn files(&self, elsewhere: &HashSet<Digest>) -> Vec<(String, u64)> {
        let wheels = self.wheels(elsewhere);
        let files = wheels.filter(|wheel| matches!(wheel.source, Source::File(_)));
        files
            .map(|wheel| (wheel.sha256.clone(), wheel.size))
            .collect()
    }

    /// The wheels whose bytecode isn't kept, of those that have to be read.
    pub fn uncompiled(&self, elsewhere: &HashSet<Digest>, store: &LayerStore) -> Uncompiled<'_> {
        let wheels = self.wheels(elsewhere);
        let wheels = wheels.filter(|wheel| !self.is_compiled(wheel, store));
        Uncompiled {
            wheels: wheels.collect(),
            target: self.target.clone(),
            compiler: self.compiler.clone().unwrap_or_default(),
        }
    }
}

/// What of an environment's layers isn't in the store; `others` counts the image's further layers.
///
/// # Errors
/// Wheels that don't fit the base, and too many layers.
pub fn environment_needs(
    request: &AssembleRequest<'_>,
    others: usize,
    store: &LayerStore,
) -> Result<EnvironmentNeeds, AssembleError> {
    let target = request.target()?;
    let mut layers = Vec::new();
    for group in grouped(request, &target, others)? {
        let found = find(&group, request, &target, store);
        if found.as_ref().is_none_or(|found| found.blob.is_none()) {
            layers.push((found.map(|found| found.layer), group));
        }
    }
    Ok(EnvironmentNeeds {
        target,
        compiler: request.compiler.map(str::to_owned),
        layers,
    })
}

/// The layers of the request's wheels and of those that the base's Python brings itself, from the
/// bottom. Several are made at once; the result doesn't depend on how many.
pub(super) fn layers(
    request: &AssembleRequest<'_>,
    target: &Target,
    others: usize,
    store: &LayerStore,
) -> Result<Vec<EnvironmentLayer>, AssembleError> {
    let groups = grouped(request, target, others)?;
    let made = make_all(&groups, request, target, store)?;
    let lists: Vec<(&[String], &FileList)> = made
        .iter()
        .map(|layer| (layer.wheels.as_slice(), &layer.files))
        .collect();
    check_overlaps(&lists)?;
    Ok(made)
}

/// Which wheels share a layer, from the bottom.
fn grouped(
    request: &AssembleRequest<'_>,
    target: &Target,
    others: usize,
) -> Result<Vec<Vec<NamedWheel>>, AssembleError> {
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
    let mut wheels: Vec<Option<NamedWheel>> = wheels.into_iter().map(Some).collect();
    let mut take = |at: usize| wheels[at].take().expect("a wheel is in one group");
    let groups = groups.into_iter();
    Ok(groups
        .map(|group| group.into_iter().map(&mut take).collect())
        .collect())
}

fn named_versions(group: &[NamedWheel]) -> Vec<String> {
    let about = |wheel: &NamedWheel| format!("{} {}", wheel.name.name, wheel.name.version);
    group.iter().map(about).collect()
}

/// What is known of the layer of a group: from having made it, else from who is believed. Which files are in
/// one of the latter isn't: they were looked at when it was made, beside the same others.
fn find(
    group: &[NamedWheel],
    request: &AssembleRequest<'_>,
    target: &Target,
    store: &LayerStore,
) -> Option<StoredLayer> {
    let made = store.find(&key(group, request, target));
    made.or_else(|| {
        let about = super::about_packages(&named_versions(group));
        let layer = request.vouched.get(&about)?;
        Some(StoredLayer {
            layer: layer.clone(),
            wheels: group.iter().map(|wheel| wheel.name.file.clone()).collect(),
            files: FileList::default(),
            blob: None,
        })
    })
}

fn key(group: &[NamedWheel], request: &AssembleRequest<'_>, target: &Target) -> LayerKey {
    let hashes = group.iter().map(|wheel| wheel.sha256.as_str());
    LayerKey::of(hashes, target, request.compression, request.compiler)
}

/// The request's wheels, and of the bundled ones those that it has no other version of.
fn named(request: &AssembleRequest<'_>) -> Result<Vec<NamedWheel>, AssembleError> {
    let mut wheels = Vec::new();
    for wheel in request.wheels {
        wheels.push(NamedWheel {
            name: WheelName::parse(&wheel.file)?,
            sha256: wheel.sha256.clone(),
            size: wheel.size,
            source: Source::File(wheel.path.clone()),
        });
    }
    for bundled in &request.facts.bundled {
        let name = WheelName::parse(&bundled.file)?;
        if wheels
            .iter()
            .all(|wheel: &NamedWheel| wheel.name.name != name.name)
        {
            wheels.push(NamedWheel {
                name,
                sha256: bundled.sha256.clone(),
                size: bundled.size,
                source: Source::OfBase(bundled.content.clone()),
            });
        }
    }
    Ok(wheels)
}

fn make_all(
    groups: &[Vec<NamedWheel>],
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
    group: &[NamedWheel],
    request: &AssembleRequest<'_>,
    target: &Target,
    store: &LayerStore,
) -> Result<EnvironmentLayer, AssembleError> {
    let is_had = |found: &StoredLayer| {
        found.blob.is_some() || request.elsewhere.contains(&found.layer.digest)
    };
    let stored = match find(group, request, target, store).filter(is_had) {
        Some(found) => found,
        None => {
            let wheels = group.iter().map(open).collect::<Result<Vec<_>, _>>()?;
            let bytecode = request.compiler.map(|compiler| {
                let kept = |wheel: &NamedWheel| {
                    let key = BytecodeKey::of(&wheel.sha256, target, compiler);
                    let file = &wheel.name.file;
                    let kept = store.bytecode(&key);
                    kept.ok_or_else(|| AssembleError::NoBytecode(file.clone()))
                };
                let all = group.iter().map(kept).collect::<Result<Vec<_>, _>>()?;
                Ok::<_, AssembleError>((compiler, all))
            });
            let bytecode = bytecode.transpose()?;
            let bytecode = bytecode.as_ref().map(|(by, all)| (*by, &all[..]));
            store.make_compiled(&wheels, bytecode, target, request.compression)?
        }
    };
    Ok(EnvironmentLayer {
        packages: named_versions(group),
        layer: stored.layer,
        blob: stored.blob,
        files: stored.files,
        wheels: stored.wheels,
    })
}
