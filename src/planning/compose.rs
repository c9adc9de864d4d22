//! The Dockerfile of the build: composed from a spec, or the user's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mlbuild_manifests::inside::{self, keep_inside};
use mlbuild_manifests::lock::Pins;
use mlbuild_templates::compose::{INPUTS_CONTEXT, Origins};
use mlbuild_templates::dockerfile::Dockerfile;
use mlbuild_templates::own::OwnTemplate;
use mlbuild_templates::project::Finding;
use mlbuild_templates::tables::Machine;
use mlbuild_templates::value::BaseImage;
use mlbuild_templates::{
    Accelerator, ComposeContext, ImageSpec, Installer, PackageRequest, SecretUse, Warning, compose,
};
use sha2::{Digest as _, Sha256};

use super::PlanningError;
use crate::accelerator;
use crate::host::HostSettings;
use crate::plan::{Context, HostSetting, SecretSource};
use crate::reporter::{Event, Reporter};
use crate::settings::{ImageSettings, Source};

/// A Dockerfile before pinning, and what comes with it.
#[derive(Debug, Clone, Default)]
pub struct Composed {
    /// What errors call it.
    pub name: String,
    /// Name of the file, which decides the ignore file that is its own.
    pub file_name: String,
    /// The text; empty where the builder fetches it with the context.
    pub text: String,
    /// The same, typed, where mlbuild composed it.
    pub typed: Option<Dockerfile>,
    /// Where it lies, if it is a file of this machine.
    pub path: Option<PathBuf>,
    /// The template, `python`, where there is one.
    pub template: Option<String>,
    /// SHA-256 of the spec, hex.
    pub spec_sha256: Option<String>,
    /// Secrets of the host's settings that it mounts.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Build arguments that fill a template's ARGs.
    pub args: BTreeMap<String, String>,
    /// Contexts that it mounts, besides those of the settings.
    pub contexts: BTreeMap<String, Context>,
    /// The packages that it asks for; `None` where that stands in a Dockerfile of the user's own.
    pub request: Option<PackageRequest>,
    /// What was decided about it; `None` where a Dockerfile or template of the user's own decides.
    pub decided: Option<Decided>,
}

/// The decisions about a composed image.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The base image.
    pub base: BaseImage,
    /// What it computes on.
    pub accelerator: Accelerator,
    /// Its Python, as far as it is known.
    pub python: Option<String>,
    /// What installs its Python packages.
    pub installer: Option<Installer>,
    /// The CUDA release that its packages or its base bring.
    pub cuda: Option<String>,
    /// Where all that comes from.
    pub origins: Origins,
}

/// Makes the Dockerfile.
///
/// # Errors
/// Where the spec contradicts itself, or the file can't be read.
pub fn dockerfile(
    settings: &ImageSettings,
    host: &HostSettings,
    reporter: &dyn Reporter,
) -> Result<Composed, PlanningError> {
    match &settings.source {
        Source::Dockerfile {
            path, remote: true, ..
        } => Ok(Composed {
            name: path.display().to_string(),
            file_name: path.display().to_string(),
            ..Composed::default()
        }),
        Source::Dockerfile {
            path,
            remote: false,
            findings,
        } => {
            refuse_unused(settings, findings)?;
            let composed = own(&settings.project, path)?;
            for found in findings {
                reporter.event(Event::ProjectFile(found.clone()));
            }
            Ok(composed)
        }
        Source::Composed {
            spec,
            template,
            accelerator_bases,
            findings,
        } => {
            refuse_unused(settings, findings)?;
            let around = Surroundings {
                settings,
                host,
                accelerator_bases,
                reporter,
            };
            let composed = match template {
                None => around.composed(spec),
                Some(path) => around.filled(path, spec),
            }?;
            for found in findings {
                reporter.event(Event::ProjectFile(found.clone()));
            }
            Ok(composed)
        }
    }
}

/// The locked form of a composed Dockerfile: packages come from `inputs`, a folder, and nothing of
/// this machine plays a part. `None` for Dockerfiles of the user's own.
///
/// # Errors
/// As [`dockerfile`].
pub fn locked(
    settings: &ImageSettings,
    inputs: &Path,
    pins: &Pins,
    reporter: &dyn Reporter,
) -> Result<Option<Composed>, PlanningError> {
    let host = HostSettings::default();
    let Some((spec, around)) = of_built_in(settings, &host, reporter) else {
        return Ok(None);
    };
    let context = ComposeContext {
        secrets: Default::default(),
        locked: true,
        locked_builds: !pins.build_requested.is_empty(),
        ..around.context(spec)
    };
    let mut composed = around.composed_in(spec, &context)?;
    let path = inputs.to_owned();
    composed
        .contexts
        .insert(INPUTS_CONTEXT.into(), Context::Folder { path });
    Ok(Some(composed))
}

