//! A request + environment + `mlbuild.toml` → settings, with everything parsed once.
//!
//! The request wins over the file. Lists add up where adding makes sense (packages,
//! ports, labels); a list of requirements files or tags in the request
//! replaces the file's.

mod build;
mod error;
mod outputs;
mod request;
mod spec;
mod variant;

use std::path::{Path, PathBuf};

use mlbuild_manifests::RunId;
use mlbuild_manifests::inside::{keep_inside, place_of};
use mlbuild_manifests::run_record::RecordsPlace;
use oci_spec::distribution::Reference;

pub use crate::config::Method;
pub use build::{BuildSettings, EndpointTls, epoch_seconds};
pub use error::SettingsError;
pub use request::BuildRequest;
pub use spec::Source;

use crate::config::{self, Config, VariantName};
use crate::env_vars;
use crate::plan::spec::Spec;
use crate::plan::{Context, Place, SpecError};
use crate::registry::RegistryError;
use crate::reporter::Reporter;
use crate::trust::{self, TrustError, UserConfig};

/// What `mlbuild image` does, resolved.
#[derive(Debug, Clone)]
pub struct ImageSettings {
    /// Folder of `mlbuild.toml`, the lock and the run records.
    pub project: PathBuf,
    /// Main build context.
    pub context: Context,
    /// What is built: a spec or a Dockerfile.
    pub source: Source,
    /// Names of the image; at least one.
    pub tags: Vec<Reference>,
    /// True if the user named the image.
    pub named: bool,
    /// The variant of the project's image; `None`: what `[image]` says.
    pub variant: Option<String>,
    /// The first names of the project's other images: of its other variants, under the same request.
    pub others: Vec<Reference>,
    /// How it is built.
    pub build: BuildSettings,
    /// What is pinned, and where that is written.
    pub lock: LockSettings,
    /// What of the project reaches out of its folder, in plain words.
    pub wishes: Vec<String>,
    /// Whether those were agreed to with the request.
    pub trust: bool,
    /// Whether a file of the project that isn't used is an error.
    pub strict: bool,
    /// What the file said of registries.
    pub insecure: Vec<String>,
    /// Where copies of base images are kept.
    pub mirror: Option<String>,
    /// Mirrors per registry host.
    pub mirrors: std::collections::BTreeMap<String, Vec<String>>,
}

impl ImageSettings {
    /// Has packages compiled in a stage of its own, as `[image] compile` does; returns those that weren't already. An
    /// image of the user's own Dockerfile has no such stage.
    pub(crate) fn compile(&mut self, packages: &[&str]) -> Vec<String> {
        let Source::Composed {
            spec,
            template: None,
            ..
        } = &mut self.source
        else {
            return Vec::new();
        };
        let known = &mut spec.python.compile;
        let new = packages
            .iter()
            .filter(|name| !known.iter().any(|k| k == *name));
        let new: Vec<String> = new.map(|name| (*name).to_owned()).collect();
        known.extend(new.iter().cloned());
        new
    }

    /// Which of the project's images it is.
    pub fn image_in_words(&self) -> String {
        match &self.variant {
            Some(name) => format!("variant {name}"),
            None => "the image without a variant".to_owned(),
        }
    }

    /// Lets pass what of the project reaches out of its folder, or asks.
    ///
    /// # Errors
    /// Where nobody agreed to it.
    pub fn check_trust(&self, reporter: &dyn Reporter) -> Result<(), TrustError> {
        trust::check(&self.project, &self.wishes, self.trust, reporter)
    }
}

/// What is pinned.
#[derive(Debug, Clone)]
pub struct LockSettings {
    /// Lock file; `None`: neither read nor written.
    pub file: Option<PathBuf>,
    /// Where the records of runs are written.
    pub records: RecordsPlace,
    /// How far the pins may move.
    pub mode: LockMode,
    /// Pins that are to be moved.
    pub upgrade: Vec<Upgrade>,
    /// Run that the image is bound to.
    pub run_id: RunId,
    /// True if the id was given, by flag or environment.
    pub run_id_given: bool,
    /// Build even if nothing changed.
    pub no_skip: bool,
}

