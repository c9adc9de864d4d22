//! An image that mlbuild makes itself: layers of pinned wheels, the code and the user on the base,
//! where a builder would run the steps of the locked Dockerfile.
//!
//! | step | file |
//! | --- | --- |
//! | what the Dockerfile comes to, or why it has to be run | `recipe` |
//! | which layers have to be made, and what for that | `prepare` |
//! | bytecode of packages, by the base's Python on a builder | `bytecode` |
//! | the layer of the project's files | `code` |
//! | which repositories have which layers | `places` |
//! | in place of a build | `job` |

mod bytecode;
mod code;
mod job;
mod places;
mod prepare;
mod recipe;

use mlbuild_manifests::lock::{AptPackage, LockedBuild, LockedPackages, Pins, PythonPackage};
use mlbuild_templates::compose::INPUTS_CONTEXT;
use mlbuild_wheels::{Compression as LayerCompression, Tags, Target, WheelName};
use oci_spec::image::Digest;

pub use self::prepare::{Destination, Prepared};
use self::recipe::Recipe;
use super::BuildError;
use super::repack::{self, Repacked};
use crate::assemble::{
    AssembleError, AssembleRequest, Assembled, BaseFacts, FilesLayer, PinnedWheel, assemble,
};
use crate::host::HostSettings;
use crate::image::pack::{PackedFolder, PackedImage};
use crate::known_base::{self, Base};
use crate::plan::{BuildPlan, Compression, Context, Repack};
use crate::planning::locked::LockedPlan;
use crate::registry::Registry;
use crate::reporter::Reporter;
use crate::settings::{ImageSettings, Source};

/// What a lock names as the builder of an image that mlbuild put together.
pub const OWN_NAME: &str = "mlbuild";
/// The environment of every composed image.
const PREFIX: &str = "/opt/venv";

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
    /// Takes what there is to tell.
    pub reporter: &'a dyn Reporter,
}

/// All that was looked up for an image that can be put together.
pub struct Assembly {
    base: Base,
    facts: BaseFacts,
    recipe: Recipe,
    repack: Repack,
    compression: LayerCompression,
    user: Option<FilesLayer>,
}

/// An image that was put together.
pub struct Made {
    /// The image.
    pub packed: Repacked,
    /// The packages with a layer of their own, from the bottom.
    pub layers: Vec<String>,
    /// Digests of all layers of packages.
    pub digests: Vec<Digest>,
    /// Whether packages have bytecode.
    pub has_bytecode: bool,
    /// What it holds.
    pub packages: LockedPackages,
}

