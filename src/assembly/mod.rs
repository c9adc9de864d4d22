//! What an image would be put together from where nothing has to be run for it, or why a builder has to
//! make it.
//!
//! | step | file |
//! | --- | --- |
//! | what is asked for that only a builder does, as far as that is known before packages are looked for | `asked` |
//! | what the Dockerfile comes to | `recipe` |
//! | what it sets, over whatever base | `changes` |
//! | what an image says of itself to who puts it on another base | `note` |

mod asked;
mod changes;
mod note;
mod recipe;

use mlbuild_manifests::lock::{LockedBuild, Pins};
use mlbuild_wheels::{Compression as LayerCompression, Tags, Target, WheelName};

pub use self::asked::{Chosen, check, choose};
use self::asked::{check_plan, check_settings, check_spec, only_packed_as, pinned_layers};
pub use self::changes::SettingsChanges;
pub use self::note::{
    AssembledNote, BASE_DIGEST, BASE_NAME, NOTE, base_name, oldest_libc, takes_libc,
};
pub use self::recipe::{CopyStep, Recipe};
use crate::assemble::{Account, AssembleError, BaseFacts, FilesLayer, USER_LAYER};
use crate::error::from_boxed;
use crate::known_base::{self, Base, KnownBaseError};
use crate::plan::{BuildPlan, Compression, Repack};
use crate::planning::locked::LockedPlan;
use crate::registry::Registry;
use crate::settings::ImageSettings;

/// The environment of every composed image.
pub const PREFIX: &str = "/opt/venv";

/// Why it can't be found out what an image is put together from.
#[derive(Debug, thiserror::Error)]
pub enum AssemblyError {
    /// The base can't be read.
    #[error(transparent)]
    Base(#[from] Box<KnownBaseError>),
    /// What was read can't be used on this machine.
    #[error(transparent)]
    Assemble(#[from] Box<AssembleError>),
}

from_boxed!(AssemblyError {
    Base(KnownBaseError),
    Assemble(AssembleError),
});

/// What is to be looked at.
#[derive(Clone, Copy)]
pub struct Looking<'a> {
    /// Settings of the image.
    pub settings: &'a ImageSettings,
    /// Registries.
    pub registry: &'a Registry,
    /// The plan of its locked build.
    pub locked: &'a LockedPlan,
    /// What that is pinned to.
    pub build: &'a LockedBuild,
    /// Whether it must be the very image that the lock is of: then settings of steps, which change nothing of
    /// it, are no reason for a builder.
    pub is_fixed: bool,
}

/// All that was looked up for an image that can be put together.
pub struct Assembly {
    /// The base.
    pub base: Base,
    /// What its layers hold.
    pub facts: BaseFacts,
    /// What the Dockerfile comes to.
    pub recipe: Recipe,
    /// How its own layers are written.
    pub repack: Repack,
    /// The same, for layers of wheels.
    pub compression: LayerCompression,
    /// The layer of its user.
    pub user: Option<FilesLayer>,
    /// Names the Python that makes bytecode, by its base's configuration.
    pub compiler: String,
}

impl Assembly {
    /// Takes the compiler of one of these with the same Python: the same version makes the same bytecode, so that a
    /// package without machine code has one layer for all platforms.
    pub fn share_compiler(&mut self, found: &[Assembly]) {
        let version = &self.facts.venv.version;
        let mut same = found.iter().filter(|f| f.facts.venv.version == *version);
        if let Some(first) = same.next() {
            self.compiler.clone_from(&first.compiler);
        }
    }
}

impl Looking<'_> {
    /// Looks up the base; or says why a builder has to make the image.
    ///
    /// # Errors
    /// A base that can't be read.
    pub async fn look(&self) -> Result<Result<Assembly, String>, AssemblyError> {
        let plan = &self.locked.plan;
        let asked = || match self.is_fixed {
            true => Ok(()),
            false => check_settings(self.settings, &self.locked.composed),
        };
        let checked = self.check_pins().and_then(|()| check_plan(plan));
        if let Err(reason) = checked.and_then(|()| asked()) {
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
            let account = recipe.as_ref().ok();
            let account = account.and_then(|recipe| recipe.account.as_ref());
            let user = user_layer(account, &facts, repack.0.epoch)?;
            Ok((recipe, user))
        });
        Ok(match looked {
            Ok((Ok(recipe), user)) => Ok(Assembly {
                compiler: base.pack.image.config.digest().to_string(),
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

    /// Refuses what an assembled image can't have been made of on this base: pins that something has to be run for,
    /// and wheels that its Python doesn't take.
    ///
    /// # Errors
    /// The first of them.
    pub fn check(&self, facts: &BaseFacts) -> Result<(), String> {
        self.check_pins()?;
        check_plan(&self.locked.plan)?;
        self.check_wheels(facts).map_err(|error| error.to_string())
    }

    /// What is known of a base; its layers are read once on a machine. Or says why it doesn't do.
    async fn facts(&self, base: &Base) -> Result<Result<BaseFacts, String>, AssemblyError> {
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
        check_spec(self.settings)?;
        recipe::read(typed, base, &self.locked.plan)
    }
}

/// The layer of a user, with what the history says of it; `None` without one.
///
/// # Errors
/// Account files of the base that make no sense.
pub fn user_layer(
    account: Option<&Account>,
    facts: &BaseFacts,
    epoch: i64,
) -> Result<Option<FilesLayer>, AssembleError> {
    let made = account.map(|account| {
        let about = format!("{USER_LAYER}{}", account.name);
        Ok((about, account.layer(facts, epoch)?))
    });
    made.transpose()
}

/// Sorts out why an image can't be assembled: for reasons of the base or of a wheel a builder has to make it.
fn or_unfit<T>(looked: Result<T, AssembleError>) -> Result<Result<T, String>, AssemblyError> {
    match looked {
        Ok(found) => Ok(Ok(found)),
        Err(error @ (AssembleError::Unfit(_) | AssembleError::Wheel(_))) => {
            Ok(Err(error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

/// How layers are written: wheels have one form for each compression.
fn pinned_compression(plan: &BuildPlan) -> Result<(Repack, LayerCompression), String> {
    let repack = plan.repack.ok_or("mlbuild doesn't write its bytes")?;
    Ok((repack, layers_of(repack.compression)?))
}

/// How layers of wheels are packed with a compression.
///
/// # Errors
/// Why they aren't packed so.
pub fn layers_of(compression: Compression) -> Result<LayerCompression, String> {
    pinned_layers(compression).ok_or_else(|| only_packed_as(compression))
}
