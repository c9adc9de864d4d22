//! From an [`ImageSpec`] to a Dockerfile.
//!
//! One order for every image, so that what changes often comes late: base, packages of the
//! distribution, Python packages, environment, code, and last one small layer with all that belongs to
//! the user. What is asked for is read in `inputs`, and what follows from it
//! decided in `decide`, before a line is written; the other files beside this one each write one
//! part.

mod apt;
mod apt_names;
mod arm;
mod breaks;
mod brought;
mod builder_stage;
mod bytecode;
mod compiled;
mod conda;
mod decide;
mod default_groups;
mod devices;
mod fitting;
mod frameworks;
mod gpus;
mod inputs;
mod libraries;
mod local;
mod locked;
mod misfits;
mod misnamed;
mod nvcc;
mod origins;
mod pins;
mod programs;
mod python;
mod request;
mod running;
mod serving;
mod stand;
mod steps;
mod unlisted;
mod user;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub use bytecode::{COMPILE, MODULES_CONTEXT, bytecode_dockerfile};
use decide::Decision;
pub(crate) use decide::accelerator as resolve_accelerator;
pub use fitting::{Fitting, fitting};
pub use origins::Origins;
pub use request::{
    INPUTS_CONTEXT, PackageRequest, REQUEST_CONTEXT, RESOLVE_STAGE, resolve_dockerfile,
};

use crate::dockerfile::{
    Copy, Dockerfile, Instruction, Mount, Network, Purpose, RenderError, Run, Script, Word,
};
use crate::project::{ImagePython, ProjectError};
use crate::spec::{Accelerator, ImageSpec, Installer, RunWhen};
use crate::tables::Machine;
use crate::value::{BaseImage, ContainerPath, EnvName, Port};

/// What the caller knows about the world around the spec.
#[derive(Debug, Clone, Default)]
pub struct ComposeContext<'a> {
    /// The build context's folder, where there is one: requirements files are read there.
    pub project: Option<&'a Path>,
    /// The accelerator that this host has, for [`Accelerator::Auto`].
    pub host_accelerator: Option<Accelerator>,
    /// The machine type that the image is for; of several, the first.
    pub machine: Machine,
    /// Bases that settings name per accelerator, before the built-in table.
    pub accelerator_bases: BTreeMap<Accelerator, BaseImage>,
    /// Which settings of the host's network the build is given as secrets.
    pub secrets: BTreeSet<SecretUse>,
    /// Whether the settings of pip or uv among them hold a log-in.
    pub index_has_log_in: bool,
    /// Whether packages come from recorded files alone, without a network.
    pub locked: bool,
    /// Whether a compiler is among the recorded files, for source archives and projects with code to compile.
    pub locked_builds: bool,
}

/// A setting of the host's network, given to RUN steps as a secret file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretUse {
    /// A bundle of CA certificates, PEM.
    Ca,
    /// A `pip.conf`: index URLs, trusted hosts, credentials.
    PipConf,
    /// The same for uv, as a `uv.toml`.
    UvConf,
    /// An apt configuration file (`Acquire::…`).
    AptConf,
    /// An apt source list, one-line format, that replaces the base's own.
    AptSources,
}

impl SecretUse {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Ca,
        Self::PipConf,
        Self::UvConf,
        Self::AptConf,
        Self::AptSources,
    ];

    /// The secret's id in the build.
    pub fn id(self) -> &'static str {
        match self {
            Self::Ca => "mlbuild-ca",
            Self::PipConf => "mlbuild-pip-conf",
            Self::UvConf => "mlbuild-uv-conf",
            Self::AptConf => "mlbuild-apt-conf",
            Self::AptSources => "mlbuild-apt-sources",
        }
    }

    /// Where a RUN step finds it.
    pub fn path(self) -> String {
        format!("/run/secrets/{}", self.id())
    }
}

/// Something that the user should know but that doesn't stop the build.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Warning {
    /// What was noticed.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A composed image.
