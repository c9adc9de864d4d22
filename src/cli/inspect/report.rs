//! All that is known of an image, as scripts get it.

use std::collections::{BTreeMap, BTreeSet};

use mlbuild_manifests::lock::{Derived, LockedBase};
use mlbuild_templates::reference;
use oci_spec::image::Digest;
use serde::Serialize;
use serde_json::{Value, json};

use super::local::{Held, LocalFacts};
use super::remote::Found;
use crate::error::{CommandError, CommandResult};
use crate::image::{Account, Contents, is_index};
use crate::image_source::Opened;

/// The answer.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// As it was asked for.
    pub(super) image: String,
    /// Who told the documents: `registry`, `path`, or the runtime.
    pub(super) read_from: String,
    /// `NAME@DIGEST`: what a tracker's pointer needs.
    pub(super) pinned: Option<String>,
    /// Digest of the index, where the name means one.
    pub(super) index: Option<Digest>,
    pub(super) platforms: BTreeMap<String, PlatformFacts>,
    pub(super) registry: RegistryFacts,
    pub(super) local: Option<LocalFacts>,
    pub(super) lock: Option<LockFacts>,
    pub(super) derived_from: Option<Derived>,
    pub(super) packages: Option<PackageFacts>,
    /// Accounts of `/etc/passwd`, where the layers were read.
    pub(super) accounts: Option<Vec<Account>>,
    pub(super) runs: Vec<RunFacts>,
}

/// The image of one platform.
#[derive(Debug, Default, Serialize)]
pub(super) struct PlatformFacts {
    pub(super) manifest: Option<Digest>,
    pub(super) config: Option<Digest>,
    /// Bytes to fetch.
    pub(super) size: Option<u64>,
    pub(super) layers: usize,
    pub(super) created: Option<String>,
    pub(super) user: Option<String>,
    pub(super) workdir: Option<String>,
    pub(super) entrypoint: Vec<String>,
    pub(super) command: Vec<String>,
    pub(super) ports: Vec<String>,
    pub(super) env: Vec<String>,
    pub(super) labels: BTreeMap<String, String>,
}

/// What the registry says.
#[derive(Debug, Default, Serialize)]
pub(super) struct RegistryFacts {
    /// Whether it has all that a pull needs; unknown where it couldn't be asked.
    pub(super) can_be_pulled: Option<bool>,
    /// Blobs that were asked for.
    pub(super) blobs: Option<usize>,
    /// Blobs that are gone.
    pub(super) missing: Vec<Digest>,
    pub(super) problem: Option<String>,
}

/// What a lock says.
#[derive(Debug, Serialize)]
pub(super) struct LockFacts {
    /// `mlbuild.lock`, or `registry` where the entry is attached to the image.
    pub(super) from: &'static str,
    pub(super) entry: String,
    pub(super) checksum: Option<Digest>,
    pub(super) created: String,
    /// Whether the entry is about this image, and not about another of the same name.
    pub(super) is_this_image: bool,
    /// The digest that was published.
    pub(super) digest: Option<Digest>,
    pub(super) template: Option<String>,
    pub(super) bases: Vec<LockedBase>,
}

/// Packages, and who says so.
#[derive(Debug, Serialize)]
pub(super) struct PackageFacts {
    /// `mlbuild.lock`, `registry`, or `layers`.
    pub(super) from: &'static str,
    pub(super) apt: BTreeMap<String, String>,
    pub(super) python: BTreeMap<String, String>,
}

/// A run of the image.
#[derive(Debug, Serialize)]
pub(super) struct RunFacts {
    pub(super) id: String,
    /// How far it got, where the record was read.
    pub(super) status: Option<&'static str>,
    /// Whether its record lies in mlbuild.runs.
    pub(super) is_recorded: bool,
    /// Whether it is attached to the image.
    pub(super) is_attached: bool,
}

impl Report {
    pub(super) fn new(image: &str) -> Self {
        Self {
            image: image.to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn json(&self) -> Value {
        let mut value = json!(self);
        let about = value.as_object_mut().expect("a struct is an object");
        if self.accounts.is_none() {
            about.remove("accounts");
        }
        value
    }

    /// Adds what the registry told.
    pub(super) fn add_remote(&mut self, found: &Found) {
        let (registry, repository) = (found.reference.registry(), found.reference.repository());
        let digest = found.top.digest();
        self.pinned = Some(format!("{registry}/{repository}@{digest}"));
        self.index = is_index(found.top.media_type()).then(|| digest.clone());
        self.add_platforms(&found.opened);
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

    /// Adds what the runtime told, where nobody else tells more.
    pub(super) fn add_local(&mut self, held: &Held) {
        let (facts, told) = (&held.facts, &held.told);
        // An image may be known by several names.
        let named = facts.digests.iter();
        let asked = named.clone().find(|name| is_same_place(name, &self.image));
        self.pinned = asked.or(facts.digests.first()).cloned();
        let mut platform = PlatformFacts::of(&told["Config"]);
        platform.created = told["Created"].as_str().map(str::to_owned);
        platform.layers = told["RootFS"]["Layers"].as_array().map_or(0, Vec::len);
        let id = facts.id.parse().ok();
        match facts.id_is {
            "config" => platform.config = id,
            "manifest" => platform.manifest = id,
            _ => self.index = id,
        }
        let word = |key: &str| told[key].as_str().filter(|word| !word.is_empty());
        let os = word("Os").unwrap_or("linux");
        let arch = word("Architecture").unwrap_or("unknown");
        let name = match word("Variant") {
            // As everywhere: arm64's only variant isn't named.
            Some(variant) if arch != "arm64" => format!("{os}/{arch}/{variant}"),
            _ => format!("{os}/{arch}"),
        };
        self.platforms.insert(name, platform);
    }

    /// Adds what the layers hold.
    pub(super) fn add_contents(&mut self, contents: Contents) {
        self.packages = Some(PackageFacts {
            from: "layers",
            apt: contents.apt,
            python: contents.python,
        });
        self.accounts = Some(contents.accounts);
    }

    /// Keeps one platform.
    ///
    /// # Errors
    /// Where the image isn't there for it.
    pub(super) fn keep(&mut self, wanted: Option<&str>) -> CommandResult {
        let Some(wanted) = wanted else {
            return Ok(());
        };
        let all: Vec<String> = self.platforms.keys().cloned().collect();
        self.platforms.retain(|name, _| name == wanted);
        if !self.platforms.is_empty() {
            return Ok(());
        }
        let (image, all) = (&self.image, all.join(", "));
        Err(
            CommandError::user(format!("{image} has no image for {wanted}; it has {all}"))
                .hint("leave --platform out"),
        )
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

/// Whether two references name the same repository.
fn is_same_place(a: &str, b: &str) -> bool {
    let place = |text: &str| {
        let reference = reference::parse(text).ok()?;
        Some((
            reference.registry().to_owned(),
            reference.repository().to_owned(),
        ))
    };
    place(a).is_some() && place(a) == place(b)
}

impl PlatformFacts {
    /// From the part of a configuration that says how containers are started.
    fn of(config: &Value) -> Self {
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
