//! An image that mlbuild makes itself: layers of pinned wheels, the code and the user on the base,
//! where a builder would run the steps of the locked Dockerfile.
//!
//! | step | file |
//! | --- | --- |
//! | what it is put together from, or why something has to be run | [`crate::assembly`] |
//! | which layers have to be made, and what for that | `prepare` |
//! | layers of packages that the lock's image has | `vouched` |
//! | bytecode of packages, by the base's Python on a builder | `bytecode` |
//! | the layers of the project's files | `code` |
//! | which repositories have which layers | `places` |
//! | one image for several platforms | `platforms` |
//! | the Docker that takes it | `taker` |
//! | in place of a build | `job` |

mod bytecode;
mod code;
mod job;
mod places;
mod platforms;
mod prepare;
pub(crate) mod taker;
mod vouched;

use std::collections::BTreeMap;

use mlbuild_manifests::lock::{AptPackage, LockedBuild, LockedPackages, Pins, PythonPackage};
use mlbuild_wheels::WheelName;
use oci_spec::distribution::Reference;
use oci_spec::image::Digest;

pub use self::platforms::{look, make as make_all, prepare as prepare_all};
pub use self::prepare::{Destination, Prepared};
pub use self::vouched::SameInputs;
use super::BuildError;
use super::repack::Repacked;
use crate::assemble::{
    AssembleError, AssembleRequest, Assembled, BaseFacts, PinnedWheel, assemble,
};
use crate::assembly::{
    AssembledNote, Assembly, BASE_DIGEST, BASE_NAME, Looking, NOTE, PREFIX, base_name, oldest_libc,
};
use crate::host::HostSettings;
use crate::image::pack::{OwnLayer, PackedFolder, PackedImage};
use crate::planning::locked::LockedPlan;
use crate::registry::Registry;
use crate::reporter::Reporter;
use crate::settings::ImageSettings;

/// What a lock names as the builder of an image that mlbuild put together.
pub const OWN_NAME: &str = "mlbuild";

/// What an image is put together from.
#[derive(Clone, Copy)]
pub struct Assembling<'a> {
    /// Settings of the image.
    pub settings: &'a ImageSettings,
    /// The host's network.
    pub host: &'a HostSettings,
    /// Registries.
    pub registry: &'a Registry,
    /// The plan of its locked build.
    pub locked: &'a LockedPlan,
    /// What that is pinned to.
    pub build: &'a LockedBuild,
    /// Whether it must be the very image that the lock is of.
    pub is_fixed: bool,
    /// The lock's image, where it was made of the same but for the project's files.
    pub same: Option<&'a SameInputs>,
    /// What is taken from an image as it is; without it, the project's.
    pub taken: Option<&'a Taken>,
    /// Takes what there is to tell.
    pub reporter: &'a dyn Reporter,
}

/// What of an image isn't made: the layers of its code, and what its manifest says.
pub struct Taken {
    /// The layers, from the bottom.
    pub code: Vec<OwnLayer>,
    /// Where they are.
    pub place: Reference,
    /// Annotations of the manifest beside those that say what the base is, which are written anew.
    pub annotations: BTreeMap<String, String>,
}

/// An image that was put together, for all its platforms.
pub struct Made {
    /// The image.
    pub packed: Repacked,
    /// By platform the packages with a layer of their own, from the bottom.
    pub layers: BTreeMap<String, Vec<String>>,
    /// Digests of all layers of packages.
    pub digests: Vec<Digest>,
    /// Whether packages have bytecode.
    pub has_bytecode: bool,
    /// What it holds, on whatever platform.
    pub packages: LockedPackages,
}

/// An image for one platform.
struct MadeImage {
    image: PackedImage,
    /// The packages with a layer of their own, from the bottom.
    layers: Vec<String>,
    /// Digests of all layers of packages.
    digests: Vec<Digest>,
    packages: LockedPackages,
}