#[derive(Debug, Clone)]
pub struct Composition {
    /// The Dockerfile, typed.
    pub dockerfile: Dockerfile,
    /// The Dockerfile's text.
    pub text: String,
    /// The base image that FROM names.
    pub base: BaseImage,
    /// What it computes on, with [`Accelerator::Auto`] resolved.
    pub accelerator: Accelerator,
    /// Its Python (`3.12`), as far as it is known before the build.
    pub python: Option<String>,
    /// What installs its Python packages; `None` where there are none to install.
    pub installer: Option<Installer>,
    /// The CUDA release (`12.8`) that its packages or its base bring, as far as it is known.
    pub cuda: Option<String>,
    /// What was noticed.
    pub warnings: Vec<Warning>,
    /// What is worth knowing, and nothing to worry about.
    pub notes: Vec<String>,
    /// The first part of the project's files that plays no part in the image, one of the warnings.
    pub unused_part: Option<Warning>,
    /// The secrets that its RUN steps mount, sorted.
    pub secrets: Vec<SecretUse>,
    /// The packages that it asks for.
    pub request: PackageRequest,
    /// Where the decisions come from.
    pub origins: Origins,
}

/// Why a spec can't become a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// A value that no Dockerfile can hold.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A project file that can't be used.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// Two parts of the spec that can't both hold, or one that can't at all.
    #[error("{message}; {hint}")]
    Conflict {
        /// What can't hold.
        message: String,
        /// What to do instead.
        hint: String,
    },
}

