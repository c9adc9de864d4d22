//! All that is known of an image.

use std::collections::{BTreeMap, BTreeSet};

use mlbuild_manifests::lock::{Derived, LockedBase};
use oci_spec::image::Digest;
use serde::Serialize;
use serde_json::{Value, json};

use super::error::InspectError;
use crate::image::{Account, Contents};
use crate::image_source::Opened;
use crate::pull::origin::SifOrigin;

/// All that is known of an image.
#[derive(Debug, Default, Serialize)]
pub struct InspectReport {
    /// As it was asked for.
    pub image: String,
    /// Who told the documents: `registry`, `path`, `sif` for a file of Apptainer's, or the runtime.
    pub read_from: String,
    /// `NAME@DIGEST`: what a tracker's pointer needs.
    pub pinned: Option<String>,
    /// Digest of the index, where the name means one.
    pub index: Option<Digest>,
    /// By name, as `linux/amd64`.
    pub platforms: BTreeMap<String, PlatformFacts>,
    /// Whether it can be pulled.
    pub registry: RegistryFacts,
    /// The image in this machine's runtime.
    pub local: Option<LocalFacts>,
    /// The entry of a lock that is about it.
    pub lock: Option<LockFacts>,
    /// The image that it was adopted from.
    pub derived_from: Option<Derived>,
    /// As the lock has them, or as the layers do.
    pub packages: Option<PackageFacts>,
    /// Accounts of `/etc/passwd`, where the layers were read.
    pub accounts: Option<Vec<Account>>,
    /// Sorted by id.
    pub runs: Vec<RunFacts>,
}

/// The image of one platform.
#[derive(Debug, Default, Serialize)]
pub struct PlatformFacts {
    /// Digest of the manifest.
    pub manifest: Option<Digest>,
    /// Digest of the configuration.
    pub config: Option<Digest>,
    /// Bytes to fetch.
    pub size: Option<u64>,
    /// How many.
    pub layers: usize,
    /// When, as the configuration says it.
    pub created: Option<String>,
    /// User that the program runs as.
    pub user: Option<String>,
    /// Folder that the program starts in.
    pub workdir: Option<String>,
    /// `ENTRYPOINT`.
    pub entrypoint: Vec<String>,
    /// `CMD`.
    pub command: Vec<String>,
    /// Exposed ports, as `8000/tcp`.
    pub ports: Vec<String>,
    /// Variables, as `NAME=VALUE`.
    pub env: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// What this machine's runtime tells of the image.
#[derive(Clone, Debug, Serialize)]
pub struct LocalFacts {
    /// The runtime, with its version where that is known.
    pub runtime: String,
    /// The image ID.
    pub id: String,
    /// What the ID is the digest of: `config`, `manifest` or `index`.
    pub id_is: &'static str,
    /// `NAME:TAG`.
    pub tags: Vec<String>,
    /// `NAME@DIGEST`, for each registry that it came from or went to.
    pub digests: Vec<String>,
    /// Bytes.
    pub size: u64,
}

/// What the registry says.
#[derive(Debug, Default, Serialize)]
pub struct RegistryFacts {
    /// Whether it has all that a pull needs; unknown where it couldn't be asked.
    pub can_be_pulled: Option<bool>,
    /// Blobs that were asked for.
    pub blobs: Option<usize>,
    /// Blobs that are gone.
    pub missing: Vec<Digest>,
    /// Why it couldn't be asked.
    pub problem: Option<String>,
}

/// What a lock says.
#[derive(Debug, Serialize)]
pub struct LockFacts {
    /// `mlbuild.lock`, or `registry` where the entry is attached to the image.
    pub from: &'static str,
    /// Name of the entry.
    pub entry: String,
    /// Checksum of the entry.
    pub checksum: Option<Digest>,
    /// When the entry was written.
    pub created: String,
    /// Whether the entry is about this image, and not about another of the same name.
    pub is_this_image: bool,
    /// The digest that was published.
    pub digest: Option<Digest>,
    /// Template that the image was built by.
    pub template: Option<String>,
    /// Base images, by digest.
    pub bases: Vec<LockedBase>,
}

/// Packages, and who says so.
#[derive(Debug, Serialize)]
pub struct PackageFacts {
    /// `mlbuild.lock`, `registry`, or `layers`.
    pub from: &'static str,
    /// Debian packages: `NAME:ARCH` and version.
    pub apt: BTreeMap<String, String>,
    /// Python packages: name and version.
    pub python: BTreeMap<String, String>,
    /// Packages of conda's channels: name and version.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub conda: BTreeMap<String, String>,
}

/// A run of the image.
#[derive(Debug, Serialize)]
pub struct RunFacts {
    /// Id of the run.
    pub id: String,
    /// How far it got, where the record was read.
    pub status: Option<&'static str>,
    /// Whether its record lies in mlbuild.runs.
    pub is_recorded: bool,
    /// Whether it is attached to the image.
    pub is_attached: bool,
}

impl InspectReport {
    pub(super) fn new(image: &str) -> Self {
        Self {
            image: image.to_owned(),
            ..Self::default()
        }
    }

