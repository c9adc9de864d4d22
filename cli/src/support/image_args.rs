//! The flags of `mlbuild image`, as typed. Their doc comments are the help text; what they mean
//! together with `mlbuild.toml` is decided in [`mlbuild::settings`]; the command line makes a
//! [`mlbuild::settings::BuildRequest`] of them.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use mlbuild_progress::ProgressMode;

use crate::support::format::Format;
use mlbuild::config::Method;

/// Compose, build, push and lock an image.
///
/// Without flags the image is what `mlbuild.toml` says, or what the folder
/// holds. Flags that `docker buildx build` has too mean the same here.
#[derive(Debug, Clone, Default, Args)]
pub struct ImageArgs {
    /// Folder with the project; or `-` for a tar on standard input, or a git or tar URL.
    #[arg(value_name = "CONTEXT", default_value = ".", value_hint = ValueHint::DirPath)]
    pub context: String,

    /// What the image is.
    #[command(flatten)]
    pub compose: ComposeArgs,
    /// How it is built.
    #[command(flatten)]
    pub build: BuildArgs,
    /// Where it goes.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What is pinned.
    #[command(flatten)]
    pub lock: LockArgs,
}

/// What the image is.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What the image is")]
pub struct ComposeArgs {
    /// Variant of the image, a table `[variant.NAME]` of mlbuild.toml: it is laid over `[image]`.
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// Built-in template (python, tensorflow, pytorch, cuda), or a Dockerfile or folder of your own.
    #[arg(long, value_name = "NAME|FILE|DIR")]
    pub template: Option<String>,
    /// Build this Dockerfile as it is, instead of a template.
    #[arg(short, long, value_name = "DOCKERFILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Base image.
    #[arg(long, value_name = "IMAGE")]
    pub base: Option<String>,
    /// Use a GPU: `auto` looks at this host; `--gpu` alone is `cuda`.
    #[arg(long, value_name = "KIND", num_args = 0..=1, require_equals = true, default_missing_value = "cuda")]
    pub gpu: Option<GpuArg>,
    /// CUDA version that the image needs, such as 12.8.
    #[arg(long, value_name = "VERSION")]
    pub cuda: Option<String>,
    /// NVIDIA driver of the oldest machine that the image has to run on, such as 535.104.05.
    #[arg(long, value_name = "VERSION")]
    pub nvidia_driver: Option<String>,
    /// Compute capability of the GPU that the image has to run on, such as 9.0.
    #[arg(long, value_name = "VERSION")]
    pub compute_capability: Option<String>,
    /// Launch configuration whose `builder.accelerator.base_image` is the base.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub launch_config: Option<PathBuf>,
    /// User id in the image.
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub uid: Option<String>,
    /// Group id in the image (default: the user id).
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub gid: Option<String>,
    /// Login name in the image.
    #[arg(long = "user", visible_alias = "username", value_name = "NAME")]
    pub user: Option<String>,
    /// Install sudo and let the user use it without a password.
    #[arg(long)]
    pub sudo: bool,
    /// Python version, such as 3.12.
    #[arg(long, value_name = "VERSION")]
    pub python: Option<String>,
    /// What installs Python packages.
    #[arg(long, value_name = "TOOL")]
    pub installer: Option<InstallerArg>,
    /// Requirements file, pylock.toml, or pyproject.toml beside a uv.lock (repeatable).
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub requirements: Vec<String>,
    /// Extra of the project (repeatable).
    #[arg(long = "extra", value_name = "NAME")]
    pub extras: Vec<String>,
    /// Dependency group of the project (repeatable).
    #[arg(long = "group", value_name = "NAME")]
    pub groups: Vec<String>,
    /// Python package, as in a requirements file (repeatable).
    #[arg(long = "package", value_name = "REQUIREMENT")]
    pub packages: Vec<String>,
    /// Take conda's packages from its channels, as environment.yml, pixi.toml or a lock of them names them.
    #[arg(long)]
    pub conda: bool,
    /// Debian package (repeatable, or separated by commas).
    #[arg(long, value_name = "PACKAGE", value_delimiter = ',')]
    pub apt: Vec<String>,
    /// Command that root runs after the packages while the image is made (repeatable).
    #[arg(long = "run", value_name = "COMMAND")]
    pub run: Vec<String>,
    /// Variable in the image's environment (repeatable).
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// Folder to put before PATH (repeatable).
    #[arg(long, value_name = "DIR")]
    pub path: Vec<String>,
    /// Port to expose (repeatable, or separated by commas).
    #[arg(
        short,
        long = "port",
        visible_alias = "expose",
        value_name = "PORT",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    pub ports: Vec<String>,
    /// Add what OpenCV windows need.
    #[arg(long)]
    pub gui: bool,
    /// Serve a saved model, in TensorFlow Serving's layout (ports 8500 and 8501).
    #[arg(long, value_name = "MODEL_DIR", value_hint = ValueHint::DirPath)]
    pub serve: Option<String>,
    /// Working directory, and where the code goes.
    #[arg(long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Leave the project's files out of the image.
    #[arg(long)]
    pub no_code: bool,
    /// Keep the host's package indexes, proxies and CA bundle from RUN steps.
    #[arg(long)]
    pub no_host_network_settings: bool,
    /// Fail where a file that bears on the environment isn't used, instead of naming it.
    #[arg(long)]
    pub strict: bool,
    /// Write Dockerfile.cpu and Dockerfile.gpu into the folder, and stop.
    #[arg(long)]
    pub write: bool,
    /// With --write: replace files that mlbuild didn't write.
    #[arg(long, requires = "write")]
    pub force: bool,
}

