//! A manifest becomes the object of one job.

use serde_json::{Map, Value, json};

use super::pods::{containers, each_pod, each_pod_spec};
use super::{Manifest, ManifestError, path};
use crate::queue::macros::{self, JobFacts};

/// Seconds that W&B's agent has a finished Job kept where the queue says nothing.
const KEPT_SECONDS: i64 = 60;
/// The annotation with the seconds that a finished Job is kept: the agent sets them once its end is
/// written down.
pub const KEPT_ANNOTATION: &str = "mlbuild/ttl-after-recorded";

/// What an object is filled in with.
#[derive(Debug)]
pub struct ObjectFacts<'a> {
    /// What macros stand for.
    pub facts: &'a JobFacts,
    /// The job's command; empty: the image's own.
    pub command: &'a [String],
    /// The object's name, where the manifest has none.
    pub name: String,
    /// The agent's own namespace.
    pub namespace: &'a str,
    /// Labels of the object and of its pods.
    pub labels: &'a [(&'a str, String)],
    /// Variables of the containers that run the job's image.
    pub env: &'a [(&'a str, String)],
}

/// What is made for a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobObject {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// All of it.
    pub object: Value,
    /// The container that runs the job's image, whose exit code is the job's.
    pub container: String,
    /// What was decided over the manifest's head, as a sentence each.
    pub notes: Vec<String>,
}

impl Manifest {
    /// The object of a job.
    ///
    /// # Errors
    /// A macro that stands for nothing; no container that runs the job's image.
    pub fn object(&self, job: &ObjectFacts<'_>) -> Result<JobObject, ManifestError> {
        let mut root = Value::Object(self.tree.clone());
        fill_macros(&mut root, "", job.facts)?;
        let mut notes = Vec::new();
        let table = root.as_object_mut().expect("it was made as a table");
        if self.is_job() {
            self.job_defaults(table)?;
        }
        name_containers(&mut root);
        self.give_image(&mut root, &job.facts.image_uri, &mut notes)?;
        let container = fill_containers(&mut root, job);
        each_pod_spec(&mut root, &mut |spec| {
            // What a service account may do is no part of a job.
            if !spec.contains_key("serviceAccountName") && !spec.contains_key("serviceAccount") {
                spec.entry("automountServiceAccountToken")
                    .or_insert(json!(false));
            }
        });
        each_pod(&mut root, &mut |holder| label(holder, job.labels));
        let table = root.as_object_mut().expect("as above");
        label(table, job.labels);
        table.insert("apiVersion".into(), json!(self.api_version));
        table.insert("kind".into(), json!(self.kind));
        let namespace = match &self.namespace {
            Some(name) => filled_text(name, "metadata.namespace", job.facts)?,
            None => job.namespace.to_owned(),
        };
        let metadata = metadata(table);
        if metadata.remove("generateName").is_some() {
            notes
                .push("metadata.generateName isn't used: an object is named by its job".to_owned());
        }
        let named = metadata.get("name").and_then(Value::as_str).map(as_name);
        let name = named
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| job.name.clone());
        metadata.insert("name".into(), json!(name));
        metadata.insert("namespace".into(), json!(namespace));
        Ok(JobObject {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            namespace,
            name,
            object: root,
            container: container.ok_or_else(|| ManifestError::NoContainer {
                kind: self.resource(),
            })?,
            notes,
        })
    }

    /// What W&B's agent gives a Job that doesn't say otherwise.
    fn job_defaults(&self, root: &mut Map<String, Value>) -> Result<(), ManifestError> {
        let spec = table_in(root, "spec", "spec")?;
        spec.entry("backoffLimit").or_insert(json!(0));
        // The cluster would remove it by itself, written down or not.
        let kept = match spec.remove("ttlSecondsAfterFinished") {
            None => json!(KEPT_SECONDS),
            Some(seconds) => seconds,
        };
        let template = table_in(spec, "template", "spec.template")?;
        let pod = table_in(template, "spec", "spec.template.spec")?;
        pod.entry("restartPolicy").or_insert(json!("Never"));
        let list = pod.entry("containers").or_insert_with(|| json!([{}]));
        if list.as_array().is_none_or(Vec::is_empty) {
            return Err(ManifestError::shape(
                "spec.template.spec.containers",
                "a list with one container or more",
            ));
        }
        if !kept.is_null() {
            let annotations = table_in(metadata(root), "annotations", "metadata.annotations")?;
            annotations.insert(KEPT_ANNOTATION.into(), json!(kept.to_string()));
        }
        Ok(())
    }

    /// Has containers run the job's image: those that name it or none; else the first one of a Job.
    fn give_image(
        &self,
        root: &mut Value,
        image: &str,
        notes: &mut Vec<String>,
    ) -> Result<(), ManifestError> {
        let mut is_there = false;
        each_pod_spec(root, &mut |spec| {
            for container in containers(spec) {
                let own = container.entry("image").or_insert(json!(image));
                is_there |= own == image;
            }
        });
        if is_there {
            return Ok(());
        }
        let first = root.pointer_mut("/spec/template/spec/containers/0");
        match first
            .filter(|_| self.is_job())
            .and_then(Value::as_object_mut)
        {
            Some(container) => {
                let before = container.insert("image".into(), json!(image));
                let before = before
                    .as_ref()
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned();
                notes.push(format!(
                    "the first container runs the job's image and not {before}, as W&B's agent has it"
                ));
                Ok(())
            }
            None => Err(ManifestError::NoContainer {
                kind: self.resource(),
            }),
        }
    }
}

