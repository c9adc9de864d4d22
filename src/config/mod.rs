//! `mlbuild.toml`: what the user writes down about an image and its runs.
//!
//! This module reads the file into typed values and points at the line of a
//! mistake. What the values mean together with flags is decided in
//! [`crate::settings`].

pub mod launch;
mod read;
mod run;
mod variant;

use std::collections::BTreeMap;

use mlbuild_templates::value::{
    AptPackage, BaseImage, Command, ContainerPath, CudaVersion, EnvName, EnvValue, Gid, LabelKey,
    Port, PythonVersion, RunStep, TorchBackend, Uid, UserName,
};
use mlbuild_templates::{Accelerator, Installer, PythonEnvironment, ServingSpec, TargetSpec};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

pub use read::{ConfigError, FILE_NAME, find, nearest_variant, parse, read};
pub use run::RunConfig;
pub(crate) use run::Values;
pub use variant::VariantName;

/// The whole of `mlbuild.toml`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "mlbuild.toml")]
pub struct Config {
    /// The variant that is meant where none is named; unset: `[image]` alone.
    #[schemars(with = "Option<VariantName>")]
    pub default_variant: Option<Spanned<VariantName>>,
    /// What the image is.
    #[serde(default)]
    pub image: ImageConfig,
    /// Images of the same project that differ in some of these settings, by name: each is laid over `[image]`.
    #[serde(default, rename = "variant")]
    pub variants: BTreeMap<VariantName, ImageConfig>,
    /// Base images per accelerator: `cuda`, `rocm`, `cpu`.
    #[serde(default)]
    pub accelerator: BTreeMap<AcceleratorKey, AcceleratorConfig>,
    /// How it is built.
    #[serde(default)]
    pub build: BuildConfig,
    /// Registries: mirrors and plain http.
    #[serde(default)]
    pub registry: RegistryConfig,
    /// How its containers are started.
    #[serde(default)]
    pub run: RunConfig,
    /// What of it reaches out of the project's folder, in plain words; found when it is read.
    #[serde(skip)]
    #[schemars(skip)]
    pub wishes: Vec<String>,
}

/// What makes an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// A builder runs the steps of a Dockerfile.
    Buildkit,
    /// mlbuild puts layers of pinned wheels together; nothing is run.
    Assemble,
    /// The second where it serves, else the first.
    Auto,
}

/// `[image]`: what the image is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageConfig {
    /// Image reference to build, for example `ghcr.io/me/cracks:latest`; a list gives several tags.
    #[serde(default, rename = "tag", deserialize_with = "read::one_or_many")]
    #[schemars(with = "OneOrMany")]
    pub tags: Vec<String>,
    /// Built-in template (`python`, `tensorflow`, `pytorch`, `cuda`), or a file or folder.
    pub template: Option<String>,
    /// A Dockerfile of your own, instead of a template.
    pub dockerfile: Option<String>,
    /// Base image; overrides the accelerator's table.
    pub base: Option<BaseImage>,
    /// What makes the image: a builder (`buildkit`), mlbuild out of wheels (`assemble`), or `auto`, which assembles what can be; unset: as the lock says, else `auto` where no builder is named.
    pub method: Option<Method>,
    /// What the image computes on.
    pub gpu: Option<Accelerator>,
    /// Python version, `3.12`.
    pub python: Option<PythonVersion>,
    /// What installs Python packages.
    pub installer: Option<Installer>,
    /// Requirements files, a `pylock.toml`, or a `pyproject.toml` beside a `uv.lock`.
    pub requirements: Option<Vec<String>>,
    /// Python packages by name, as in a requirements file: `numpy==2.1`.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Extras of the project that are installed with its `uv.lock`.
    #[serde(default)]
    pub extras: Vec<String>,
    /// Dependency groups of the project that are installed with its `uv.lock`.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Packages to compile in a stage of its own, besides those known to need it; only wheels of them reach the image.
    #[serde(default)]
    pub compile: Vec<String>,
    /// Packages to compile without build isolation, beside `torch` and what else is asked for.
    #[serde(default)]
    pub no_build_isolation: Vec<String>,
    /// What the build of a package imports and doesn't declare, by package: `mmcv = ["setuptools<81", "torch==2.1.0"]`.
    #[serde(default)]
    pub extra_build_dependencies: BTreeMap<String, Vec<String>>,
    /// Where Python packages go: `venv` (/opt/venv) or `base` (the base's own Python).
    pub environment: Option<PythonEnvironment>,
    /// Which of PyTorch's own indexes torch comes from (`cpu`, `cu126`, `rocm6.4`), or `index`.
    pub torch_backend: Option<TorchBackend>,
    /// CUDA release that the image has to use, `12.8`.
    pub cuda: Option<CudaVersion>,
    /// The oldest machine that the image has to run on.
    #[serde(default)]
    pub target: TargetSpec,
    /// Whether what conda's files ask for comes from conda's channels; unset: where neither the package index nor
    /// Debian has one of them.
    pub conda: Option<bool>,
    /// Debian packages.
    #[serde(default)]
    pub apt: Vec<AptPackage>,
    /// Commands that are run while the image is made: a text, or `{ command, when, user, cache, index }`.
    #[serde(default)]
    pub run: Vec<RunStep>,
    /// Ports to expose.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// Environment of the image.
    #[serde(default)]
    pub env: BTreeMap<EnvName, EnvValue>,
    /// Folders put before PATH.
    #[serde(default)]
    pub path: Vec<ContainerPath>,
    /// Labels of the image.
    #[serde(default)]
    pub labels: BTreeMap<LabelKey, EnvValue>,
    /// Libraries for OpenCV windows.
    pub gui: Option<bool>,
    /// Working directory, and where the code goes.
    pub workdir: Option<ContainerPath>,
    /// Copy the project into the image (default: true).
    pub code: Option<bool>,
    /// Command to run: a list of words, or one line for a shell.
    pub command: Option<Command>,
    /// Entry point: a list of words, or one line for a shell.
    pub entrypoint: Option<Command>,
    /// The user of the image.
    #[serde(default)]
    pub user: UserConfig,
    /// Serve a saved model in TensorFlow Serving's layout.
    pub serve: Option<ServingSpec>,
    /// Hold the image's bytes still: SOURCE_DATE_EPOCH reaches RUN steps, bytecode is compiled in a fixed order.
    pub reproducible: Option<bool>,
}

