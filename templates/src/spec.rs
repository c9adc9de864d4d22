//! What an image is, before any Dockerfile: [`ImageSpec`].
//!
//! Its serde shape is that of the `[image]` table of `mlbuild.toml`. Every field has a default, so
//! an empty table is a Python image with the requirements files of the folder.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::{
    AptPackage, BaseImage, Command, ContainerPath, ContextPath, ContextPattern, CudaVersion,
    DriverVersion, EnvName, EnvValue, Gid, LabelKey, ModelName, Port, PythonVersion, TorchBackend,
    Uid, UserName,
};
pub use crate::value::{RunStep, RunWhen};

/// What an image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ImageSpec {
    /// The built-in template.
    pub template: TemplateName,
    /// The base image. Where absent, the template and the accelerator choose one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseImage>,
    /// What the image computes on. Where absent: `cuda` for the tensorflow, pytorch and cuda
    /// templates, `off` for python.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Accelerator>,
    /// The CUDA release (`12.8`) that the image has to use; what the packages bring where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cuda: Option<CudaVersion>,
    /// The oldest machine that the image has to run on.
    pub target: TargetSpec,
    /// Python and its packages.
    pub python: PythonSpec,
    /// Whether what conda's files ask for comes from conda's channels; where absent, where neither the package
    /// index nor the distribution has one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conda: Option<bool>,
    /// Packages of the distribution, installed by apt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub apt: Vec<AptPackage>,
    /// Commands that are run while the image is made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub run: Vec<RunStep>,
    /// Whether the image can show windows (OpenCV, Qt, Tk) on the host's display.
    pub gui: bool,
    /// The folder that the container starts in. `/app` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<ContainerPath>,
    /// Whether the build context is copied into the working folder.
    pub copy: bool,
    /// Environment variables of the image.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<EnvName, EnvValue>,
    /// Folders that are put before PATH.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<ContainerPath>,
    /// Ports that the container listens on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// The user that the container runs as; root where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserSpec>,
    /// The entry point; the base's where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Command>,
    /// The command; the base's where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<LabelKey, EnvValue>,
    /// Makes a TensorFlow Serving image of a saved model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<ServingSpec>,
    /// Whether the RUN steps are to leave the same bytes whenever they run: the build's
    /// SOURCE_DATE_EPOCH reaches them (which makes them run again when it changes) and bytecode is
    /// compiled in a fixed order (which is slower).
    pub reproducible: bool,
}

impl Default for ImageSpec {
    fn default() -> Self {
        Self {
            template: TemplateName::default(),
            base: None,
            gpu: None,
            cuda: None,
            target: TargetSpec::default(),
            python: PythonSpec::default(),
            conda: None,
            apt: Vec::new(),
            run: Vec::new(),
            gui: false,
            workdir: None,
            copy: true,
            env: BTreeMap::new(),
            path: Vec::new(),
            ports: Vec::new(),
            user: None,
            entrypoint: None,
            command: None,
            labels: BTreeMap::new(),
            serving: None,
            reproducible: false,
        }
    }
}

/// The built-in templates.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum TemplateName {
    /// Python packages on a slim base.
    #[default]
    Python,
    /// TensorFlow.
    Tensorflow,
    /// PyTorch.
    Pytorch,
    /// NVIDIA's CUDA base, for code that links to CUDA itself.
    Cuda,
}

impl TemplateName {
    /// All of them, in the order they are listed.
    pub const ALL: [Self; 4] = [Self::Python, Self::Tensorflow, Self::Pytorch, Self::Cuda];

    /// The name as it is typed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Tensorflow => "tensorflow",
            Self::Pytorch => "pytorch",
            Self::Cuda => "cuda",
        }
    }
}

impl std::fmt::Display for TemplateName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The oldest machine that the image has to run on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TargetSpec {
    /// Its NVIDIA driver, such as `535.104.05`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nvidia_driver: Option<DriverVersion>,
    /// Its GPU's compute capability, such as `8.6`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_capability: Option<CudaVersion>,
}

/// What the image computes on (`--gpu`).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Accelerator {
    /// The processor alone.
    Off,
    /// What the host has ([`crate::compose::ComposeContext::host_accelerator`]), else CUDA.
    Auto,
    /// NVIDIA GPUs.
    Cuda,
    /// AMD GPUs.
    Rocm,
}

impl Accelerator {
    /// The name as it is typed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Auto => "auto",
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
        }
    }
}

impl std::fmt::Display for Accelerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Python and its packages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PythonSpec {
    /// The version; the newest that the packages have wheels for where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<PythonVersion>,
    /// What installs the packages.
    pub installer: Installer,
    /// Requirements files, all resolved together. Patterns such as `requirements*.txt` are allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<ContextPattern>,
    /// Packages by name, with optional extras and version (`torch==2.9.1`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// A lock file as PEP 751 has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pylock: Option<ContextPath>,
    /// The folder of a `pyproject.toml` with its `uv.lock` (`.` for the context's root).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<ContextPath>,
    /// Extras of the project that are installed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extras: Vec<String>,
    /// Dependency groups of the project that are installed besides the default ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Packages that are compiled in a stage of their own, besides those of which that is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compile: Vec<String>,
    /// Packages that are compiled beside the packages that are asked for (`torch`), without isolation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub no_build_isolation: Vec<String>,
    /// What the builds of packages import besides what they declare, by package. They are compiled in a stage of
    /// their own as well, beside these.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_build_dependencies: BTreeMap<String, Vec<String>>,
    /// Where packages are installed. Where absent: into the base's own Python where the base is
    /// known to carry a framework in it, else into a virtual environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<PythonEnvironment>,
    /// Which of PyTorch's own indexes torch comes from (`cpu`, `cu126`, `rocm6.4`; needs uv), or
    /// `index` for whatever the package index has. Where absent: `cpu` for a CPU image on a
    /// machine that has no package index of its own, else `index`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torch_backend: Option<TorchBackend>,
}

/// Where Python packages are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PythonEnvironment {
    /// A virtual environment at `/opt/venv`.
    Venv,
    /// The Python that the base's PATH leads to.
    Base,
}

/// What installs Python packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Installer {
    /// uv, except where only pip does what is asked.
    #[default]
    Auto,
    /// uv.
    Uv,
    /// pip.
    Pip,
}

/// The user that the container runs as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserSpec {
    /// The name, also of the group.
    pub name: UserName,
    /// The user id.
    pub uid: Uid,
    /// The group id; the same number as the user id where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<Gid>,
    /// Whether the user may run anything as root without a password.
    #[serde(default)]
    pub sudo: bool,
}

/// A TensorFlow Serving image of a saved model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServingSpec {
    /// The folder of the build context with the saved model: `saved_model.pb` itself, or one
    /// folder per numbered version.
    pub model: ContextPath,
    /// The name it is served under; the folder's name where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<ModelName>,
}
