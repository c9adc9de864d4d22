//! Configurations that are more than docker's options: with template variables, with W&B's words around
//! them, or manifests of Kubernetes.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::{QueueConfig, QueueConfigError, template};
use crate::config::ConfigError;
use crate::queue::manifest::{self, Manifest, ManifestError};
use crate::queue::other_resource;
use crate::queue::template::{TemplateError, TemplateVariables};

/// W&B's words around a configuration, each with what it holds the configuration of.
const KUBERNETES: &str = "kubernetes";
const DOCKER: &str = "local-container";
const AROUND: &str = "resource_args";

/// Reads a configuration; `None` where it is one of docker's options alone, or can't be read at all.
///
/// # Errors
/// With the place of what is wrong.
pub(super) fn read(text: &str, path: &Path) -> Result<Option<QueueConfig>, ConfigError> {
    let wrong = |needle: &str, message: String| invalid(text, path, needle, message);
    let read: Option<Map<String, Value>> = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).ok()
    } else {
        serde_saphyr::from_str(text).ok()
    };
    let Some(tree) = read else {
        if let Some(name) = unquoted(text) {
            let message = format!("in YAML a template variable stands in quotes: '{{{{{name}}}}}'");
            return Err(wrong(&format!("{{{{{name}"), message));
        }
        return Ok(None);
    };
    let (mut tree, kind) = unwrapped(tree).map_err(|(key, message)| wrong(&key, message))?;
    let is_manifest = match kind {
        Some(kind) => kind == KUBERNETES,
        None => Manifest::is_one(&tree) && !is_vertex(&tree),
    };
    let is_of_others = tree
        .keys()
        .any(|key| other_resource::told_by(key).is_some());
    if !is_manifest && kind.is_none() && is_of_others {
        // That is what is wrong, whatever else stands there.
        return Ok(None);
    }
    let variables = TemplateVariables::take(&mut tree)
        .map_err(|error| wrong(&needle(&error), error.to_string()))?;
    if !is_manifest && variables.is_empty() && kind.is_none() {
        return Ok(None);
    }
    let sample = variables.sample(&tree);
    let made = made(sample, is_manifest);
    let mut config = made.map_err(|(needle, message)| wrong(&needle, message))?;
    config.template = (!variables.is_empty()).then_some(Value::Object(tree));
    config.variables = variables;
    Ok(Some(config))
}

/// A Vertex AI queue has a specification too.
fn is_vertex(tree: &Map<String, Value>) -> bool {
    let pools = ["worker_pool_specs", "workerPoolSpecs"];
    let spec = tree.get("spec").and_then(Value::as_object);
    let has_kind = tree.contains_key("kind") || tree.contains_key("apiVersion");
    !has_kind
        && (tree.contains_key("run")
            || spec.is_some_and(|spec| pools.iter().any(|key| spec.contains_key(*key))))
}

/// Takes W&B's words off: `resource_args`, and the resource. The error has the key that is wrong.
#[expect(clippy::type_complexity, reason = "read once, just above")]
fn unwrapped(
    mut tree: Map<String, Value>,
) -> Result<(Map<String, Value>, Option<&'static str>), (String, String)> {
    // The last one is refused with a manifest's own words.
    let beside = [template::KEY, "builder", "overrides", "additional_services"];
    let mut kind = None;
    let is_around = tree.contains_key(AROUND);
    for key in [AROUND, KUBERNETES, DOCKER] {
        let Some(inner) = tree.remove(key) else {
            continue;
        };
        let Value::Object(mut inner) = inner else {
            return Err((key.to_owned(), format!("{key}: a table is expected")));
        };
        for beside in beside {
            if let Some(value) = tree.remove(beside) {
                inner.insert(beside.to_owned(), value);
            }
        }
        if let Some(other) = tree.keys().next() {
            let message = match other_resource::told_by(other) {
                // A manifest has one, too.
                Some((why, hint)) if other != "spec" => format!("{why}{}{hint}", super::HINT),
                _ => format!("`{other}` stands beside `{key}`, which is all of a configuration"),
            };
            return Err((other.clone(), message));
        }
        tree = inner;
        kind = [KUBERNETES, DOCKER]
            .into_iter()
            .find(|of| *of == key)
            .or(kind);
        if key != AROUND {
            break;
        }
    }
    if is_around && kind.is_none() {
        let key = tree.keys().next().cloned().unwrap_or_default();
        let message = match other_resource::told_by(&key) {
            Some((why, hint)) => format!("{why}{}{hint}", super::HINT),
            None => format!("{AROUND}: `{KUBERNETES}` or `{DOCKER}` is expected in it"),
        };
        return Err((key, message));
    }
    Ok((tree, kind))
}