/// `Dockerfile.cpu` and `Dockerfile.gpu`, written beside each other; over files that mlbuild didn't
/// write only with `force`.
///
/// # Errors
/// Where one can't be composed or written; then neither is changed.
pub fn write_variants(
    settings: &ImageSettings,
    host: &HostSettings,
    force: bool,
    reporter: &dyn Reporter,
) -> Result<Vec<String>, PlanningError> {
    let (spec, around) =
        of_built_in(settings, host, reporter).ok_or(PlanningError::NothingToWrite)?;
    let gpu = match spec.gpu {
        Some(named @ (Accelerator::Cuda | Accelerator::Rocm)) => named,
        Some(Accelerator::Off | Accelerator::Auto) | None => Accelerator::Cuda,
    };
    let mut files = Vec::new();
    for (suffix, accelerator) in [("cpu", Accelerator::Off), ("gpu", gpu)] {
        let mut spec = spec.clone();
        spec.gpu = Some(accelerator);
        let composed = around.composed(&spec)?;
        files.push((
            settings.project.join(format!("Dockerfile.{suffix}")),
            composed.text,
        ));
    }
    for (path, _) in &files {
        refuse_others(path, settings, force)?;
    }
    let mut names = Vec::new();
    for (path, text) in files {
        inside::replace(&settings.project, &path, text.as_bytes()).map_err(|source| {
            PlanningError::Write {
                path: path.clone(),
                source,
            }
        })?;
        names.push(path.display().to_string());
    }
    Ok(names)
}

/// How every Dockerfile of a template begins.
const OURS: &str = "# An ML image from mlbuild's ";

/// Refuses to write over what a person wrote, and out of the project.
fn refuse_others(path: &Path, settings: &ImageSettings, force: bool) -> Result<(), PlanningError> {
    keep_inside(&settings.project, path).map_err(|source| PlanningError::Write {
        path: path.to_owned(),
        source,
    })?;
    if force || std::fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    if std::fs::read_to_string(path).is_ok_and(|text| text.starts_with(OURS)) {
        return Ok(());
    }
    Err(PlanningError::NotOurs {
        path: path.to_owned(),
    })
}

/// The spec of an image that a built-in template makes, and what it is composed with; `None` for
/// Dockerfiles and templates of the user's own.
fn of_built_in<'a>(
    settings: &'a ImageSettings,
    host: &'a HostSettings,
    reporter: &'a dyn Reporter,
) -> Option<(&'a ImageSpec, Surroundings<'a>)> {
    let Source::Composed {
        spec,
        template: None,
        accelerator_bases,
        ..
    } = &settings.source
    else {
        return None;
    };
    let around = Surroundings {
        settings,
        host,
        accelerator_bases,
        reporter,
    };
    Some((spec, around))
}

fn own(project: &Path, path: &Path) -> Result<Composed, PlanningError> {
    // One that a person names may be a pipe.
    let bytes = if path.as_os_str() == "-" {
        mlbuild_files::read_all(std::io::stdin())
    } else if mlbuild_manifests::inside::is_below(project, path) {
        mlbuild_files::read(path)
    } else {
        std::fs::File::open(path).and_then(mlbuild_files::read_all)
    };
    let bytes = bytes.map_err(|source| PlanningError::Dockerfile {
        path: path.to_owned(),
        source,
    })?;
    let text = String::from_utf8(bytes).map_err(|_| PlanningError::DockerfileNotText {
        path: path.to_owned(),
    })?;
    let file_name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let file_name = if path.as_os_str() == "-" {
        "Dockerfile".to_owned()
    } else {
        file_name
    };
    Ok(Composed {
        name: path.display().to_string(),
        file_name,
        text,
        path: Some(path.to_owned()),
        ..Composed::default()
    })
}

/// What a spec is composed with, and the settings of the host that it may mount.
struct Surroundings<'a> {
    settings: &'a ImageSettings,
    host: &'a HostSettings,
    accelerator_bases: &'a BTreeMap<Accelerator, BaseImage>,
    reporter: &'a dyn Reporter,
}