/// Fills macros in, in every text of a value.
fn fill_macros(value: &mut Value, place: &str, facts: &JobFacts) -> Result<(), ManifestError> {
    match value {
        Value::String(text) => {
            *text = filled_text(text, place, facts)?;
            Ok(())
        }
        Value::Array(items) => {
            let mut items = items.iter_mut().enumerate();
            items.try_for_each(|(n, item)| fill_macros(item, &format!("{place}[{n}]"), facts))
        }
        Value::Object(table) => {
            let mut entries = table.iter_mut();
            entries.try_for_each(|(key, value)| fill_macros(value, &path::below(place, key), facts))
        }
        _ => Ok(()),
    }
}

fn filled_text(text: &str, place: &str, facts: &JobFacts) -> Result<String, ManifestError> {
    macros::fill(text, facts).map_err(|source| ManifestError::Macro {
        place: place.to_owned(),
        source,
    })
}

/// W&B's names for containers that have none.
fn name_containers(root: &mut Value) {
    each_pod_spec(root, &mut |spec| {
        for (n, container) in containers(spec).enumerate() {
            container
                .entry("name")
                .or_insert(json!(format!("launch{n}")));
        }
    });
}

/// The command and the variables of the containers that run the job's image; returns the first one's name.
fn fill_containers(root: &mut Value, job: &ObjectFacts<'_>) -> Option<String> {
    let mut first = None;
    each_pod_spec(root, &mut |spec| {
        for container in containers(spec) {
            if container.get("image").and_then(Value::as_str) != Some(&job.facts.image_uri) {
                continue;
            }
            let name = container.get("name").and_then(Value::as_str);
            first = first.take().or(name.map(str::to_owned));
            if !job.command.is_empty() {
                container.insert("args".into(), json!(job.command));
            }
            let env = container.entry("env").or_insert_with(|| json!([]));
            let Some(env) = env.as_array_mut() else {
                continue;
            };
            for (name, value) in job.env {
                // One that the queue sets stands.
                if !env.iter().any(|known| known["name"] == *name) {
                    env.push(json!({"name": name, "value": value}));
                }
            }
        }
    });
    first
}

fn label(holder: &mut Map<String, Value>, labels: &[(&str, String)]) {
    let metadata = metadata(holder);
    let known = metadata.entry("labels").or_insert_with(|| json!({}));
    if !known.is_object() {
        *known = json!({});
    }
    for (name, value) in labels {
        known[*name] = json!(value);
    }
}

fn metadata(holder: &mut Map<String, Value>) -> &mut Map<String, Value> {
    let metadata = holder.entry("metadata").or_insert_with(|| json!({}));
    if !metadata.is_object() {
        *metadata = json!({});
    }
    metadata.as_object_mut().expect("it was just made one")
}

/// The table of a key, made where it isn't there.
fn table_in<'a>(
    table: &'a mut Map<String, Value>,
    key: &str,
    place: &str,
) -> Result<&'a mut Map<String, Value>, ManifestError> {
    let value = table.entry(key).or_insert_with(|| json!({}));
    if value.is_null() {
        *value = json!({});
    }
    value
        .as_object_mut()
        .ok_or_else(|| ManifestError::shape(place, "a table"))
}

/// A name that Kubernetes takes: a run's id has capitals.
fn as_name(text: &str) -> String {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || c == '.' => c,
        _ => '-',
    };
    let name: String = text.chars().map(plain).take(63).collect();
    name.trim_matches(['-', '.']).to_owned()
}