/// `--gpu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GpuArg {
    /// What this host has.
    Auto,
    /// NVIDIA.
    Cuda,
    /// AMD.
    Rocm,
    /// None.
    Off,
}

/// `--method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MethodArg {
    /// mlbuild, without running anything.
    Assemble,
    /// A builder.
    Buildkit,
    /// The first where it serves.
    Auto,
}

impl From<MethodArg> for Method {
    fn from(arg: MethodArg) -> Self {
        match arg {
            MethodArg::Assemble => Self::Assemble,
            MethodArg::Buildkit => Self::Buildkit,
            MethodArg::Auto => Self::Auto,
        }
    }
}

/// `--installer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InstallerArg {
    /// uv, except where only pip does what is asked.
    Auto,
    /// uv.
    Uv,
    /// pip.
    Pip,
}

impl From<InstallerArg> for mlbuild_templates::Installer {
    fn from(arg: InstallerArg) -> Self {
        match arg {
            InstallerArg::Auto => Self::Auto,
            InstallerArg::Uv => Self::Uv,
            InstallerArg::Pip => Self::Pip,
        }
    }
}

/// How it is built.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "How it is built")]
pub struct BuildArgs {
    /// Let the project's files reach out of its folder as they ask, this time.
    #[arg(long)]
    pub trust: bool,
    /// What makes the image: a builder, or mlbuild itself out of wheels; `auto` (the default where no builder is named) assembles what can be.
    #[arg(long, value_name = "METHOD")]
    pub method: Option<MethodArg>,
    /// Builder: unix://, tcp://, docker://, docker-container://NAME, kube-pod://POD or ssh://HOST.
    #[arg(long, value_name = "URL", env = mlbuild::env_vars::BUILDKIT_HOST)]
    pub builder: Option<String>,
    /// CA certificate of a tcp:// builder.
    #[arg(long, value_name = "FILE")]
    pub tlscacert: Option<PathBuf>,
    /// Client certificate for a tcp:// builder.
    #[arg(long, value_name = "FILE")]
    pub tlscert: Option<PathBuf>,
    /// Client key for a tcp:// builder.
    #[arg(long, value_name = "FILE")]
    pub tlskey: Option<PathBuf>,
    /// Name in the certificate of a tcp:// builder.
    #[arg(long, value_name = "NAME")]
    pub tlsservername: Option<String>,
    /// Start a private builder where none is found: `auto`, or `off`.
    #[arg(long, value_name = "WHEN")]
    pub engine: Option<EngineArg>,
    /// Build argument (repeatable).
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    pub build_args: Vec<String>,
    /// Stage to build.
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// Platform, such as linux/amd64 (repeatable, or separated by commas).
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    pub platform: Vec<String>,
    /// Label of the image (repeatable).
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<String>,
    /// Annotation of the image (repeatable).
    #[arg(long = "annotation", value_name = "NAME=VALUE")]
    pub annotations: Vec<String>,
    /// Network of RUN steps: default, none or host.
    #[arg(long, value_name = "MODE")]
    pub network: Option<String>,
    /// Entitlement: network.host, security.insecure (repeatable).
    #[arg(long, value_name = "ENTITLEMENT")]
    pub allow: Vec<String>,
    /// Host name to address mapping for RUN steps (repeatable).
    #[arg(long = "add-host", value_name = "HOST:IP")]
    pub add_hosts: Vec<String>,
    /// Cache source, such as type=registry,ref=… (repeatable).
    #[arg(long, value_name = "SPEC")]
    pub cache_from: Vec<String>,
    /// Cache destination, such as type=registry,ref=… (repeatable).
    #[arg(long, value_name = "SPEC")]
    pub cache_to: Vec<String>,
    /// Build every step anew.
    #[arg(long)]
    pub no_cache: bool,
    /// Stage whose steps are built anew (repeatable, or separated by commas).
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub no_cache_filter: Vec<String>,
    /// Look again for newer base images of the same name; moves the lock's pins.
    #[arg(long)]
    pub pull: bool,
    /// Secret for RUN steps, such as id=token,src=FILE or id=token,env=NAME (repeatable).
    #[arg(long = "secret", value_name = "SPEC")]
    pub secrets: Vec<String>,
    /// ssh keys for RUN steps.
    #[arg(
        long,
        value_name = "SPEC",
        help = "ssh keys for RUN steps: default, ID=SOCKET or ID=KEYFILE[,KEYFILE] (repeatable)"
    )]
    pub ssh: Vec<String>,
    /// Further context, such as data=../data or base=docker-image://… (repeatable).
    #[arg(long = "build-context", value_name = "NAME=WHERE")]
    pub build_contexts: Vec<String>,
    /// Size of /dev/shm in RUN steps, such as 1g.
    #[arg(long, value_name = "SIZE")]
    pub shm_size: Option<String>,
    /// Limit for RUN steps, such as nofile=1024:1024 (repeatable).
    #[arg(long = "ulimit", value_name = "LIMIT")]
    pub ulimits: Vec<String>,
    /// Attestation, such as type=sbom (repeatable).
    #[arg(long = "attest", value_name = "SPEC")]
    pub attests: Vec<String>,
    /// Provenance attestation, such as mode=max; false switches it off.
    #[arg(long, value_name = "SPEC", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub provenance: Option<String>,
    /// Software bill of materials, by the builder.
    #[arg(long, value_name = "SPEC", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub sbom: Option<String>,
    /// Registry, with or without a path, that all images of the build have to come from (repeatable).
    #[arg(long = "base-registry", value_name = "HOST[/PATH]")]
    pub base_registries: Vec<String>,
    /// BuildKit source policy, a JSON file.
    #[arg(long, value_name = "FILE", env = mlbuild::env_vars::EXPERIMENTAL_BUILDKIT_SOURCE_POLICY)]
    pub source_policy_file: Option<PathBuf>,
    /// How progress is shown.
    #[arg(long, value_name = "STYLE", env = mlbuild::env_vars::BUILDKIT_PROGRESS)]
    pub progress: Option<ProgressArg>,
    /// Where a step of a template fails, show its place in the Dockerfile too.
    #[arg(short, long)]
    pub verbose: bool,
    /// No progress; print only the answer.
    #[arg(short, long)]
    pub quiet: bool,
}

