//! What a caller asks for: each value as a person would type it, and nothing where they typed
//! nothing.

use std::path::PathBuf;

use mlbuild_templates::{Accelerator, Installer};

use super::{EndpointTls, LockMode, Upgrade};
use crate::config::Method;

/// What an image is to be, and what is done with it.
///
/// What is unset comes from `mlbuild.toml` in the project's folder, then from the environment, then
/// from what the folder holds. Texts have the forms that the options of `docker buildx build` and of
/// requirements files have; they are read once, by [`super::resolve`].
///
/// ```
/// use mlbuild::settings::BuildRequest;
///
/// let request = BuildRequest {
///     project: "train".into(),
///     tags: vec!["registry.example/me/train:v1".into()],
///     push: true,
///     ..BuildRequest::default()
/// };
/// ```
#[derive(Debug, Clone, Default)]
pub struct BuildRequest {
    /// Folder of the project; or `-` for a tar on standard input, or a git or tar URL. Empty: the
    /// current folder.
    pub project: String,

    /// Variant of the project's image, `[variant.NAME]`; unset: `default_variant`, else `[image]` alone.
    pub variant: Option<String>,
    /// Built-in template, or a Dockerfile or folder of one's own whose ARGs are filled.
    pub template: Option<String>,
    /// Dockerfile that is built as it is.
    pub file: Option<PathBuf>,
    /// Base image.
    pub base: Option<String>,
    /// GPU that the image is for.
    pub gpu: Option<Accelerator>,
    /// CUDA version, `12.8`.
    pub cuda: Option<String>,
    /// NVIDIA driver of the oldest machine that runs it, `535.104.05`.
    pub nvidia_driver: Option<String>,
    /// Compute capability of the GPU that runs it, `9.0`.
    pub compute_capability: Option<String>,
    /// Launch configuration whose `builder.accelerator.base_image` is the base.
    pub launch_config: Option<PathBuf>,
    /// User id in the image.
    pub uid: Option<String>,
    /// Group id in the image; the user id where unset.
    pub gid: Option<String>,
    /// Login name in the image.
    pub user: Option<String>,
    /// Whether the user may use sudo without a password.
    pub sudo: bool,
    /// Python version, `3.12`.
    pub python: Option<String>,
    /// What installs Python packages.
    pub installer: Option<Installer>,
    /// Requirements files, pylock.toml, or pyproject.toml beside a uv.lock. Some here replace those of
    /// `mlbuild.toml`.
    pub requirements: Vec<String>,
    /// Extras of the project, besides those of `mlbuild.toml`.
    pub extras: Vec<String>,
    /// Dependency groups of the project, besides those of `mlbuild.toml`.
    pub groups: Vec<String>,
    /// Python packages, as in a requirements file.
    pub packages: Vec<String>,
    /// Whether what conda's files ask for comes from conda's channels; unset: as `mlbuild.toml` has it.
    pub conda: Option<bool>,
    /// Debian packages.
    pub apt: Vec<String>,
    /// Commands that root runs after the packages, while the image is made.
    pub run: Vec<String>,
    /// `NAME=VALUE`, or `NAME` with the value that it has here.
    pub env: Vec<String>,
    /// Folders that are put before `PATH`.
    pub path: Vec<String>,
    /// Ports that are exposed.
    pub ports: Vec<String>,
    /// Whether OpenCV windows work in it.
    pub gui: bool,
    /// Saved model to serve, in TensorFlow Serving's layout.
    pub serve: Option<String>,
    /// Working directory, and where the code goes.
    pub workdir: Option<String>,
    /// Whether the project's files are left out.
    pub no_code: bool,
    /// Whether a project's file that bears on the environment and isn't used is an error.
    pub strict: bool,
    /// Whether a Dockerfile is composed also where the folder holds nothing but one of its own.
    pub always_compose: bool,
    /// Whether RUN steps do without the host's package indexes, proxies and CA bundle.
    pub no_host_network_settings: bool,