/// The configuration of a tree whose variables have values. The error has a text near its place.
fn made(mut tree: Map<String, Value>, is_manifest: bool) -> Result<QueueConfig, (String, String)> {
    if !is_manifest {
        return serde_json::from_value(Value::Object(tree)).map_err(|error| {
            let message = error.to_string();
            let near = message.split('`').nth(1).unwrap_or_default();
            (near.to_owned(), message)
        });
    }
    let wrong = |key: &str, why: String| (key.to_owned(), why);
    let mut config = QueueConfig::default();
    if let Some(builder) = tree.remove("builder") {
        let builder: super::Builder = serde_json::from_value(builder)
            .map_err(|error| wrong("builder", format!("builder: {error}")))?;
        config.base_image = builder.accelerator.base_image;
    }
    if let Some(names) = tree.remove("overrides") {
        let names: Vec<String> = serde_json::from_value(names)
            .map_err(|error| wrong("overrides", format!("overrides: {error}")))?;
        for name in &names {
            manifest::check_path(name)
                .map_err(|error| wrong(name, format!("overrides: {error}")))?;
        }
        config.overrides = Some(names);
    }
    let near = |error: &ManifestError| match error {
        ManifestError::NoCounterpart { key, .. } => (*key).to_owned(),
        ManifestError::Shape { place, .. } | ManifestError::Secret { place } => {
            let last = place.rsplit('.').next().unwrap_or_default();
            last.split(['[', ' ']).next().unwrap_or_default().to_owned()
        }
        _ => String::new(),
    };
    let manifest = Manifest::of(tree).map_err(|error| (near(&error), error.to_string()))?;
    manifest
        .check()
        .map_err(|error| (near(&error), error.to_string()))?;
    config.manifest = Some(manifest);
    Ok(config)
}

impl QueueConfig {
    /// The configuration as a job has it: template variables have values, and in a manifest stands what
    /// the launch sets. `overrides` are those that aren't values of template variables.
    ///
    /// # Errors
    /// Where a value isn't known, is missing or not what its schema says, or an option doesn't take it;
    /// where a manifest hasn't the place that is set.
    pub fn of_job(
        self,
        values: &BTreeMap<String, String>,
        overrides: &[&str],
    ) -> Result<Self, QueueConfigError> {
        let nothing = Value::Object(Map::new());
        let filled = self
            .variables
            .fill(self.template.as_ref().unwrap_or(&nothing), values)?;
        let mut config = match (&self.template, filled) {
            (Some(_), Value::Object(tree)) => {
                made(tree, self.manifest.is_some()).map_err(|(_, why)| {
                    QueueConfigError::Filled {
                        why: why.replace(super::HINT, "; "),
                    }
                })?
            }
            _ => self,
        };
        config.manifest = config
            .manifest
            .map(|manifest| manifest.set(overrides))
            .transpose()?;
        if let Some(manifest) = &config.manifest {
            manifest.check()?;
        }
        Ok(config)
    }
}

/// A text of the configuration that an error is about.
fn needle(error: &TemplateError) -> String {
    match error {
        TemplateError::NotDescribed { name } | TemplateError::InKey { name } => {
            format!("{{{{{name}")
        }
        TemplateError::NotUsed { name } | TemplateError::Schema { name, .. } => name.clone(),
        _ => String::new(),
    }
}

/// A variable in a text that isn't YAML for it.
fn unquoted(text: &str) -> Option<&str> {
    let is_json = text.trim_start().starts_with('{');
    let line = text.lines().find(|line| {
        line.split_once(": ")
            .is_some_and(|(_, value)| value.trim_start().starts_with("{{"))
    })?;
    template::name_in(line).filter(|_| !is_json)
}

fn invalid(text: &str, path: &Path, needle: &str, message: String) -> ConfigError {
    let at = text.find(needle).unwrap_or(0);
    let before = &text[..at];
    let (message, hint) = match message.split_once(super::HINT) {
        Some((message, hint)) => (message.to_owned(), Some(hint.to_owned())),
        None => (message, None),
    };
    ConfigError::Invalid {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count()
            + 1,
        message,
        hint,
    }
}
