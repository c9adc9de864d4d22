//! Packages that are asked of the package index by a name that it hasn't, or has for another project.

use std::path::Path;
use std::sync::LazyLock;

use serde::Deserialize;

use super::Warning;
use super::inputs::Inputs;
use crate::project::name_of_project;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    names: Vec<String>,
    why: String,
    next: String,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    toml::from_str(include_str!("../../data/compat/names.toml")).expect("the table is checked")
});

/// Said of each, but of what comes from an address or from the project, and where another index may have it.
pub(super) fn warnings(inputs: &Inputs, project: Option<&Path>) -> Vec<Warning> {
    if inputs.locked || inputs.has_other_index {
        return Vec::new();
    }
    let is_fetched = |name: &str| {
        let mut addresses = inputs.addresses.iter();
        let mut local = inputs.local.iter();
        addresses.any(|address| address.name.as_deref() == Some(name))
            || local.any(|local| {
                let known = project.and_then(|project| name_of_project(project, &local.folder));
                known.as_deref() == Some(name)
            })
    };
    let mut found: Vec<Warning> = Vec::new();
    for wanted in &inputs.wanted {
        let mut rows = TABLE.name.iter();
        let row = rows.find(|row| row.names.contains(&wanted.name));
        let Some(row) = row.filter(|_| wanted.versions.is_some() && !is_fetched(&wanted.name))
        else {
            continue;
        };
        let warning = Warning {
            message: format!("{} ({}): {}", wanted.name, wanted.origin, row.why),
            hint: Some(row.next.clone()),
        };
        if !found.contains(&warning) {
            found.push(warning);
        }
    }
    found
}