/// `--engine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineArg {
    /// Start a private builder where none is found.
    Auto,
    /// Never start one.
    Off,
}

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressArg {
    /// `tty` on a terminal, else `plain`.
    Auto,
    /// Live lines.
    Tty,
    /// One line per event.
    Plain,
    /// One JSON document per event, as buildx's.
    Rawjson,
    /// One JSON object per event of mlbuild's own: notes, warnings, steps, the error.
    Json,
    /// Nothing.
    Quiet,
}

impl From<ProgressArg> for ProgressMode {
    fn from(arg: ProgressArg) -> Self {
        match arg {
            ProgressArg::Auto => ProgressMode::Auto,
            ProgressArg::Tty => ProgressMode::Tty,
            ProgressArg::Plain => ProgressMode::Plain,
            ProgressArg::Rawjson => ProgressMode::RawJson,
            ProgressArg::Json => ProgressMode::Json,
            ProgressArg::Quiet => ProgressMode::Quiet,
        }
    }
}

/// Where it goes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Where it goes")]
pub struct OutputArgs {
    /// Name of the image (repeatable).
    #[arg(short, long = "tag", value_name = "REFERENCE")]
    pub tags: Vec<String>,
    /// Push it, and print REFERENCE@DIGEST as the registry confirmed it.
    #[arg(long)]
    pub push: bool,
    /// Load it into Docker.
    #[arg(long)]
    pub load: bool,
    /// Other output, such as type=oci,dest=image.tar, type=sif,dest=image.sif for Apptainer, or a folder for the files (repeatable).
    #[arg(short, long = "output", value_name = "SPEC")]
    pub outputs: Vec<String>,
    /// Write the image's final bytes here, so that its digest depends on what it holds and not on the builder: zstd (the default) or gzip, each with :LEVEL, none, or for lazy pulls estargz or zstd:chunked.
    #[arg(long, value_name = "COMPRESSION", num_args = 0..=1, default_missing_value = "zstd", require_equals = true)]
    pub repack: Option<String>,
    /// Registry host that is reached by plain http (repeatable).
    #[arg(long = "insecure-registry", value_name = "HOST[:PORT]")]
    pub insecure_registries: Vec<String>,
    /// Write the builder's answer as JSON.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub metadata_file: Option<PathBuf>,
    /// Write the image's digest.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub iidfile: Option<PathBuf>,
    /// Form of the answer on stdout.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    /// Print what would be built, and stop: no builder is needed.
    #[arg(long, value_name = "WHAT")]
    pub print: Option<Print>,
    /// Say of each decision about the image which flag, or which file and line, it comes from, and stop.
    #[arg(long, conflicts_with_all = ["print", "dry_run"])]
    pub explain: bool,
    /// Do all but the build: compose, resolve, check the lock, and say what would happen.
    #[arg(long)]
    pub dry_run: bool,
}