    /// The report as scripts get it.
    pub fn json(&self) -> Value {
        let mut value = json!(self);
        let about = value.as_object_mut().expect("a struct is an object");
        if self.accounts.is_none() {
            about.remove("accounts");
        }
        value
    }

    /// Adds the platforms of an image that was opened.
    pub(super) fn add_platforms(&mut self, opened: &Opened) {
        for (name, image) in &opened.images {
            let layers = &image.image.layers;
            let mut facts = PlatformFacts::of(&image.config["config"]);
            facts.created = image.config["created"].as_str().map(str::to_owned);
            // Archives of Docker have no manifest.
            let manifest = image
                .manifest
                .as_ref()
                .map(|_| image.image.manifest.digest());
            facts.manifest = manifest.cloned();
            facts.config = Some(image.image.config.digest().clone());
            facts.size = Some(layers.iter().map(|layer| layer.blob.size()).sum());
            facts.layers = layers.len();
            self.platforms.insert(name.clone(), facts);
        }
    }

    /// Adds what a file for Apptainer says of itself.
    pub(super) fn add_sif(&mut self, origin: &SifOrigin) {
        self.read_from = "sif".to_owned();
        self.pinned = Some(origin.pinned());
        let named = origin.image.digest().and_then(|digest| digest.parse().ok());
        self.index = named.filter(|named| origin.manifest.as_ref() != Some(named));
        let mut facts = PlatformFacts::of(&origin.config);
        facts.manifest.clone_from(&origin.manifest);
        facts.config.clone_from(&origin.config_digest);
        facts.size = Some(origin.size);
        self.platforms.insert(origin.platform.clone(), facts);
    }

    /// Adds what the layers hold.
    pub(super) fn add_contents(&mut self, contents: Contents) {
        self.packages = Some(PackageFacts {
            from: "layers",
            apt: contents.apt,
            python: contents.python,
            conda: contents.conda,
        });
        self.accounts = Some(contents.accounts);
    }

    /// Keeps one platform.
    ///
    /// # Errors
    /// Where the image isn't there for it.
    pub(super) fn keep(&mut self, wanted: Option<&str>) -> Result<(), InspectError> {
        let Some(wanted) = wanted else {
            return Ok(());
        };
        let all: Vec<String> = self.platforms.keys().cloned().collect();
        self.platforms.retain(|name, _| name == wanted);
        if !self.platforms.is_empty() {
            return Ok(());
        }
        Err(InspectError::NoSuchPlatform {
            image: self.image.clone(),
            wanted: wanted.to_owned(),
            available: all,
        })
    }

    /// Every digest that means this image.
    pub(super) fn digests(&self) -> BTreeSet<&str> {
        let platforms = self.platforms.values();
        let parts = platforms.flat_map(|p| p.manifest.iter().chain(&p.config));
        let mut all: BTreeSet<&str> = parts.chain(&self.index).map(AsRef::as_ref).collect();
        let named = self.local.iter().flat_map(|local| &local.digests);
        let named = named.chain(&self.pinned);
        all.extend(named.filter_map(|name| Some(name.split_once('@')?.1)));
        if self.read_from != "registry" {
            all.extend(self.local.iter().map(|local| local.id.as_str()));
        }
        all
    }
}

impl PlatformFacts {
    /// From the part of a configuration that says how containers are started.
    pub(super) fn of(config: &Value) -> Self {
        let word = |key: &str| {
            let word = config[key].as_str().filter(|word| !word.is_empty());
            word.map(str::to_owned)
        };
        let list = |key: &str| -> Vec<String> {
            let items = config[key].as_array().into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let keys = |key: &str| -> Vec<String> {
            let items = config[key].as_object().into_iter().flatten();
            items.map(|(key, _)| key.clone()).collect()
        };
        let labels = config["Labels"].as_object().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            user: word("User"),
            workdir: word("WorkingDir"),
            entrypoint: list("Entrypoint"),
            command: list("Cmd"),
            ports: keys("ExposedPorts"),
            env: list("Env"),
            labels: labels
                .map(|(key, value)| (key.clone(), text(value)))
                .collect(),
            ..Self::default()
        }
    }
}
