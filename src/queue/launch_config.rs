//! `launch-config.yaml`: what an agent is told, in the form of W&B Launch.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::LaunchConfigError;
use super::policy::Policy;
use crate::nearest::nearest;

type Result<T> = std::result::Result<T, LaunchConfigError>;

/// Keys that mean something here.
const KEYS: [&str; 7] = [
    "entity",
    "max_jobs",
    "queues",
    "builder",
    "registry",
    "environment",
    "policy",
];
/// Keys of W&B's own agent that mean nothing without its server, or that the runtime decides.
const OF_WANDB: [&str; 8] = [
    "project",
    "base_url",
    "api_key",
    "secure_mode",
    "verbosity",
    "max_schedulers",
    "stopped_run_timeout",
    "resource",
];
const BUILDER_KEYS: [&str; 4] = ["type", "accelerator", "destination", "uri"];

/// What an agent is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaunchConfig {
    /// How many jobs it runs at once.
    pub max_jobs: Option<usize>,
    /// The queues that it serves.
    pub queues: Vec<String>,
    /// How it builds images of jobs from code.
    pub builder: Builder,
    /// Where it pushes them.
    pub registry: Option<Destination>,
    /// What `${entity_name}` stands for in its jobs.
    pub entity: Option<String>,
    /// What it lets jobs do on its machine.
    pub policy: Policy,
    /// What the file says and what has no meaning here.
    pub unused: Vec<String>,
    /// What the file says and what is done in another way here, as a sentence each.
    pub notes: Vec<String>,
}

/// Where images are pushed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The repository: `HOST/NAME`.
    pub repository: String,
}

impl Destination {
    /// The image of an inputs' hash.
    pub fn image(&self, hash: &str) -> String {
        format!("{}:{hash}", self.repository)
    }
}

/// How images are built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Builder {
    /// With what.
    pub kind: BuilderKind,
    /// Base of the images.
    pub base_image: Option<String>,
}

/// What builds images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuilderKind {
    /// Docker's own builder; the image stays in its store, or is pushed where a registry is named.
    #[default]
    Docker,
    /// Nothing: only jobs whose image is there are run.
    Noop,
    /// Any BuildKit; the image is pushed.
    Buildkit,
}

impl LaunchConfig {
    /// The file that is read where none is named: mlbuild's own, else W&B's.
    pub fn find(home: &Path) -> Option<PathBuf> {
        let config = home.join(".config");
        let files = ["mlbuild", "wandb"].map(|name| config.join(name).join("launch-config.yaml"));
        files.into_iter().find(|file| file.is_file())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Where it can't be read, isn't YAML, or has a key or value that isn't known.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| LaunchConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|source| LaunchConfigError::In {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// Reads a text.
    ///
    /// # Errors
    /// As [`LaunchConfig::read`].
    pub fn parse(text: &str) -> Result<Self> {
        let mut config = Self::default();
        if text.trim().is_empty() {
            return Ok(config);
        }
        let document: Map<String, Value> =
            serde_saphyr::from_str(text).map_err(|error: serde_saphyr::Error| {
                LaunchConfigError::Yaml(error.without_snippet().to_string())
            })?;
        for (key, value) in document {
            // A key without a value is as if it weren't there: W&B's Helm chart writes such.
            if value.is_null() && KEYS.contains(&key.as_str()) {
                continue;
            }
            match key.as_str() {
                "max_jobs" => config.max_jobs = Some(max_jobs(typed(&key, value)?)?),
                "entity" => config.entity = Some(typed(&key, value)?),
                "queues" => config.queues = typed(&key, value)?,
                "builder" => config.read_builder(typed(&key, value)?)?,
                "registry" => config.read_registry(typed(&key, value)?)?,
                "policy" => config.policy = typed(&key, value)?,
                "environment" => environment(&typed(&key, value)?, &mut config.unused),
                key if OF_WANDB.contains(&key) => config.unused.push(key.to_owned()),
                key => return Err(unknown(key, key, &KEYS)),
            }
        }
        Ok(config)
    }
}

/// As W&B's agent has it: -1 is as many as there are.
fn max_jobs(written: i64) -> Result<usize> {
    match written {
        -1 => Ok(usize::MAX),
        1.. => Ok(usize::try_from(written).unwrap_or(usize::MAX)),
        _ => Err(LaunchConfigError::MaxJobs(written)),
    }
}

/// Keys of `builder` that only Kaniko or W&B's own build jobs have a use for.
const BUILDER_OF_WANDB: [&str; 9] = [
    "build-context-store",
    "build-job-name",
    "image",
    "kaniko-config",
    "kaniko-image",
    "platform",
    "repository",
    "secret-key",
    "secret-name",
];

impl LaunchConfig {
    fn read_builder(&mut self, table: Map<String, Value>) -> Result<()> {
        let (mut named, mut uri) = (None, None);
        for (key, value) in table {
            let name = format!("builder.{key}");
            match key.as_str() {
                _ if value.is_null() => {}
                "type" => self.builder.kind = self.builder_kind(&name, &value)?,
                "accelerator" => self.builder.base_image = base_image(&name, value)?,
                "destination" => named = Some(self.repository(&name, value)?),
                // So W&B's page writes it for Google Cloud and Azure.
                "uri" => uri = Some(self.repository(&name, value)?),
                key if BUILDER_OF_WANDB.contains(&key) => self.unused.push(name),
                key => return Err(unknown(&name, key, &BUILDER_KEYS)),
            }
        }
        if named.is_some() && uri.is_some() {
            self.notes
                .push("builder.uri: builder.destination is used in its place".to_owned());
        }
        if let Some(repository) = named.or(uri) {
            if self.registry.is_some() {
                self.notes
                    .push("registry.uri: builder.destination is used in its place".to_owned());
            }
            self.registry = Some(Destination { repository });
        }
        Ok(())
    }