impl Assembling<'_> {
    /// Looks up the base; or says why a builder has to make the image.
    ///
    /// # Errors
    /// A base that can't be read.
    pub async fn look(&self) -> Result<Result<Assembly, String>, BuildError> {
        let looking = Looking {
            settings: self.settings,
            registry: self.registry,
            locked: self.locked,
            build: self.build,
            is_fixed: self.is_fixed,
        };
        Ok(looking.look().await?)
    }

    fn pins(&self) -> &Pins {
        &self.build.platforms[&self.locked.platform]
    }

    /// Puts the image together in a folder.
    ///
    /// # Errors
    /// A wheel or a file that can't be read, and a full disk.
    fn make(
        &self,
        assembly: &Assembly,
        prepared: &Prepared,
        into: &PackedFolder,
    ) -> Result<MadeImage, BuildError> {
        let plan = &self.locked.plan;
        let wheels = PinnedWheel::of_pins(self.pins(), self.locked.view.store())?;
        let (code, annotations) = match self.taken {
            Some(taken) => {
                let mut all = self.of_base(assembly, prepared)?;
                all.extend(taken.annotations.clone());
                (taken.code.clone(), all)
            }
            None => (
                code::write(assembly, plan, &prepared.store, into)?,
                self.annotations(assembly, prepared)?,
            ),
        };
        let request = AssembleRequest {
            written: &code,
            annotations: &annotations,
            ..self.request(assembly, prepared, &wheels)
        };
        let made = assemble(&request, &prepared.store, into)?;
        let packages = self.packages(&assembly.facts, &made);
        let alone = made
            .environment
            .iter()
            .filter_map(|layer| match layer.packages.as_slice() {
                [one] => one.split(' ').next().map(str::to_owned),
                _ => None,
            });
        let layers = alone.collect();
        let digests = made
            .environment
            .iter()
            .map(|layer| layer.layer.digest.clone());
        let digests: Vec<Digest> = digests.collect();
        let image = PackedImage {
            image: made.image,
            base_layers: assembly.base.pack.image.layers.len(),
            own: Vec::new(),
            unpacked: 0,
            clamped: 0,
        };
        Ok(MadeImage {
            image,
            layers,
            digests,
            packages,
        })
    }

    /// The manifest's annotations: what was asked for, and what the image says of its base.
    fn annotations(
        &self,
        assembly: &Assembly,
        prepared: &Prepared,
    ) -> Result<BTreeMap<String, String>, AssembleError> {
        let mut all = self.of_base(assembly, prepared)?;
        all.extend(self.locked.plan.annotations.clone());
        Ok(all)
    }

    /// Those of them that say what the base is, and what is set over it.
    fn of_base(
        &self,
        assembly: &Assembly,
        prepared: &Prepared,
    ) -> Result<BTreeMap<String, String>, AssembleError> {
        let mut all = BTreeMap::new();
        if let Some(base) = &self.locked.pinned_base
            && let (Some(name), Some((_, digest))) = (base_name(base), base.split_once('@'))
        {
            let base = format!("{name}@{digest}");
            if let Some(note) = self.assembled_note(assembly, prepared, base)? {
                all.insert(NOTE.to_owned(), note.to_json());
            }
            all.insert(BASE_NAME.to_owned(), name);
            all.insert(BASE_DIGEST.to_owned(), digest.to_owned());
        }
        Ok(all)
    }

    /// What the image says to who puts it on another base.
    fn assembled_note(
        &self,
        assembly: &Assembly,
        prepared: &Prepared,
        base: String,
    ) -> Result<Option<AssembledNote>, AssembleError> {
        let (facts, recipe) = (&assembly.facts, &assembly.recipe);
        let Some(settings) = recipe.changes.clone() else {
            return Ok(None);
        };
        let pinned = self.pins().python_packages.iter();
        let names = pinned.filter(|file| !file.build_only);
        let names = names.map(|file| WheelName::parse(&file.file));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let libc = oldest_libc(&names, facts.python, &facts.platform);
        let mut folders: Vec<String> = Vec::new();
        let copied = recipe.copies.iter().map(|copy| &copy.destination);
        for folder in copied.chain([&recipe.workdir]) {
            if !folder.is_empty() && !folders.contains(folder) {
                folders.push(folder.clone());
            }
        }
        Ok(Some(AssembledNote {
            base,
            python: facts.venv.version.clone(),
            bytecode: prepared.compiler.is_some(),
            libc: libc.map(|libc| libc.to_string()),
            bundled: facts.bundled_beside(&names),
            folders,
            settings,
        }))
    }

    fn request<'b>(
        &'b self,
        assembly: &'b Assembly,
        prepared: &'b Prepared,
        wheels: &'b [PinnedWheel],
    ) -> AssembleRequest<'b> {
        AssembleRequest {
            base: &assembly.base.pack,
            facts: &assembly.facts,
            prefix: PREFIX,
            wheels,
            before: &self.pins().layers,
            written: &[],
            files: assembly.user.as_slice(),
            settings: &assembly.recipe.settings,
            annotations: &self.locked.plan.annotations,
            epoch: assembly.repack.epoch,
            compression: assembly.compression,
            compiler: prepared.compiler.as_deref(),
            elsewhere: &prepared.elsewhere,
            vouched: &prepared.vouched,
        }
    }

    /// The base's Debian packages and the environment's distributions.
    fn packages(&self, facts: &BaseFacts, made: &Assembled) -> LockedPackages {
        let apt = facts.debian_packages().into_iter();
        let apt = apt.map(|(name, version, arch)| AptPackage {
            name,
            version,
            arch,
            sha256: None,
            size: None,
        });
        let python = made.environment.iter().flat_map(|layer| &layer.packages);
        let python = python.filter_map(|package| {
            let (name, version) = package.split_once(' ')?;
            Some(PythonPackage {
                name: name.to_owned(),
                version: version.to_owned(),
                file: None,
                sha256: None,
                size: None,
            })
        });
        let (mut apt, mut python): (Vec<_>, Vec<_>) = (apt.collect(), python.collect());
        apt.sort();
        python.sort();
        LockedPackages { apt, python }
    }
}