/// `[image.user]`: who runs in the container.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserConfig {
    /// Login name.
    pub name: Option<UserName>,
    /// Numeric user id.
    pub uid: Option<Uid>,
    /// Numeric group id; the user id where absent.
    pub gid: Option<Gid>,
    /// Install sudo and let the user use it without a password.
    pub sudo: Option<bool>,
}

/// A key of `[accelerator.KEY]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AcceleratorKey {
    /// NVIDIA.
    Cuda,
    /// AMD.
    Rocm,
    /// No accelerator.
    Cpu,
}

/// `[accelerator.KEY]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceleratorConfig {
    /// Base image for this accelerator.
    pub base_image: Option<BaseImage>,
}

/// `[build]`: how the image is built. Names are those of `docker buildx build`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BuildConfig {
    /// Builder address: refused here, since only you can say it, with `--builder` or in your own `config.toml`.
    pub builder: Option<String>,
    /// Build arguments.
    #[serde(default)]
    pub args: BTreeMap<String, String>,
    /// Stage to build.
    pub target: Option<String>,
    /// Platforms, `linux/amd64`.
    #[serde(default)]
    pub platforms: Vec<String>,
    /// Network of RUN steps: `default`, `none` or `host`.
    pub network: Option<String>,
    /// Cache sources, in buildx's `type=…,key=value` form.
    #[serde(default)]
    pub cache_from: Vec<String>,
    /// Cache destinations, in buildx's `type=…,key=value` form.
    #[serde(default)]
    pub cache_to: Vec<String>,
    /// Secrets, in buildx's `id=…,src=…` form.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Named contexts: `name = "path or reference"`.
    #[serde(default)]
    pub contexts: BTreeMap<String, String>,
    /// Pass the host's package-index settings, proxies and CA bundle to RUN steps (default: true).
    pub host_network_settings: Option<bool>,
    /// Write the final bytes of images by mlbuild and not by the builder, as `--repack`: `zstd`, `gzip`, `none`, `estargz` or `zstd:chunked`.
    pub repack: Option<String>,
    /// An apt source list, one-line format, that RUN steps use instead of the base's own.
    pub apt_sources: Option<String>,
    /// Such a list for `mlbuild lock --as-of`, of archives of snapshots: `{time}` stands for the time, as 20260301T235959Z.
    pub apt_snapshots: Option<String>,
}

/// `[registry]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryConfig {
    /// Hosts, with port, that are reached by plain http: only in your own `config.toml`, refused in a project.
    #[serde(default)]
    pub insecure: Vec<String>,
    /// Where copies of base images go, and come from where the original is gone: `registry.example/mirror`.
    pub mirror: Option<String>,
    /// Mirrors per host: `"docker.io" = ["mirror.example:5000"]`.
    #[serde(default)]
    pub mirrors: BTreeMap<String, Vec<String>>,
}

/// A string or a list of strings.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// The JSON schema of `mlbuild.toml` (draft 2020-12), as published in `docs/mlbuild.schema.json`.
pub fn schema() -> String {
    let schema = schemars::schema_for!(Config);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}