    fn builder_kind(&mut self, name: &str, value: &Value) -> Result<BuilderKind> {
        if value.as_str() == Some("kaniko") {
            let note = "builder.type: for kaniko, images are built with the BuildKit that this agent finds";
            self.notes.push(note.to_owned());
            return Ok(BuilderKind::Buildkit);
        }
        typed(name, value.clone()).map_err(|_| LaunchConfigError::Builder {
            key: name.to_owned(),
            value: value.to_string(),
        })
    }

    fn read_registry(&mut self, table: Map<String, Value>) -> Result<()> {
        for (key, value) in table {
            let name = format!("registry.{key}");
            match key.as_str() {
                _ if value.is_null() => {}
                "uri" => {
                    let place = self.repository(&name, value)?;
                    if self.registry.is_some() {
                        self.notes.push(
                            "registry.uri: builder.destination is used in its place".to_owned(),
                        );
                    } else {
                        // Below a place that has several names.
                        let repository = format!("{place}/mlbuild-job");
                        self.registry = Some(Destination { repository });
                    }
                }
                "type" => {
                    typed::<String>(&name, value)?;
                    self.notes.push(
                        "registry.type: registries' log-ins are Docker's, whatever the type"
                            .to_owned(),
                    );
                }
                "repository" | "project" | "region" | "image-name" => self.unused.push(name),
                key => return Err(unknown(&name, key, &["uri", "type"])),
            }
        }
        Ok(())
    }

    /// A repository without a scheme and a tag, which W&B's agent takes away too: an image's tag is the
    /// hash of what it is built of.
    fn repository(&mut self, name: &str, value: Value) -> Result<String> {
        let written: String = typed(name, value)?;
        let bare = ["https://", "http://"]
            .into_iter()
            .find_map(|scheme| written.strip_prefix(scheme));
        let bare = bare.unwrap_or(&written).trim_end_matches('/');
        let last = bare.rfind('/').map_or(0, |at| at + 1);
        // A colon before any slash is a port's.
        let tag = bare[last..]
            .find(':')
            .filter(|_| last > 0)
            .map(|at| last + at);
        let (repository, tag) = match tag {
            Some(at) => (&bare[..at], Some(&bare[at + 1..])),
            None => (bare, None),
        };
        if let Some(tag) = tag.filter(|tag| !tag.is_empty()) {
            self.notes.push(format!(
                "{name}: the tag `{tag}` isn't used: an image's tag is the hash of its code"
            ));
        }
        let repository = repository.trim_end_matches('/');
        let sample = format!("{repository}/image:tag");
        match mlbuild_templates::reference::parse(&sample) {
            Ok(_) if !repository.is_empty() => Ok(repository.to_owned()),
            _ => Err(LaunchConfigError::Type {
                key: name.to_owned(),
                why: format!("`{written}` is no place of a registry; write HOST/NAME"),
            }),
        }
    }
}

fn base_image(name: &str, value: Value) -> Result<Option<String>> {
    let mut table: Map<String, Value> = typed(name, value)?;
    let base = table.remove("base_image").filter(|base| !base.is_null());
    if let Some(key) = table.keys().next() {
        return Err(unknown(&format!("{name}.{key}"), key, &["base_image"]));
    }
    base.map(|base| typed("builder.accelerator.base_image", base))
        .transpose()
}

/// W&B's agent logs in to a cloud with it. Here registries' log-ins are Docker's.
fn environment(table: &Map<String, Value>, unused: &mut Vec<String>) {
    let local = table.get("type").and_then(Value::as_str) == Some("local");
    let others = table.keys().filter(|key| !(local && *key == "type"));
    unused.extend(others.map(|key| format!("environment.{key}")));
}

fn typed<T: serde::de::DeserializeOwned>(key: &str, value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| {
        // serde's name for it is Rust's.
        let why = error.to_string().replace("i64", "a whole number");
        LaunchConfigError::Type {
            key: key.to_owned(),
            why,
        }
    })
}