/// Pins of a lock that are moved on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// Everything.
    All,
    /// Base images.
    Base,
    /// Debian packages.
    Apt,
    /// Python packages.
    Python,
}

/// How far the pins may move.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockMode {
    /// What is missing is resolved and written.
    #[default]
    Free,
    /// Nothing may change.
    Locked,
    /// Nothing may change, and nothing is looked up.
    Frozen,
}

/// Resolves what is asked for.
///
/// # Errors
/// Which field of the request, or which file and line is at fault.
pub fn resolve(request: &BuildRequest) -> Result<ImageSettings, SettingsError> {
    let context = Spec::new(Place::Request("project"), request.context())
        .context()
        .map_err(SettingsError::Project)?;
    let project = match &context {
        Context::Folder { path } => path.clone(),
        _ => current_folder()?,
    };
    let mut config = read_config(&project)?;
    let variant::Chosen {
        variant,
        tags,
        others,
    } = variant::choose(&mut config, request, &project)?;
    let source = spec::resolve(request, &config, &project, &context)?;
    let named = !request.tags.is_empty() || !config.image.tags.is_empty();
    let build = build::resolve(request, &config, &tags, named)?;
    let lock = lock(request, &project)?;
    if let Some(file) = &lock.file {
        let name = request.lock_file.as_deref().unwrap_or(USUAL_LOCK.as_ref());
        let named = project.join(name);
        let wish = match keep_inside(&project, &named) {
            Err(error) if *file == named => Some(format!("writes {}: {error}", file.display())),
            _ => trust::link_of_lock(&project, &named, file),
        };
        config.wishes.extend(wish);
    }
    let mut insecure = config.registry.insecure;
    insecure.extend(request.insecure_registries.iter().cloned());
    Ok(ImageSettings {
        project,
        context,
        source,
        tags,
        named,
        variant: variant.map(|name| name.to_string()),
        others,
        build,
        lock,
        wishes: config.wishes,
        trust: request.trust,
        strict: request.strict,
        insecure,
        mirror: config.registry.mirror,
        mirrors: config.registry.mirrors,
    })
}

/// The requests for each of a project's images: for one of them where it is named, or where no variants are declared;
/// else for each variant, and first for what `[image]` says where none is meant by default.
///
/// # Errors
/// Where `mlbuild.toml` can't be used.
pub fn each_variant(request: &BuildRequest) -> Result<Vec<BuildRequest>, SettingsError> {
    let context = Spec::new(Place::Request("project"), request.context()).context();
    let project = match context.map_err(SettingsError::Project)? {
        Context::Folder { path } => path,
        _ => current_folder()?,
    };
    if request.variant.is_some() {
        return Ok(vec![request.clone()]);
    }
    let config = read_config(&project)?;
    let one = |variant: Option<VariantName>| BuildRequest {
        variant: variant.map(|name| name.to_string()),
        ..request.clone()
    };
    Ok(variant::all(&config).into_iter().map(one).collect())
}

/// The folder's `mlbuild.toml` with a variant laid over its image, and the variant's tags: the named one, else the
/// default one.
///
/// # Errors
/// As [`read_config`], and where the variant isn't declared.
pub fn read_config_of(project: &Path, variant: Option<&str>) -> Result<Config, SettingsError> {
    let mut config = read_config(project)?;
    if variant::named(&config, variant)?.is_none() {
        return Ok(config);
    }
    let request = BuildRequest {
        variant: variant.map(str::to_owned),
        ..BuildRequest::default()
    };
    let chosen = variant::choose(&mut config, &request, project)?;
    config.image.tags = chosen.tags.iter().map(ToString::to_string).collect();
    Ok(config)
}

/// The folder's `mlbuild.toml`, or an empty one; with what the person's own configuration has.
///
/// # Errors
/// Where the file is there and can't be used.
pub fn read_config(project: &Path) -> Result<Config, SettingsError> {
    let mut config = match config::find(project) {
        Some(path) => {
            let config = config::read(&path)?;
            trust::refuse_own_affairs(&config, &path)?;
            config
        }
        None => Config::default(),
    };
    config.wishes = trust::wishes(&config, project);
    let user = UserConfig::load()?;
    config.build.builder = user.builder;
    config.registry.insecure = user.registry.insecure;
    config.registry.mirror = config.registry.mirror.or(user.registry.mirror);
    for (host, mirrors) in user.registry.mirrors {
        config.registry.mirrors.insert(host, mirrors);
    }
    Ok(config)
}