impl Assembling<'_> {
    /// Looks up the base; or says why a builder has to make the image.
    ///
    /// # Errors
    /// A base that can't be read.
    pub async fn look(&self) -> Result<Result<Assembly, String>, BuildError> {
        let plan = &self.locked.plan;
        if let Err(reason) = self.check_pins().and_then(|()| check_plan(plan)) {
            return Ok(Err(reason));
        }
        let repack = match pinned_compression(plan) {
            Ok(repack) => repack,
            Err(reason) => return Ok(Err(reason)),
        };
        let pins = &plan.bases;
        let platform = &self.locked.platform;
        let mut found = known_base::look_up_kept(self.registry, pins, platform).await?;
        let (Some(base), true) = (found.pop(), found.is_empty()) else {
            return Ok(Err("it has no single base".to_owned()));
        };
        let facts = match self.facts(&base).await? {
            Ok(facts) => facts,
            Err(reason) => return Ok(Err(reason)),
        };
        let looked = tokio::task::block_in_place(|| {
            self.check_wheels(&facts)?;
            let recipe = self.recipe(&base.pack.config);
            let user = recipe.as_ref().ok().and_then(|recipe| {
                let account = recipe.account.as_ref()?;
                let about = format!("mlbuild: the user {}", account.name);
                Some(
                    account
                        .layer(&facts, repack.0.epoch)
                        .map(|all| (about, all)),
                )
            });
            Ok((recipe, user.transpose()?))
        });
        Ok(match looked {
            Ok((Ok(recipe), user)) => Ok(Assembly {
                base,
                facts,
                recipe,
                repack: repack.0,
                compression: repack.1,
                user,
            }),
            Ok((Err(reason), _)) => Err(reason),
            Err(error) => return or_unfit(Err(error)),
        })
    }

    /// What is known of a base; its layers are read once on a machine. Or says why it doesn't do.
    async fn facts(&self, base: &Base) -> Result<Result<BaseFacts, String>, BuildError> {
        or_unfit(base.facts(self.registry).await?)
    }

    fn pins(&self) -> &Pins {
        &self.build.platforms[&self.locked.platform]
    }

    fn check_pins(&self) -> Result<(), String> {
        let pins = self.pins();
        if let Some(first) = pins.apt.first() {
            let others = match pins.apt.len() {
                1 => String::new(),
                more => format!(" and {} more", more - 1),
            };
            return Err(format!(
                "the Debian package {}{others} has to be installed",
                first.name
            ));
        }
        if let Some(first) = pins.conda.first() {
            return Err(format!(
                "{} of conda's channels has to be laid out",
                first.name
            ));
        }
        match pins.python_packages.iter().find(|file| file.source) {
            Some(file) => Err(format!(
                "{} is a source archive, which has to be built",
                file.file
            )),
            None => Ok(()),
        }
    }

    /// Refuses wheels that the base's Python can't use, and a base with something where the
    /// environment goes.
    fn check_wheels(&self, facts: &BaseFacts) -> Result<(), AssembleError> {
        let tags = Tags::of(facts.python, &facts.platform);
        for file in &self.pins().python_packages {
            tags.check(&WheelName::parse(&file.file)?)?;
        }
        let target = Target::new(facts.python, PREFIX).map_err(AssembleError::Unfit)?;
        facts.check_target(&target)
    }

    fn recipe(&self, base: &serde_json::Value) -> Result<Recipe, String> {
        let typed = self.locked.composed.typed.as_ref();
        let typed = typed.ok_or("its Dockerfile or template is your own")?;
        if let Source::Composed { spec, .. } = &self.settings.source
            && spec.user.as_ref().is_some_and(|user| user.sudo)
        {
            return Err("sudo for its user is set up by a step that is run".to_owned());
        }
        recipe::read(typed, base, &self.locked.plan)
    }

    /// Puts the image together in a folder.
    ///
    /// # Errors
    /// A wheel or a file that can't be read, and a full disk.
    pub fn make(&self, assembly: &Assembly, prepared: &Prepared) -> Result<Made, BuildError> {
        let plan = &self.locked.plan;
        let folder = repack::work_folder()?;
        let into = PackedFolder::create(&folder.path().join("image"))?;
        let wheels = PinnedWheel::of_pins(self.pins(), self.locked.view.store())?;
        let code = code::write(assembly, plan, &into)?;
        let request = AssembleRequest {
            written: &[code],
            ..self.request(assembly, prepared, &wheels)
        };
        let made = assemble(&request, &prepared.store, &into)?;
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
        let beside = places::with_most(&digests, &self.settings.tags);
        let image = PackedImage {
            image: made.image,
            base_layers: assembly.base.pack.image.layers.len(),
            own: Vec::new(),
            unpacked: 0,
            clamped: 0,
        };
        let base = assembly.base.reference.clone();
        Ok(Made {
            packed: Repacked::assembled(
                image,
                base,
                places::lenders(&digests, &beside),
                into,
                folder,
            ),
            layers,
            digests,
            packages,
            has_bytecode: prepared.compiler.is_some(),
        })
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

/// Sorts out why an image can't be assembled: for reasons of the base or of a wheel a builder has to make it.
fn or_unfit<T>(looked: Result<T, AssembleError>) -> Result<Result<T, String>, BuildError> {
    match looked {
        Ok(found) => Ok(Ok(found)),
        Err(error @ (AssembleError::Unfit(_) | AssembleError::Wheel(_))) => {
            Ok(Err(error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

/// What only a builder does.
pub(super) fn check_plan(plan: &BuildPlan) -> Result<(), String> {
    let others = plan
        .named_contexts
        .keys()
        .any(|name| name != INPUTS_CONTEXT);
    let kinds = |out: &crate::plan::Output| match out.kind.as_str() {
        "image" | "oci" => true,
        kind => kind == "docker" && out.dest.is_none(),
    };
    let attested = plan.attestations.values().any(Option::is_some);
    let foreign = plan.outputs.iter().find(|out| !kinds(out));
    let found = match &plan.context {
        Context::Folder { .. } | Context::Empty => None,
        _ => Some("its context isn't a folder of this machine".to_owned()),
    };
    let found = found
        .or_else(|| others.then(|| "it has further build contexts".to_owned()))
        .or_else(|| attested.then(|| "it is to have a builder's attestations".to_owned()))
        .or_else(|| {
            plan.target
                .as_ref()
                .map(|name| format!("it ends at the stage {name}"))
        })
        .or_else(|| foreign.map(|out| format!("only a builder writes type={}", out.kind)))
        .or_else(|| {
            let policy = plan.source_policy.as_ref();
            policy.map(|_| "it is to follow a builder's source policy".to_owned())
        })
        .or_else(|| {
            let exports = !plan.cache_to.is_empty();
            exports.then(|| "a cache of build steps is to be exported".to_owned())
        });
    found.map_or(Ok(()), Err)
}

/// How layers are written: wheels have one form for each compression.
fn pinned_compression(plan: &BuildPlan) -> Result<(Repack, LayerCompression), String> {
    let repack = plan.repack.ok_or("mlbuild doesn't write its bytes")?;
    match repack.compression {
        Compression::Zstd(3) => Ok((repack, LayerCompression::Zstd)),
        Compression::Gzip(6) => Ok((repack, LayerCompression::Gzip)),
        other => Err(format!(
            "its layers are to be packed with {other}, and those of wheels are zstd:3 or gzip:6"
        )),
    }
}
