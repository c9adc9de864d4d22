//! What has to be at hand before an image is put together: which layers are kept, which a registry has,
//! and for the rest the wheels and their bytecode.

use std::collections::{BTreeMap, HashSet};

use mlbuild_manifests::atomic;
use mlbuild_manifests::lock::PinnedFile;
use mlbuild_wheels::{Layer, LayerStore};
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest};
use tempfile::TempDir;

use super::{Assembling, SameInputs, places};
use crate::assemble::{AssembleError, EnvironmentNeeds, PinnedWheel, environment_needs};
use crate::assembly::Assembly;
use crate::build::{BuildError, repack};
use crate::builder::{self, BuilderError, Connection};
use crate::env_vars;
use crate::lock::LockingError;
use crate::lock::provide::{self, Fetch};

/// Bytes of layers and bytecode that are kept on this machine.
const MOST_KEPT: u64 = 20 << 30;

/// Where an image goes.
#[derive(Clone, Copy, Debug)]
pub enum Destination<'a> {
    /// To these tags, and nowhere else.
    Registries(&'a [Reference]),
    /// Onto this machine: all of its layers are needed.
    Here,
}

/// What an image is put together with.
pub struct Prepared {
    pub(super) store: LayerStore,
    /// Whose bytecode the packages have; `None` where they have none.
    pub(super) compiler: Option<String>,
    /// Layers that are known from the lock's image.
    pub(super) vouched: BTreeMap<String, Layer>,
    /// Layers that aren't made: every tag's registry has them, or they are fetched.
    pub(super) elsewhere: HashSet<Digest>,
    /// Layers that are fetched where they are needed here, each with an image that has it.
    pub(super) lent: Vec<(Digest, Reference)>,
    /// The store's folder, where there is none that stays.
    _folder: Option<TempDir>,
}

