//! The whole build as a document: what `--print plan` shows and an engine runs.
//!
//! A plan holds no secret: secrets are named by id and by where they come from.

mod place;
mod repack;
pub mod spec;

use std::collections::BTreeMap;
use std::path::PathBuf;

use mlbuild_buildkit::fsutil::Normalise;
use serde::Serialize;

pub use place::Place;
pub use repack::{Compression, Repack};
pub use spec::SpecError;

/// Everything that a build is asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BuildPlan {
    /// Names of the image, in full form.
    pub tags: Vec<String>,
    /// The Dockerfile, with base images pinned.
    pub dockerfile: PlannedDockerfile,
    /// Main build context.
    pub context: Context,
    /// Further contexts by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub named_contexts: BTreeMap<String, Context>,
    /// Base images and the digest each is pinned to.
    pub bases: BTreeMap<String, Option<String>>,
    /// Platforms, `linux/amd64`; empty: the builder's own.
    pub platforms: Vec<String>,
    /// Stage to build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Build arguments.
    pub build_args: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Settings of RUN steps.
    pub run: RunOptions,
    /// Entitlements, `network.host`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entitlements: Vec<String>,
    /// Cache sources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cache_from: Vec<Typed>,
    /// Cache destinations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cache_to: Vec<Typed>,
    /// Steps that are built anew.
    pub no_cache: NoCache,
    /// Secrets of RUN steps: by id, where each comes from.
    pub secrets: BTreeMap<String, SecretSource>,
    /// ssh keys for RUN steps, by id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ssh: BTreeMap<String, SshKeys>,
    /// Attestations by type, `provenance` or `sbom`; `None` switches one off.
    pub attestations: BTreeMap<String, Option<String>>,
    /// Where the result goes.
    pub outputs: Vec<Output>,
    /// Seconds since 1970-01-01 that times are held to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_date_epoch: Option<i64>,
    /// True if nothing but names and contents of files may reach the image: they are sent with
    /// the same times and modes from everywhere.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub same_bits: bool,
    /// How mlbuild writes the final bytes; absent: the builder writes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repack: Option<Repack>,
    /// BuildKit source policy, JSON as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_policy: Option<serde_json::Value>,
    /// Which packages are asked for, and where: for errors that point at a line.
    #[serde(skip)]
    pub asked: AskedFor,
}

impl BuildPlan {
    /// A plan of a Dockerfile that is given nothing: no context, no settings, and no output.
    pub fn of_dockerfile(name: &str, text: String) -> Self {
        Self {
            tags: Vec::new(),
            dockerfile: PlannedDockerfile {
                name: name.to_owned(),
                file_name: "Dockerfile".into(),
                sha256: String::new(),
                text,
                ignore: None,
            },
            context: Context::Empty,
            named_contexts: BTreeMap::new(),
            bases: BTreeMap::new(),
            platforms: Vec::new(),
            target: None,
            build_args: BTreeMap::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            run: RunOptions::default(),
            entitlements: Vec::new(),
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            no_cache: NoCache::Off,
            secrets: BTreeMap::new(),
            ssh: BTreeMap::new(),
            attestations: BTreeMap::new(),
            outputs: Vec::new(),
            source_date_epoch: None,
            same_bits: false,
            repack: None,
            source_policy: None,
            asked: AskedFor::default(),
        }
    }
}

/// The packages that a project asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AskedFor {
    /// The project's folder.
    pub project: PathBuf,
    /// Python packages.
    pub python: Vec<AskedPackage>,
    /// Packages of the distribution.
    pub apt: Vec<AskedPackage>,
}

/// A package, and who asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedPackage {
    /// Its name.
    pub name: String,
    /// `requirements.txt:3`, or a setting: `packages`, `apt`.
    pub origin: String,
}

/// A Dockerfile and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedDockerfile {
    /// What errors call it: a path, or `template python`.
    pub name: String,
    /// Name of the file in its folder, which decides the `.dockerignore` that counts.
    pub file_name: String,
    /// Text that is built; line numbers are those of the original.
    pub text: String,
    /// What of the context is never sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore: Option<IgnoreFile>,
    /// SHA-256 of the text before pinning, hex.
    pub sha256: String,
}

/// The ignore file that counts, with mlbuild's own lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IgnoreFile {
    /// What errors call it.
    pub name: String,
    /// Patterns as in `.dockerignore`.
    pub text: String,
    /// Whether its lines, after mlbuild's own, are those of a file of the project; else they are
    /// the usual ones.
    #[serde(skip)]
    pub is_of_project: bool,
    /// The last of its lines: large files of data that this folder holds.
    #[serde(skip)]
    pub large: String,
}

/// Who signs with ssh keys for a RUN step; the keys themselves never reach the builder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SshKeys {
    /// The socket of an agent that runs.
    Agent(PathBuf),
    /// Files of private keys, for an agent that lives as long as the build.
    Files(Vec<PathBuf>),
}

/// Where files for `COPY` come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Context {
    /// A folder of this machine.
    Folder {
        /// Absolute path.
        path: PathBuf,
    },
    /// A tar archive on standard input.
    Stdin,
    /// Something the builder fetches: git, http(s), `docker-image://`.
    Remote {
        /// Address.
        url: String,
    },
    /// An image in an OCI layout of this machine.
    OciLayout {
        /// Folder with `oci-layout`.
        path: PathBuf,
        /// `sha256:…` in a plan; as typed it may be a tag, or nothing for the only image.
        reference: Option<String>,
    },
    /// No files at all.
    Empty,
}

/// Settings of RUN steps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RunOptions {
    /// `none` or `host`; absent: the builder's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// `host=address` pairs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_hosts: Vec<String>,
    /// Size of /dev/shm in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<u64>,
    /// `name=soft:hard`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<String>,
}

/// Which steps are built anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoCache {
    /// None.
    #[default]
    Off,
    /// All.
    All,
    /// Those of some stages.
    Stages(Vec<String>),
}

/// `type=…` with further `key=value` fields, as buildx writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Typed {
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The other fields.
    pub attrs: BTreeMap<String, String>,
}

/// Where a secret comes from. Its value is read only when the builder asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretSource {
    /// A file.
    File(PathBuf),
    /// A variable of mlbuild's environment.
    Env(String),
    /// The host's settings; made by mlbuild when it is asked for.
    Host(HostSetting),
}

/// A setting of the host that RUN steps may use but no layer keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostSetting {
    /// CA certificates, PEM.
    CaBundle,
    /// pip's configuration with the host's indexes.
    PipConfig,
    /// uv's configuration with the host's indexes.
    UvConfig,
    /// apt's proxies.
    AptConfig,
    /// apt's sources.
    AptSources,
}

/// One place the result goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Output {
    /// BuildKit's exporter: `image`, `moby`, `docker`, `oci`, `local`, `tar`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Attributes of the exporter.
    pub attrs: BTreeMap<String, String>,
    /// File or folder for exporters that send the result here; `-` is stdout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dest: Option<PathBuf>,
}

impl BuildPlan {
    /// What is made equal of files on their way to the builder.
    pub fn normalise(&self) -> Normalise {
        if self.same_bits {
            Normalise {
                mtime: self
                    .source_date_epoch
                    .map(|s| s.saturating_mul(1_000_000_000)),
                modes: true,
                hard_links: true,
            }
        } else {
            Normalise::default()
        }
    }
}

impl Output {
    /// True if the result is written to stdout.
    pub fn is_stdout(&self) -> bool {
        self.dest
            .as_deref()
            .is_some_and(|dest| dest.as_os_str() == "-")
    }
}