/// `--print`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Print {
    /// The Dockerfile.
    Dockerfile,
    /// Everything that a build would be asked for, as JSON.
    Plan,
    /// The files that would be sent to the builder and those that wouldn't: size, path, and the line
    /// of an ignore file that decided.
    Context,
    /// The lock's entry for this image.
    Lock,
}

/// What is pinned.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What is pinned")]
pub struct LockArgs {
    /// Lock file.
    #[arg(long = "lock", value_name = "FILE", default_value = "mlbuild.lock", value_hint = ValueHint::FilePath)]
    pub lock_file: PathBuf,
    /// Neither read nor write a lock.
    #[arg(long, conflicts_with_all = ["locked", "frozen", "upgrade"])]
    pub no_lock: bool,
    /// Build from the lock's pins; fail if they would have to change.
    #[arg(long)]
    pub locked: bool,
    /// As --locked, and look nothing up on the network.
    #[arg(long)]
    pub frozen: bool,
    /// Move the pins, all or those named, and say what moved.
    #[arg(long, value_name = "PINS", num_args = 0..=1, require_equals = true, default_missing_value = "all", value_delimiter = ',', conflicts_with_all = ["locked", "frozen"])]
    pub upgrade: Vec<UpgradeArg>,
    /// Run to bind the image to (default: WANDB_RUN_ID, else a new one).
    #[arg(long, value_name = "ID")]
    pub run_id: Option<String>,
    /// Build even if nothing changed since the lock.
    #[arg(long)]
    pub no_skip: bool,
}

/// `--upgrade`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UpgradeArg {
    /// Everything.
    All,
    /// Base images.
    Base,
    /// Debian packages.
    Apt,
    /// Python packages.
    Python,
}