impl Assembling<'_> {
    /// Finds out which layers have to be made, and gets what they are made of; bytecode only where it is wanted.
    ///
    /// # Errors
    /// Where nobody has a wheel, or nobody makes bytecode that the lock wants.
    pub(super) async fn prepare(
        &self,
        assembly: &Assembly,
        destination: Destination<'_>,
        wants_bytecode: bool,
    ) -> Result<Prepared, BuildError> {
        // What a stranger's base compiles is for one proof, and nothing that other images of this machine take.
        let kept = env_vars::state_dir().filter(|_| self.taken.is_none());
        let (root, folder) = match kept {
            Some(state) => (state.join("layers"), None),
            None => {
                let folder = repack::work_folder()?;
                (folder.path().join("layers"), Some(folder))
            }
        };
        let mut prepared = Prepared {
            store: LayerStore::open(&root, MOST_KEPT)
                .map_err(AssembleError::from)?
                .writing_in(atomic::workshop),
            compiler: None,
            vouched: BTreeMap::new(),
            elsewhere: HashSet::new(),
            lent: Vec::new(),
            _folder: folder,
        };
        if wants_bytecode {
            prepared.compiler = Some(assembly.compiler.clone());
            if let Err(reason) = self.gather(assembly, destination, &mut prepared).await? {
                if self.is_fixed {
                    return Err(BuildError::NoBytecode { reason });
                }
                self.reporter.note(format!(
                    "the packages come without bytecode ({reason}): each start compiles what it \
                     imports, about 2 s for scikit-learn and pandas, unless its user may write to \
                     /opt/venv"
                ));
                prepared.compiler = None;
            }
        }
        if prepared.compiler.is_none() {
            let gathered = self.gather(assembly, destination, &mut prepared).await?;
            gathered.expect("only bytecode can't be had");
        }
        Ok(prepared)
    }

    /// Gets what the layers without a blob are made of; or says why there is no bytecode.
    async fn gather(
        &self,
        assembly: &Assembly,
        destination: Destination<'_>,
        prepared: &mut Prepared,
    ) -> Result<Result<(), String>, BuildError> {
        let wheels = PinnedWheel::of_pins(self.pins(), self.locked.view.store())?;
        // The environment itself and the code.
        let others = 2 + usize::from(assembly.user.is_some());
        prepared.elsewhere.clear();
        prepared.lent.clear();
        prepared.vouched.clear();
        let request = self.request(assembly, prepared, &wheels);
        let mut needs = environment_needs(&request, others, &prepared.store)?;
        let has_bytecode = prepared.compiler.is_some();
        let fits = |same: &&SameInputs| same.has_bytecode == has_bytecode;
        let same = self.same.filter(fits);
        if let Some(same) = same.filter(|_| needs.has_unknown()) {
            prepared.vouched = self.vouched(same, assembly).await;
            let request = self.request(assembly, prepared, &wheels);
            needs = environment_needs(&request, others, &prepared.store)?;
        }
        if needs.is_empty() {
            return Ok(Ok(()));
        }
        // A refusal is better known before long work than after it.
        let check = self.check_push(destination);
        let elsewhere = async { Ok(self.elsewhere(&needs, destination).await) };
        let (elsewhere, ()) = tokio::try_join!(elsewhere, check)?;
        prepared.elsewhere = elsewhere;
        if let Some(same) = same {
            prepared.lent = self.lent(same, &needs, prepared).await;
        }
        let lent = prepared.lent.iter().map(|(digest, _)| digest.clone());
        prepared.elsewhere.extend(lent);
        self.provide(&needs.files(&prepared.elsewhere)).await?;
        let uncompiled = needs.uncompiled(&prepared.elsewhere, &prepared.store);
        if uncompiled.is_empty() {
            return Ok(Ok(()));
        }
        let is_to_start = self.settings.build.start_builder == Some(true);
        let connected = if self.is_fixed || is_to_start {
            builder::connect_or_start(&self.settings.build, self.reporter).await
        } else {
            builder::connect_quietly(&self.settings.build).await
        };
        match connected {
            Ok(Connection { builder, .. }) => {
                self.compile(&builder, assembly, &uncompiled, &prepared.store)
                    .await
            }
            Err(error) if matches!(error, BuilderError::Cancelled) => Err(error.into()),
            Err(error) => {
                let first = error.to_string();
                // What was tried follows on lines of its own.
                let first = first.lines().next().unwrap_or_default();
                let first = first.trim_end_matches(':').trim_end_matches("; tried");
                Ok(Err(format!("no builder to compile them on: {first}")))
            }
        }
    }

    async fn check_push(&self, destination: Destination<'_>) -> Result<(), BuildError> {
        if let Destination::Registries(tags) = destination {
            for tag in tags {
                self.registry.check_push(tag).await?;
            }
        }
        Ok(())
    }

    /// Layers that were made here before and needn't be made again: every registry that the image goes
    /// to has them, in its repository or in another one that lends them. In doubt there are none.
    async fn elsewhere(
        &self,
        needs: &EnvironmentNeeds,
        destination: Destination<'_>,
    ) -> HashSet<Digest> {
        let remembered = needs.remembered();
        let Destination::Registries(tags) = destination else {
            return HashSet::new();
        };
        let mut blobs: Vec<Descriptor> = remembered.iter().map(blob).collect();
        for tag in tags {
            if blobs.is_empty() {
                break;
            }
            let digests: Vec<Digest> = blobs.iter().map(|blob| blob.digest().clone()).collect();
            let mut lenders = places::with_most(&digests, std::slice::from_ref(tag));
            let same = self.same.map(|same| &same.image);
            lenders.extend(same.filter(|image| is_near(image, tag)).cloned());
            let mut missing = blobs.clone();
            for place in std::iter::once(tag).chain(&lenders) {
                // A neighbour that can't be read lends nothing.
                if let Ok(less) = self.registry.missing_blobs(place, &missing).await {
                    missing = less;
                }
            }
            blobs.retain(|blob| !missing.contains(blob));
        }
        blobs.iter().map(|blob| blob.digest().clone()).collect()
    }

    /// Layers that an image made of the same has, and this machine can't make of what it has: they are fetched,
    /// which takes neither an index nor a builder. In doubt there are none.
    async fn lent(
        &self,
        same: &SameInputs,
        needs: &EnvironmentNeeds,
        prepared: &Prepared,
    ) -> Vec<(Digest, Reference)> {
        let packages = self.locked.view.store();
        let has = |sha256: &str, size| packages.has(sha256, size);
        let layers = needs.unmakeable(&prepared.elsewhere, &prepared.store, has);
        let blobs: Vec<Descriptor> = layers.iter().map(blob).collect();
        if blobs.is_empty() {
            return Vec::new();
        }
        let missing = self.registry.missing_blobs(&same.image, &blobs).await;
        let missing = missing.unwrap_or_else(|_| blobs.clone());
        let there = blobs.iter().filter(|blob| !missing.contains(blob));
        there
            .map(|blob| (blob.digest().clone(), same.image.clone()))
            .collect()
    }

    /// Fetches those of these wheels that this machine lacks: from beside the image, else by a builder.
    async fn provide(&self, files: &[(String, u64)]) -> Result<(), BuildError> {
        let Self {
            settings,
            host,
            registry,
            locked,
            build,
            reporter,
            ..
        } = *self;
        let store = locked.view.store();
        let lacks = || files.iter().any(|(sha256, size)| !store.has(sha256, *size));
        if lacks() {
            provide::from_project(settings, locked, build)?;
        }
        if lacks() {
            provide::from_beside(settings, registry, locked, build, reporter).await?;
        }
        if lacks() {
            let failed = provide::from_indexes(host, locked, self.pins(), files, reporter).await?;
            if let Some(why) = &failed {
                reporter.note(match self.taken {
                    Some(_) => format!("not all packages could be asked for: {why}"),
                    None => format!("a builder fetches the rest of the packages: {why}"),
                });
            }
        }
        // A builder would look for them in the base, with this machine's log-ins: not in one that a stranger names.
        if lacks() && self.taken.is_some() {
            let is_lacking = |file: &&PinnedFile| {
                let is_wanted = files.iter().any(|(sha256, _)| *sha256 == file.sha256);
                is_wanted && !store.has(&file.sha256, file.size)
            };
            let packages = self.pins().python_packages.iter().filter(is_lacking);
            let named = packages.map(|file| file.file.escape_debug().to_string());
            let files = named.collect();
            return Err(LockingError::Gone { files }.into());
        }
        if lacks() {
            let Connection { builder, .. } =
                builder::connect_or_start(&settings.build, reporter).await?;
            let builder = &builder;
            let fetch = Fetch {
                settings,
                host,
                registry,
                builder,
                reporter,
            };
            fetch.provide(locked, build).await?;
        }
        Ok(())
    }
}

/// Whether an image is in another repository of a tag's registry.
fn is_near(image: &Reference, tag: &Reference) -> bool {
    image.registry() == tag.registry() && image.repository() != tag.repository()
}

fn blob(layer: &Layer) -> Descriptor {
    layer.descriptor()
}
