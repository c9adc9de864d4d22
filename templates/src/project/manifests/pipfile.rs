//! `Pipfile`, and the pins of its `Pipfile.lock`.

use std::path::Path;

use super::chosen::Chosen;
use super::indexes::Indexes;
use super::{
    Asked, Choice, Manifest, Unused, UnusedKind, beside, place, poetry, text_of, toml_of,
    unreadable,
};
use crate::project::{LocalProject, ProjectError};

pub(super) fn read(project: &Path, file: &str, choice: Choice) -> Result<Manifest, ProjectError> {
    let file = beside(file, "Pipfile");
    let text = text_of(project, &file)?;
    let table = toml_of(&file, &text)?;
    let mut manifest = Manifest::default();
    // Sections besides these two are groups of their own.
    let tables = table.iter().filter(|(name, value)| {
        !["packages", "requires", "scripts", "pipenv", "source"].contains(&name.as_str())
            && value.is_table()
    });
    let groups: Vec<&str> = tables.map(|(name, _)| group_of(name)).collect();
    let chosen = Chosen::groups(&file, choice.groups);
    chosen.check(&groups)?;
    Chosen::extras(&file, choice.extras).check(&[])?;
    let sections = ["packages"].into_iter();
    let more = groups
        .iter()
        .filter(|group| chosen.has(group))
        .map(|group| section_of(group));
    for section in sections.chain(more) {
        let packages = table.get(section).and_then(toml::Value::as_table);
        for (name, wish) in packages.into_iter().flatten() {
            package(&file, &text, name, wish, &mut manifest);
        }
    }
    let is_filled = |group: &&str| {
        let packages = table.get(section_of(group)).and_then(toml::Value::as_table);
        packages.is_some_and(|packages| !packages.is_empty())
    };
    let filled: Vec<&str> = groups
        .iter()
        .copied()
        .filter(|group| is_filled(group))
        .collect();
    manifest.unused.extend(chosen.left(&filled));
    let requires = table.get("requires");
    let python = ["python_full_version", "python_version"]
        .iter()
        .find_map(|key| requires?.get(key)?.as_str());
    manifest.python = python.map(|version| Asked {
        text: format!("=={version}.*"),
        origin: place(&file, &text, "python_"),
    });
    indexes(&file, &table, &mut manifest);
    lock(project, &file, &mut manifest)?;
    Ok(manifest)
}

/// `[dev-packages]` is the group `dev`; any other table is called as it is.
fn group_of(section: &str) -> &str {
    match section {
        "dev-packages" => "dev",
        other => other,
    }
}

fn section_of(group: &str) -> &str {
    match group {
        "dev" => "dev-packages",
        other => other,
    }
}

fn package(file: &str, text: &str, name: &str, wish: &toml::Value, manifest: &mut Manifest) {
    // TOML needs no blanks around the sign.
    let is_it = |line: &&str| {
        let key = line.split('=').next().unwrap_or_default().trim();
        line.contains('=') && key.trim_matches(['"', '\'']) == name
    };
    let line = text.lines().find(is_it).unwrap_or(name);
    let origin = place(file, text, line);
    if let Some(path) = wish.get("path").and_then(toml::Value::as_str) {
        let folder = super::super::requirements::normalize(&beside(file, path));
        manifest.local.push(LocalProject {
            folder: if folder.is_empty() {
                ".".into()
            } else {
                folder
            },
            extras: Vec::new(),
            editable: wish.get("editable").and_then(toml::Value::as_bool) == Some(true),
            origin,
        });
        return;
    }
    let mut wish = wish.clone();
    // Pipfile's own names of what Poetry calls rev and url.
    if let Some(table) = wish.as_table_mut() {
        for (theirs, ours) in [("ref", "rev"), ("file", "url")] {
            if let Some(value) = table.remove(theirs) {
                table.insert(ours.to_owned(), value);
            }
        }
    }
    match poetry::line_of(name, &wish) {
        Some(text) => manifest.requirements.push(Asked { text, origin }),
        None => manifest.unused.push(Unused {
            kind: UnusedKind::default(),
            what: format!("{origin}: {name}"),
            why: "its version has no form that pip reads".into(),
            next: "write it as >=1,<2".into(),
        }),
    }
}

/// Which indexes serve which packages: the first is the usual one.
fn indexes(file: &str, table: &toml::Table, manifest: &mut Manifest) {
    let mut indexes = Indexes::of(file, table.get("source"));
    let packages = table.get("packages").and_then(toml::Value::as_table);
    for (name, wish) in packages.into_iter().flatten() {
        if let Some(index) = wish.get("index").and_then(toml::Value::as_str) {
            indexes.serves(name, index, manifest);
        }
    }
    indexes.name_the_rest(manifest);
}

fn lock(project: &Path, file: &str, manifest: &mut Manifest) -> Result<(), ProjectError> {
    let file = beside(file, "Pipfile.lock");
    if !project.join(&file).is_file() {
        return Ok(());
    }
    let text = text_of(project, &file)?;
    let lock: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| unreadable(&file, error.to_string(), "write it again: pipenv lock"))?;
    for section in ["default", "develop"] {
        let packages = lock.get(section).and_then(serde_json::Value::as_object);
        for (name, package) in packages.into_iter().flatten() {
            if let Some(version) = package.get("version").and_then(serde_json::Value::as_str) {
                manifest.constraints.push(format!("{name}{version}"));
            }
        }
    }
    manifest.constraints.sort();
    manifest.constraints.dedup();
    manifest.inputs.insert(file);
    Ok(())
}
