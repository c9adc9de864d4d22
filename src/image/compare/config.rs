//! What differs in configuration, history and manifest, setting by setting.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::report::ConfigDifference;
use super::side::Side;

/// Every setting that differs, sorted by name.
pub(super) fn differences(first: &Side<'_>, second: &Side<'_>) -> Vec<ConfigDifference> {
    let (first, second) = (settings(first), settings(second));
    let names: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let differ = names
        .into_iter()
        .filter(|name| first.get(*name) != second.get(*name));
    let found = differ.map(|name| ConfigDifference {
        field: name.clone(),
        first: first.get(name).cloned(),
        second: second.get(name).cloned(),
    });
    found.collect()
}

/// Settings by name. Layers are left out: they are compared for themselves.
fn settings(side: &Side<'_>) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for (name, value) in side.config.as_object().into_iter().flatten() {
        match name.as_str() {
            "rootfs" => {}
            "history" => {
                for (at, step) in value.as_array().into_iter().flatten().enumerate() {
                    collect(&format!("history[{}]", at + 1), step, &mut all);
                }
            }
            name => collect(name, value, &mut all),
        }
    }
    if let Some(manifest) = &side.manifest {
        for name in ["mediaType", "artifactType", "annotations"] {
            collect(&format!("manifest.{name}"), &manifest[name], &mut all);
        }
    }
    all
}

fn collect(name: &str, value: &Value, all: &mut BTreeMap<String, Value>) {
    match value {
        Value::Null => {}
        Value::Object(inner) => {
            for (key, value) in inner {
                collect(&format!("{name}.{key}"), value, all);
            }
        }
        Value::Array(list) if name == "config.Env" => {
            for variable in list.iter().filter_map(Value::as_str) {
                let (key, value) = variable.split_once('=').unwrap_or((variable, ""));
                all.insert(format!("{name}.{key}"), value.into());
            }
        }
        value => drop(all.insert(name.to_owned(), value.clone())),
    }
}