fn unknown(shown: &str, key: &str, known: &'static [&'static str]) -> LaunchConfigError {
    LaunchConfigError::UnknownKey {
        key: shown.to_owned(),
        near: nearest(key, known.iter().copied()),
        known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentations_examples_are_read() {
        let config = LaunchConfig::parse(
            "max_jobs: 3\nqueues:\n  - gpu\n  - cpu\nbuilder:\n  type: noop\n  accelerator:\n    base_image: tensorflow/tensorflow:latest-gpu\nregistry:\n  type: ecr\n  uri: registry.example/jobs/\nenvironment:\n  type: aws\n  region: us-east-1\nentity: me\n",
        );
        let wanted = LaunchConfig {
            max_jobs: Some(3),
            queues: vec!["gpu".into(), "cpu".into()],
            builder: Builder {
                kind: BuilderKind::Noop,
                base_image: Some("tensorflow/tensorflow:latest-gpu".into()),
            },
            registry: Some(Destination {
                repository: "registry.example/jobs/mlbuild-job".into(),
            }),
            entity: Some("me".into()),
            policy: Policy::default(),
            notes: vec![
                "registry.type: registries' log-ins are Docker's, whatever the type".into(),
            ],
            unused: vec!["environment.region".into(), "environment.type".into()],
        };
        let mut config = config.unwrap();
        config.unused.sort();
        assert_eq!(config, wanted);
        assert_eq!(LaunchConfig::parse("").unwrap(), LaunchConfig::default());
    }

    /// The examples of W&B's page "Set up launch agent": what becomes of each key.
    #[test]
    fn each_documented_key_is_used_or_named() {
        let read = |text: &str| {
            let config =
                LaunchConfig::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let to = config
                .registry
                .map_or("-".to_owned(), |to| to.image("HASH"));
            let mut unused = config.unused;
            unused.sort();
            format!(
                "{:?} {to}\n  unused: {}\n  {}",
                config.builder.kind,
                unused.join(" "),
                config.notes.join("\n  ")
            )
        };
        insta::assert_snapshot!([
            "environment:\n  type: aws\n  region: eu-1\nbuilder:\n  type: kaniko\n  destination: 1.ecr.eu-1.amazonaws.com/name\n  build-context-store: s3://bucket/path\n",
            "environment:\n  type: gcp\n  region: eu-1\n  project: p\nbuilder:\n  type: docker\n  uri: eu-1-docker.pkg.dev/p/repo/name\n  build-context-store: gs://bucket/path\n",
            "environment:\n  type: azure\nbuilder:\n  type: kaniko\n  destination: https://me.azurecr.io/name\n  build-context-store: https://store.blob.core.windows.net/box\n  kaniko-image: kaniko:1\n",
            "environment:\n  type: local\nregistry:\n  type: acr\n  uri: https://me.azurecr.io/name:v1\nbuilder:\n  type: buildkit\n  secret-name: s\n  secret-key: k\n",
            "queues: [q]\nregistry:\n  type:\n  uri:\nbuilder:\n  type: noop\n  build-context-store:\nenvironment:\n",
            "registry:\n  uri: localhost:5000\n",
            "registry:\n  uri: r.example/a\nbuilder:\n  destination: r.example:5000/b:c\n  uri: r.example/d\n",
        ]
        .map(read)
        .join("\n"));
    }

    #[test]
    fn a_place_that_is_none_is_refused_by_its_key() {
        for (text, wanted) in [
            ("builder: {destination: ''}", "builder.destination"),
            ("builder: {uri: 'a b/c'}", "builder.uri"),
            ("registry: {uri: 'https://'}", "registry.uri"),
            ("builder: {type: kanikoo}", "builder.type"),
            ("builder: {dest: a/b}", "builder.dest"),
        ] {
            let said = LaunchConfig::parse(text).unwrap_err().to_string();
            assert!(said.contains(wanted), "{text}: {said}");
        }
    }
}