impl Surroundings<'_> {
    fn context(&self, spec: &ImageSpec) -> ComposeContext<'_> {
        let has = |used: &SecretUse| match used {
            SecretUse::AptSources => self.settings.build.apt_sources.is_some(),
            other => self.host.files.contains_key(&setting(*other)),
        };
        ComposeContext {
            project: match &self.settings.context {
                Context::Folder { path } => Some(path.as_path()),
                _ => None,
            },
            host_accelerator: (spec.gpu == Some(Accelerator::Auto))
                .then(|| host_accelerator(self.reporter)),
            machine: machine(self.settings),
            accelerator_bases: self.accelerator_bases.clone(),
            secrets: SecretUse::ALL.into_iter().filter(has).collect(),
            index_has_log_in: self.host.index_has_log_in(),
            locked: false,
            locked_builds: false,
        }
    }

    /// Secrets by id. A template of one's own mounts those it knows; the others go unused.
    fn secrets(&self, uses: impl IntoIterator<Item = SecretUse>) -> BTreeMap<String, SecretSource> {
        let source =
            |used: SecretUse| Some((used.id().to_owned(), secret_source(self.settings, used)?));
        let uses = uses.into_iter();
        uses.filter_map(source).collect()
    }

    fn composed(&self, spec: &ImageSpec) -> Result<Composed, PlanningError> {
        self.composed_in(spec, &self.context(spec))
    }

    fn composed_in(
        &self,
        spec: &ImageSpec,
        context: &ComposeContext,
    ) -> Result<Composed, PlanningError> {
        let done = compose(spec, context)?;
        // The locked form follows the open one, which has said it already.
        if !context.locked {
            warn(&done.warnings, self.reporter);
            for note in &done.notes {
                self.reporter.note(note.clone());
            }
            if let Some(warning) = done.unused_part.filter(|_| self.settings.strict) {
                return Err(PlanningError::UnusedPart {
                    message: warning.message,
                    next: warning.hint.unwrap_or_default(),
                });
            }
        }
        Ok(Composed {
            name: format!("template {}", spec.template),
            file_name: "Dockerfile".into(),
            text: done.text,
            typed: Some(done.dockerfile),
            path: None,
            template: Some(spec.template.to_string()),
            spec_sha256: Some(hash_spec(spec)),
            secrets: self.secrets(done.secrets),
            args: BTreeMap::new(),
            contexts: BTreeMap::new(),
            request: Some(done.request),
            decided: Some(Decided {
                base: done.base,
                accelerator: done.accelerator,
                python: done.python,
                installer: done.installer,
                cuda: done.cuda,
                origins: done.origins,
            }),
        })
    }

    /// A template of the user's own: its ARGs are filled with what the spec says.
    fn filled(&self, path: &Path, spec: &ImageSpec) -> Result<Composed, PlanningError> {
        let mut composed = own(&self.settings.project, path)?;
        let broken = |source| PlanningError::Template {
            path: path.to_owned(),
            source,
        };
        let template = OwnTemplate::parse(&composed.text).map_err(broken)?;
        let context = self.context(spec);
        let filled = template.fill(spec, &context)?;
        warn(&filled.warnings, self.reporter);
        composed.template = Some(path.display().to_string());
        composed.spec_sha256 = Some(hash_spec(spec));
        composed.args = filled.args;
        let mounted = |used: &SecretUse| composed.text.contains(used.id());
        composed.secrets = self.secrets(context.secrets.iter().copied().filter(mounted));
        Ok(composed)
    }
}

/// Where the settings are strict, no file of the project may go unused.
fn refuse_unused(settings: &ImageSettings, findings: &[Finding]) -> Result<(), PlanningError> {
    let left = |found: &&Finding| settings.strict && !found.used && !found.is_aside;
    let Some(first) = findings.iter().find(left) else {
        return Ok(());
    };
    Err(PlanningError::Unused(Box::new(first.clone())))
}

fn warn(warnings: &[Warning], reporter: &dyn Reporter) {
    for warning in warnings {
        reporter.warning(&warning.message);
        if let Some(hint) = &warning.hint {
            reporter.note(format!("  hint: {hint}"));
        }
    }
}

fn hash_spec(spec: &ImageSpec) -> String {
    let text = serde_json::to_vec(spec).expect("a spec is plain data");
    hex::encode(Sha256::digest(text))
}

/// The machine type of the first platform, or of this machine.
fn machine(settings: &ImageSettings) -> Machine {
    let platform = settings
        .build
        .platforms
        .first()
        .map_or(std::env::consts::ARCH, String::as_str);
    match platform {
        "aarch64" => Machine::Aarch64,
        arm if arm.contains("arm64") => Machine::Aarch64,
        _ => Machine::X86_64,
    }
}

fn host_accelerator(reporter: &dyn Reporter) -> Accelerator {
    let found = accelerator::detect(&accelerator::Host::this(accelerator::Runtime::Docker(None)));
    if found.nvidia.is_some() {
        Accelerator::Cuda
    } else if found.rocm.is_some() {
        Accelerator::Rocm
    } else {
        reporter.event(Event::NoGpu);
        Accelerator::Off
    }
}

/// Where a setting of the host's network comes from; `None` where the project names no such file.
pub fn secret_source(settings: &ImageSettings, used: SecretUse) -> Option<SecretSource> {
    match used {
        SecretUse::AptSources => {
            let file = settings.build.apt_sources.as_ref()?;
            Some(SecretSource::File(settings.project.join(file)))
        }
        other => Some(SecretSource::Host(setting(other))),
    }
}

fn setting(used: SecretUse) -> HostSetting {
    match used {
        SecretUse::Ca => HostSetting::CaBundle,
        SecretUse::PipConf => HostSetting::PipConfig,
        SecretUse::UvConf => HostSetting::UvConfig,
        SecretUse::AptConf => HostSetting::AptConfig,
        SecretUse::AptSources => HostSetting::AptSources,
    }
}
