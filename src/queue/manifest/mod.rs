//! Kubernetes manifests as W&B's queues have them: the configuration is the object that is made for each
//! job, with macros in it and with parts left out that the agent fills in.
//!
//! What is filled in follows W&B's agent (`wandb.sdk.launch.runner.kubernetes_runner`): a configuration
//! without a kind is a `batch/v1` Job, a Job isn't tried again and never restarts its container, and the
//! first container of a Job runs the job's image.

mod error;
mod fill;
mod path;
mod pods;

use serde_json::{Map, Value};

pub use error::ManifestError;
pub use fill::{JobObject, KEPT_ANNOTATION, ObjectFacts};
pub(super) use pods::is_pod_spec;

use super::macros::JobFacts;
use super::secret;

/// Keys at the top that only a manifest has.
const SIGNS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "namespace"];

/// Keys of W&B's own agent for which there is no counterpart, and why.
const OF_WANDB: [(&str, &str); 7] = [
    ("apiversion", "write apiVersion"),
    (
        "additional_services",
        "an agent makes one object for a job: what each job needs beside it goes into its pod (a container of \
         initContainers with restartPolicy Always), what all jobs share is made once, with kubectl",
    ),
    (
        "wait_for_ready",
        "an agent makes one object for a job, and waits for no others",
    ),
    (
        "wait_timeout",
        "an agent makes one object for a job, and waits for no others",
    ),
    (
        "configFile",
        "the agent is told which cluster when it is started",
    ),
    (
        "configContext",
        "the agent is told which cluster when it is started",
    ),
    (
        "plural",
        "the cluster says how objects of a kind are asked for",
    ),
];

/// What a queue has made for each of its jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Group and version: `batch/v1`.
    pub api_version: String,
    /// The kind: `Job`.
    pub kind: String,
    /// The namespace; `None`: the agent's.
    pub namespace: Option<String>,
    /// The object, with `apiVersion` and `kind`, without a namespace.
    tree: Map<String, Value>,
}

impl Manifest {
    /// Whether a configuration is a manifest, by its keys.
    pub(super) fn is_one(tree: &Map<String, Value>) -> bool {
        SIGNS.iter().any(|sign| tree.contains_key(*sign))
    }

    /// Reads one.
    ///
    /// # Errors
    /// Where it has no form that an object can have, or holds a secret.
    pub(super) fn of(mut tree: Map<String, Value>) -> Result<Self, ManifestError> {
        for (key, why) in OF_WANDB {
            if tree.contains_key(key) {
                return Err(ManifestError::NoCounterpart { key, why });
            }
        }
        let mut text = |key: &'static str| match tree.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(ManifestError::shape(key, "a text")),
        };
        let api_version = text("apiVersion")?.unwrap_or_else(|| "batch/v1".to_owned());
        let kind = text("kind")?.unwrap_or_else(|| "Job".to_owned());
        // W&B has it at the top too.
        let beside = text("namespace")?;
        let mut named = None;
        for key in ["metadata", "spec"] {
            match tree.get_mut(key) {
                None => {}
                Some(Value::Object(table)) if key == "metadata" => {
                    named = table.remove("namespace")
                }
                Some(Value::Object(_)) => {}
                Some(_) => return Err(ManifestError::shape(key, "a table")),
            }
        }
        let named = match named {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => return Err(ManifestError::shape("metadata.namespace", "a text")),
        };
        let manifest = Self {
            namespace: named.or(beside),
            api_version,
            kind,
            tree,
        };
        manifest.refuse_secrets()?;
        Ok(manifest)
    }

    /// Holds the manifest against what every job makes of it.
    ///
    /// # Errors
    /// As [`Manifest::object`].
    pub(super) fn check(&self) -> Result<(), ManifestError> {
        let facts = JobFacts {
            image_uri: "job/image".to_owned(),
            run_id: "run".to_owned(),
            project_name: "project".to_owned(),
            entry_point: "command".to_owned(),
            entity_name: Some("entity".to_owned()),
        };
        let job = ObjectFacts {
            facts: &facts,
            command: &[],
            name: "job".to_owned(),
            namespace: "default",
            labels: &[],
            env: &[],
        };
        self.object(&job).map(drop)
    }

    /// The name of its kind as `kubectl` has it: `Job.batch`, `Pod`.
    pub fn resource(&self) -> String {
        resource(&self.api_version, &self.kind)
    }

    /// Whether it is a `batch` Job.
    pub fn is_job(&self) -> bool {
        self.resource() == "Job.batch"
    }

    /// The manifest with what a launch sets, `PATH=VALUE`.
    ///
    /// # Errors
    /// Where there is no such place, or it isn't the queue's to set.
    pub(super) fn set(mut self, overrides: &[&str]) -> Result<Self, ManifestError> {
        for text in overrides {
            let (path, value) = path::read(text)?;
            if let [path::Step::Key(key)] = &path[..1]
                && matches!(key.as_str(), "apiVersion" | "kind" | "namespace" | "status")
            {
                return Err(ManifestError::NotToSet {
                    path: (*text).to_owned(),
                });
            }
            let mut tree = Value::Object(self.tree);
            path::set(&mut tree, &path, value, text)?;
            let Value::Object(tree) = tree else {
                return Err(ManifestError::shape(text, "a table"));
            };
            if tree
                .get("metadata")
                .is_some_and(|of| of.get("namespace").is_some())
            {
                return Err(ManifestError::NotToSet {
                    path: (*text).to_owned(),
                });
            }
            self.tree = tree;
        }
        self.refuse_secrets()?;
        Ok(self)
    }

    /// Everybody who may launch reads a queue's configuration.
    fn refuse_secrets(&self) -> Result<(), ManifestError> {
        let mut found = None;
        look_for_secrets(&Value::Object(self.tree.clone()), "", &mut found);
        match found {
            Some(place) => Err(ManifestError::Secret { place }),
            None => Ok(()),
        }
    }
}

/// The name of a kind as `kubectl` has it.
pub(super) fn resource(api_version: &str, kind: &str) -> String {
    match api_version.split_once('/') {
        Some((group, _)) => format!("{kind}.{group}"),
        None => kind.to_owned(),
    }
}

fn look_for_secrets(value: &Value, place: &str, found: &mut Option<String>) {
    match value {
        Value::Object(table) => {
            let text = |key: &str| table.get(key).and_then(Value::as_str);
            // A variable of a container.
            if let (Some(name), Some(value)) = (text("name"), text("value"))
                && secret::is_one(name, value)
            {
                found.get_or_insert(format!("{place} (variable {name})"));
            }
            for (key, value) in table {
                let place = path::below(place, key);
                look_for_secrets(value, &place, found);
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                look_for_secrets(item, &format!("{place}[{n}]"), found);
            }
        }
        Value::String(text) if secret::holds_one(text) => {
            found.get_or_insert(place.to_owned());
        }
        _ => {}
    }
}

/// A path that a queue lets a launch set, as `overrides` names it.
///
/// # Errors
/// Where it is none.
pub(super) fn check_path(path: &str) -> Result<(), ManifestError> {
    path::read(&format!("{path}=0")).map(drop)
}

/// Whether an override sets a place at or below one of `allowed`.
pub(super) fn is_below(text: &str, allowed: &[String]) -> bool {
    let Ok((path, _)) = path::read(text) else {
        return false;
    };
    allowed.iter().any(|allowed| {
        path::read(&format!("{allowed}=0")).is_ok_and(|(allowed, _)| path.starts_with(&allowed))
    })
}

#[cfg(test)]
mod tests;