    /// Whether the project's files may reach out of its folder as they ask, this time. Unset: the
    /// reporter is asked where they do, and a no is an error.
    pub trust: bool,
    /// Address of the builder, `unix:///run/buildkit/buildkitd.sock`; unset: whichever is found.
    pub builder: Option<String>,
    /// Certificates for a `tcp://` builder.
    pub tls: EndpointTls,
    /// Whether a private builder may be started where none is found; unset: the reporter is asked.
    pub start_builder: Option<bool>,
    /// `NAME=VALUE`, or `NAME` with the value that it has here.
    pub build_args: Vec<String>,
    /// Stage to build.
    pub target: Option<String>,
    /// Platforms, `linux/amd64`; none: the builder's own.
    pub platforms: Vec<String>,
    /// `NAME=VALUE`.
    pub labels: Vec<String>,
    /// `NAME=VALUE`.
    pub annotations: Vec<String>,
    /// Network of RUN steps: `default`, `none` or `host`.
    pub network: Option<String>,
    /// Entitlements: `network.host`, `security.insecure`.
    pub allow: Vec<String>,
    /// `HOST:IP` for RUN steps.
    pub add_hosts: Vec<String>,
    /// Cache sources, `type=registry,ref=…`.
    pub cache_from: Vec<String>,
    /// Cache destinations, `type=registry,ref=…`.
    pub cache_to: Vec<String>,
    /// Whether every step is built anew.
    pub no_cache: bool,
    /// Stages whose steps are built anew.
    pub no_cache_filter: Vec<String>,
    /// Whether newer base images of the same name are looked for.
    pub pull: bool,
    /// Secrets for RUN steps, `id=token,src=FILE`.
    pub secrets: Vec<String>,
    /// ssh keys for RUN steps, `default` or `ID=SOCKET`.
    pub ssh: Vec<String>,
    /// Further contexts, `data=../data`.
    pub build_contexts: Vec<String>,
    /// Size of /dev/shm in RUN steps, `1g`.
    pub shm_size: Option<String>,
    /// Limits for RUN steps, `nofile=1024:1024`.
    pub ulimits: Vec<String>,
    /// Attestations, `type=sbom`.
    pub attests: Vec<String>,
    /// Provenance attestation, `mode=max`; `false` switches it off.
    pub provenance: Option<String>,
    /// The builder's own software bill of materials; `false` switches it off.
    pub sbom: Option<String>,
    /// Registries, with or without a path, that all images of the build have to come from; `None`:
    /// anywhere.
    pub base_registries: Option<Vec<String>>,
    /// BuildKit source policy, a JSON file.
    pub source_policy_file: Option<PathBuf>,

    /// What makes the image; unset: the project's choice, else what made that of the lock, else mlbuild itself
    /// where nothing has to be run and no builder is named.
    pub method: Option<Method>,
    /// Names of the image.
    pub tags: Vec<String>,
    /// Whether it is pushed.
    pub push: bool,
    /// Whether it is loaded into Docker.
    pub load: bool,
    /// Other outputs, `type=oci,dest=image.tar`.
    pub outputs: Vec<String>,
    /// Compression of an image whose final bytes mlbuild writes: `zstd` or `gzip`, each with `:LEVEL`, `none`, or
    /// for lazy pulls `estargz` or `zstd:chunked`.
    pub repack: Option<String>,
    /// Registry hosts that are reached by plain http.
    pub insecure_registries: Vec<String>,

    /// Lock file, from the project's folder; unset: `mlbuild.lock`.
    pub lock_file: Option<PathBuf>,
    /// Whether no lock is read or written.
    pub no_lock: bool,
    /// How far the lock's pins may move.
    pub lock_mode: LockMode,
    /// Pins that are moved on.
    pub upgrade: Vec<Upgrade>,
    /// Run that the image is bound to; unset: `WANDB_RUN_ID`, else a new one.
    pub run_id: Option<String>,
    /// Whether it is built even if nothing changed since the lock.
    pub no_skip: bool,
}

impl BuildRequest {
    /// The project, or the current folder where none is named.
    pub(super) fn context(&self) -> &str {
        if self.project.is_empty() {
            "."
        } else {
            &self.project
        }
    }
}