/// The folder that mlbuild was started in.
///
/// # Errors
/// Where it is gone.
pub fn current_folder() -> Result<PathBuf, SettingsError> {
    std::env::current_dir().map_err(SettingsError::CurrentFolder)
}

fn tags(
    request: &[String],
    (of_file, key): (&[String], &'static str),
    project: &Path,
) -> Result<Vec<Reference>, SettingsError> {
    let (given, place) = if request.is_empty() {
        (of_file, Place::File(key))
    } else {
        (request, Place::Request("tags"))
    };
    if given.is_empty() {
        let name = format!("{}:latest", folder_slug(project));
        let named = RegistryError::reference(&name)
            .map_err(Box::new)
            .map_err(SettingsError::FolderName)?;
        return Ok(vec![named]);
    }
    let read = |tag: &String| {
        let reference = RegistryError::reference(tag)
            .map_err(Box::new)
            .map_err(|source| SettingsError::Tag { place, source })?;
        if reference.digest().is_some() {
            let tag = tag.clone();
            return Err(SettingsError::TagWithDigest { place, tag });
        }
        Ok(reference)
    };
    given.iter().map(read).collect()
}

/// A folder's name as an image name may be: lower-case letters, digits, single separators.
fn folder_slug(project: &Path) -> String {
    let name = project
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let words: Vec<_> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    if words.is_empty() {
        "image".to_owned()
    } else {
        words.join("-")
    }
}

/// The id of a run: what was given, else the tracker's, else a new one.
///
/// # Errors
/// Where it isn't one.
pub fn run_id(given: Option<&str>) -> Result<RunId, SettingsError> {
    let wandb = std::env::var(env_vars::WANDB_RUN_ID).ok();
    Ok(RunId::choose(given, wandb.as_deref())?)
}

const USUAL_LOCK: &str = mlbuild_manifests::lock::FILE_NAME;

fn lock(request: &BuildRequest, project: &Path) -> Result<LockSettings, SettingsError> {
    let wandb = std::env::var(env_vars::WANDB_RUN_ID).ok();
    let run_id_given = request.run_id.is_some() || wandb.as_ref().is_some_and(|id| !id.is_empty());
    let name = request.lock_file.as_deref().unwrap_or(USUAL_LOCK.as_ref());
    Ok(LockSettings {
        file: (!request.no_lock).then(|| place_of(&project.join(name))),
        records: RecordsPlace::of(project),
        mode: request.lock_mode,
        upgrade: request.upgrade.clone(),
        run_id: run_id(request.run_id.as_deref())?,
        run_id_given,
        no_skip: request.no_skip,
    })
}

/// Parses a value; the error names where it was given.
fn parse<T>(place: Place, text: &str) -> Result<T, SpecError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| SpecError {
        place,
        value: text.to_owned(),
        reason: error.to_string(),
    })
}

/// Whether a private builder may be started without asking: as it was said, and in CI.
pub fn may_start_builder(said: Option<bool>) -> Option<bool> {
    said.or_else(|| {
        std::env::var_os(env_vars::CI)
            .filter(|value| value != "false" && !value.is_empty())
            .map(|_| true)
    })
}

/// Reads each of several values.
fn each<'a, T>(
    place: Place,
    values: impl IntoIterator<Item = &'a String>,
    parse: impl Fn(Spec<'_>) -> Result<T, SpecError>,
) -> Result<Vec<T>, SpecError> {
    let values = values.into_iter();
    values.map(|value| parse(Spec::new(place, value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_name_for_images_gets_one() {
        assert_eq!(folder_slug(Path::new("/x/My Cracks_2")), "my-cracks-2");
        assert_eq!(folder_slug(Path::new("/")), "image");
    }
}
