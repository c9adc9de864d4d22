//! `launch-config.yaml`: what an agent is told, in the form of W&B Launch.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::LaunchConfigError;
use super::policy::Policy;
use crate::nearest::nearest;

type Result<T> = std::result::Result<T, LaunchConfigError>;

/// Keys that mean something here.
const KEYS: [&str; 6] = [
    "max_jobs",
    "queues",
    "builder",
    "registry",
    "environment",
    "policy",
];
/// Keys of W&B's own agent that mean nothing without its server, or that the runtime decides.
const OF_WANDB: [&str; 9] = [
    "entity",
    "project",
    "base_url",
    "api_key",
    "secure_mode",
    "verbosity",
    "max_schedulers",
    "stopped_run_timeout",
    "resource",
];
const BUILDER_KEYS: [&str; 2] = ["type", "accelerator"];

/// What an agent is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaunchConfig {
    /// How many jobs it runs at once.
    pub max_jobs: Option<usize>,
    /// The queues that it serves.
    pub queues: Vec<String>,
    /// How it builds images of jobs from code.
    pub builder: Builder,
    /// Where it pushes them: `HOST/NAME`.
    pub registry: Option<String>,
    /// What it lets jobs do on its machine.
    pub policy: Policy,
    /// What the file says and what has no meaning here.
    pub unused: Vec<String>,
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
            match key.as_str() {
                "max_jobs" => config.max_jobs = Some(max_jobs(typed(&key, value)?)?),
                "queues" => config.queues = typed(&key, value)?,
                "builder" => config.builder = builder(typed(&key, value)?, &mut config.unused)?,
                "registry" => config.registry = registry(typed(&key, value)?, &mut config.unused)?,
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

fn builder(table: Map<String, Value>, unused: &mut Vec<String>) -> Result<Builder> {
    const OF_OTHERS: [&str; 6] = [
        "build-context-store",
        "build-job-name",
        "destination",
        "kaniko-config",
        "platform",
        "image",
    ];
    let mut builder = Builder::default();
    for (key, value) in table {
        let name = format!("builder.{key}");
        match key.as_str() {
            "type" => {
                let kind = typed(&name, value.clone());
                builder.kind = kind.map_err(|_| LaunchConfigError::Builder {
                    key: name,
                    value: value.to_string(),
                })?;
            }
            "accelerator" => {
                let mut table: Map<String, Value> = typed(&name, value)?;
                if let Some(base) = table.remove("base_image") {
                    builder.base_image = Some(typed("builder.accelerator.base_image", base)?);
                }
                if let Some(key) = table.keys().next() {
                    return Err(unknown(&format!("{name}.{key}"), key, &["base_image"]));
                }
            }
            key if OF_OTHERS.contains(&key) => unused.push(name),
            key => return Err(unknown(&name, key, &BUILDER_KEYS)),
        }
    }
    Ok(builder)
}

fn registry(table: Map<String, Value>, unused: &mut Vec<String>) -> Result<Option<String>> {
    let mut uri = None;
    for (key, value) in table {
        let name = format!("registry.{key}");
        match key.as_str() {
            "uri" => {
                uri = Some(
                    typed::<String>(&name, value)?
                        .trim_end_matches('/')
                        .to_owned(),
                )
            }
            // Log-ins are those of Docker, whatever the registry's kind.
            "type" => {}
            "repository" | "project" | "region" | "image-name" => unused.push(name),
            key => return Err(unknown(&name, key, &["uri", "type"])),
        }
    }
    Ok(uri)
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
            registry: Some("registry.example/jobs".into()),
            policy: Policy::default(),
            unused: vec![
                "entity".into(),
                "environment.region".into(),
                "environment.type".into(),
            ],
        };
        let mut config = config.unwrap();
        config.unused.sort();
        assert_eq!(config, wanted);
        assert_eq!(LaunchConfig::parse("").unwrap(), LaunchConfig::default());
    }
}
