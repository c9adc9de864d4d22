//! What a Dockerfile sets of its base's settings, said without the base: so that it can be set over another one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::recipe::{environment, set};

/// Stands around the name of a base's variable while a Dockerfile is read without a base.
pub(super) const MARK: char = '\u{1}';

/// What a Dockerfile sets, over whatever base.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingsChanges {
    /// Variables in the order in which they are set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    env: Vec<(String, Vec<Part>)>,
    /// Labels, beside the base's.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    labels: Map<String, Value>,
    /// Ports, beside the base's.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    ports: Map<String, Value>,
    /// What takes the place of the base's: `User`, `WorkingDir`, `Entrypoint`, `Cmd`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    others: Map<String, Value>,
}

/// A piece of a variable's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Part {
    Text(String),
    /// The value that the base gives a variable; nothing where it has none.
    Base {
        base: String,
    },
}

impl SettingsChanges {
    /// The changes in settings that were read without a base, where [`MARK`] stands around the names of its
    /// variables; `None` where those are in something else than a variable.
    pub(super) fn of(settings: &Map<String, Value>) -> Option<Self> {
        let mut changes = Self::default();
        for (name, value) in settings {
            match (name.as_str(), value) {
                ("Env", Value::Array(all)) => {
                    for entry in all {
                        let (name, value) = entry.as_str()?.split_once('=')?;
                        changes.env.push((name.to_owned(), parts(value)));
                    }
                }
                ("Labels", Value::Object(all)) => changes.labels = all.clone(),
                ("ExposedPorts", Value::Object(all)) => changes.ports = all.clone(),
                _ => {
                    changes.others.insert(name.clone(), value.clone());
                }
            }
        }
        let rest = json!([changes.labels, changes.ports, changes.others]).to_string();
        // As JSON writes it.
        (!rest.contains("\\u0001")).then_some(changes)
    }

    /// Names of what is set, by its kind: `variables`, `labels`, `ports`, `settings`.
    pub fn names(&self) -> BTreeMap<&'static str, BTreeSet<String>> {
        let mut all: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
        let env: BTreeSet<String> = self.env.iter().map(|(name, _)| name.clone()).collect();
        all.insert("variables", env);
        for (kind, of) in [
            ("labels", &self.labels),
            ("ports", &self.ports),
            ("settings", &self.others),
        ] {
            all.insert(kind, of.keys().cloned().collect());
        }
        all.retain(|_, names| !names.is_empty());
        all
    }

    /// The settings over a base's configuration, as a builder would set them.
    pub fn over(&self, base: &Value) -> Map<String, Value> {
        let base = &base["config"];
        let mut env = environment(base);
        let value = |parts: &[Part]| -> String {
            let text = |part: &Part| match part {
                Part::Text(text) => text.clone(),
                Part::Base { base } => {
                    let known = env.iter().find(|(name, _)| name == base);
                    known.map(|(_, value)| value.clone()).unwrap_or_default()
                }
            };
            parts.iter().map(text).collect()
        };
        let set_to: Vec<String> = self.env.iter().map(|(_, parts)| value(parts)).collect();
        for ((name, _), value) in self.env.iter().zip(set_to) {
            set(&mut env, name, value);
        }
        let env: Vec<String> = env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let mut settings = self.others.clone();
        settings.insert("Env".to_owned(), json!(env));
        for (setting, own) in [("Labels", &self.labels), ("ExposedPorts", &self.ports)] {
            if !own.is_empty() {
                let mut all = base[setting].as_object().cloned().unwrap_or_default();
                all.extend(own.clone());
                settings.insert(setting.to_owned(), all.into());
            }
        }
        settings
    }
}

/// `a␁PATH␁b` in its pieces.
fn parts(value: &str) -> Vec<Part> {
    let pieces = value.split(MARK).enumerate();
    let part = |(at, text): (usize, &str)| match at % 2 {
        0 => Part::Text(text.to_owned()),
        _ => Part::Base {
            base: text.to_owned(),
        },
    };
    let is_something = |part: &Part| *part != Part::Text(String::new());
    pieces.map(part).filter(is_something).collect()
}