impl ComposeError {
    pub(crate) fn conflict(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Conflict {
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// Composes the Dockerfile of a spec.
///
/// # Errors
/// [`ComposeError`] where the spec contradicts itself, asks for what can't work, or names project
/// files that can't be read.
pub fn compose(spec: &ImageSpec, context: &ComposeContext) -> Result<Composition, ComposeError> {
    let (spec, of_groups) = default_groups::added(spec, context.project);
    let mut done = compose_all(&spec, context)?;
    done.notes.extend(of_groups);
    Ok(done)
}

fn compose_all(spec: &ImageSpec, context: &ComposeContext) -> Result<Composition, ComposeError> {
    let mut warnings = Vec::new();
    let mut image = ImagePython {
        machine: context.machine,
        ..ImagePython::default()
    };
    if let Some(version) = &spec.python.version {
        image.version = version.to_string();
    }
    let mut inputs = inputs::gather(spec, context, &image, &mut warnings)?;
    if let Some(serving) = &spec.serving {
        if let Some(step) = spec.run.first() {
            return Err(ComposeError::conflict(
                format!(
                    "a model server's image runs no commands, but `{}` is asked for",
                    step.command
                ),
                "leave out run, or serve",
            ));
        }
        return serving::compose(spec, serving, &inputs, context, warnings);
    }
    let mut decision = decide::decide(spec, context, &inputs, &mut warnings)?;
    // Markers were judged for the usual Python: where the packages led to another, they are judged
    // again for that one.
    if let Some(python) = decision
        .python
        .clone()
        .filter(|python| spec.python.version.is_none() && *python != image.version)
    {
        image.version = python;
        warnings.clear();
        inputs = inputs::gather(spec, context, &image, &mut warnings)?;
        decision = decide::decide(spec, context, &inputs, &mut warnings)?;
    }
    warnings.extend(misnamed::warnings(&inputs, context.project));
    warnings.extend(arm::warnings(context, &inputs, decision.accelerator));
    let brought = brought::notes(&decision, &inputs);
    let compiling = std::mem::take(&mut decision.notes);
    let mut composer = Composer::new(spec, context);
    let workdir = composer.workdir();
    composer.open(&decision.base);
    composer.conda_stage(&decision, &inputs);
    composer.builder_stages(&decision, &inputs);
    composer.begin_image();
    composer.apt_layer(&decision);
    composer.conda_layer(&inputs);
    composer.run_layers(RunWhen::BeforePackages, &inputs);
    composer.python_layer(&decision, &inputs);
    if composer.installs(&decision, &inputs) {
        composer.libraries_layer(&decision);
    }
    composer.fonts_layer(&decision, &inputs);
    composer.environment(&decision.env, decision.environment.is_some())?;
    composer.run_layers(RunWhen::AfterPackages, &inputs);
    composer.code(&workdir);
    composer.local_layer(&decision, &inputs, &workdir)?;
    if !inputs.local_known && !inputs.local.is_empty() {
        composer.libraries_layer(&decision);
    }
    composer.run_layers(RunWhen::AfterCode, &inputs);
    composer.user_layer(&[&workdir]);
    composer.user_run_layers(&inputs);
    composer.close(&spec.ports);
    let request = composer.request(&decision, &inputs);
    let version = composer.note_of_version(&inputs);
    let origins = origins::of(spec, context, &decision, &inputs);
    warnings.extend(composer.without_index(&inputs));
    let mut done = composer.finish(decision, request, warnings)?;
    done.origins = origins;
    done.notes = inputs.notes;
    done.unused_part = inputs.unused_part;
    done.notes.extend(compiling);
    done.notes.extend(version);
    done.notes.extend(brought);
    Ok(done)
}

/// The Dockerfile under way. Each part of the order above appends to it.
struct Composer<'a> {
    spec: &'a ImageSpec,
    context: &'a ComposeContext<'a>,
    file: Dockerfile,
}

/// An environment variable's name that is known to be one.
fn env_name(name: &str) -> EnvName {
    name.parse().expect("a plain name")
}

impl<'a> Composer<'a> {
    fn new(spec: &'a ImageSpec, context: &'a ComposeContext<'a>) -> Self {
        Self {
            spec,
            context,
            file: Dockerfile::default(),
        }
    }

    fn finish(
        self,
        decision: Decision,
        request: PackageRequest,
        warnings: Vec<Warning>,
    ) -> Result<Composition, ComposeError> {
        let mounted = |secret: &SecretUse| {
            let is_it =
                |mount: &Mount| matches!(mount, Mount::Secret { id, .. } if id == secret.id());
            let runs = self.file.instructions.iter();
            let mut runs = runs.filter_map(|i| match i {
                Instruction::Run(run) => Some(run),
                _ => None,
            });
            runs.any(|run| run.mounts.iter().any(is_it))
        };
        let secrets = SecretUse::ALL.into_iter().filter(mounted).collect();
        Ok(Composition {
            text: self.file.render()?,
            secrets,
            base: decision.base,
            accelerator: decision.accelerator,
            python: decision.python,
            installer: decision.environment.map(|_| decision.installer),
            cuda: decision.cuda,
            warnings,
            notes: Vec::new(),
            unused_part: None,
            request,
            origins: Origins::default(),
            dockerfile: self.file,
        })
    }

    fn workdir(&self) -> ContainerPath {
        let default = || "/app".parse().expect("a plain path");
        self.spec.workdir.clone().unwrap_or_else(default)
    }

    /// The base.
    fn open(&mut self, image: &BaseImage) {
        self.file
            .push(Instruction::Comment(header(self.spec, self.context.locked)));
        self.file.push(Instruction::Blank);
        self.file.push(Instruction::Arg {
            name: env_name("BASE_IMAGE"),
            default: Some(image.as_str().into()),
        });
    }

    /// A step with a network.
    fn run(&mut self, mounts: Vec<Mount>, script: Script, purpose: Purpose) {
        self.step(mounts, Network::Default, script, purpose);
    }

    /// A step without a network: of recorded files, or of none.
    fn run_offline(&mut self, mounts: Vec<Mount>, script: Script, purpose: Purpose) {
        self.step(mounts, Network::None, script, purpose);
    }

    /// A step that needs no network: it has one only where the others do.
    fn run_alone(&mut self, script: Script, purpose: Purpose) {
        let network = if self.context.locked {
            Network::None
        } else {
            Network::Default
        };
        self.step(Vec::new(), network, script, purpose);
    }

    fn step(&mut self, mounts: Vec<Mount>, network: Network, script: Script, purpose: Purpose) {
        self.file.push(Instruction::Run(Run {
            mounts,
            network,
            script: script.finish(),
            purpose,
        }));
    }

    /// The stage that becomes the image.
    fn begin_image(&mut self) {
        let stages = self.file.instructions.iter();
        let has_stages = stages
            .into_iter()
            .any(|i| matches!(i, Instruction::From { .. }));
        if has_stages {
            self.file.section("The image.");
        }
        self.file.push(Instruction::From {
            image: Word::variable(env_name("BASE_IMAGE")),
            alias: None,
        });
        self.file.push(Instruction::User("root".into()));
        if self.spec.reproducible || self.context.locked {
            self.file.push(Instruction::Arg {
                name: env_name("SOURCE_DATE_EPOCH"),
                default: None,
            });
        }
    }

    /// The environment: after the packages, so that an edit of it installs nothing again.
    fn environment(
        &mut self,
        base_env: &BTreeMap<&'static str, String>,
        python: bool,
    ) -> Result<(), ComposeError> {
        let mut env: BTreeMap<EnvName, Word> = BTreeMap::new();
        for (name, value) in base_env {
            env.insert(env_name(name), value.as_str().into());
        }
        if self.spec.gui {
            env.insert(env_name("QT_QPA_PLATFORM"), "xcb".into());
            env.insert(env_name("QT_X11_NO_MITSHM"), "1".into());
            env.insert(env_name("QT_QPA_FONTDIR"), libraries::FONTS.into());
        }
        if python {
            env.insert(env_name("PYTHONUNBUFFERED"), "1".into());
        }
        for (name, value) in &self.spec.env {
            if name.as_str() == "PATH" {
                return Err(ComposeError::conflict(
                    "PATH can't be replaced: the image's own programs would no longer be found",
                    "list the folders to add under `path`",
                ));
            }
            env.insert(name.clone(), value.as_str().into());
        }
        let mut env: Vec<(EnvName, Word)> = env.into_iter().collect();
        if !self.spec.path.is_empty() {
            let folders: Vec<&str> = self.spec.path.iter().map(ContainerPath::as_str).collect();
            let path = Word::literal(format!("{}:", folders.join(":")));
            env.push((env_name("PATH"), path.then_variable(env_name("PATH"))));
        }
        if !env.is_empty() {
            self.file.section("The environment of the container.");
            self.file.push(Instruction::Env(env));
        }
        Ok(())
    }

    fn code(&mut self, workdir: &ContainerPath) {
        self.file
            .section("The code. An edit of it runs nothing above this line again.");
        self.file
            .push(Instruction::Workdir(workdir.as_str().into()));
        if self.spec.copy {
            self.file.push(Instruction::Copy(Copy {
                sources: vec![".".into()],
                destination: format!("{}/", workdir.as_str().trim_end_matches('/')).into(),
                ..Copy::default()
            }));
        }
    }

    /// Metadata that makes no layer.
    fn close(&mut self, ports: &[Port]) {
        let spec = self.spec;
        let mut last = Vec::new();
        if !ports.is_empty() {
            last.push(Instruction::Expose(ports.to_vec()));
        }
        if !spec.labels.is_empty() {
            let labels = spec.labels.iter();
            let labels = labels.map(|(k, v)| (k.clone(), Word::literal(v.as_str())));
            last.push(Instruction::Label(labels.collect()));
        }
        if let Some(entrypoint) = &spec.entrypoint {
            last.push(Instruction::Entrypoint(entrypoint.words()));
        }
        if let Some(command) = &spec.command {
            last.push(Instruction::Cmd(command.words()));
        }
        if !last.is_empty() {
            self.file.push(Instruction::Blank);
            self.file.instructions.extend(last);
        }
    }
}

fn header(spec: &ImageSpec, locked: bool) -> String {
    let ids = match &spec.user {
        Some(user) if user.name.as_str() != "root" => {
            " --build-arg USER_UID=$(id -u) --build-arg USER_GID=$(id -g)"
        }
        _ => "",
    };
    let what = match &spec.serving {
        Some(_) => "A model server by mlbuild.".to_owned(),
        None => format!("An ML image from mlbuild's `{}` template.", spec.template),
    };
    if locked {
        let but = if spec.run.is_empty() {
            ""
        } else {
            "\nbut for the project's own commands"
        };
        return format!(
            "{what} Locked: packages come from the files of\n`{INPUTS_CONTEXT}` alone, and no step has a network{but}."
        );
    }
    format!("{what} It also builds without mlbuild:\n\n  docker build{ids} -t my-image .")
}
