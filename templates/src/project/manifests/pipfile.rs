//! `Pipfile`, and the pins of its `Pipfile.lock`.

use std::path::Path;

use super::{Asked, Choice, Manifest, Unused, beside, place, poetry, text_of, toml_of, unreadable};
use crate::project::{LocalProject, ProjectError};

pub(super) fn read(project: &Path, file: &str, choice: Choice) -> Result<Manifest, ProjectError> {
    let file = beside(file, "Pipfile");
    let text = text_of(project, &file)?;
    let table = toml_of(&file, &text)?;
    let mut manifest = Manifest::default();
    let sections = ["packages"].into_iter();
    let dev = choice
        .groups
        .iter()
        .any(|group| group == "dev")
        .then_some("dev-packages");
    for section in sections.chain(dev) {
        let packages = table.get(section).and_then(toml::Value::as_table);
        for (name, wish) in packages.into_iter().flatten() {
            package(&file, &text, name, wish, &mut manifest);
        }
    }
    if dev.is_none()
        && table
            .get("dev-packages")
            .and_then(toml::Value::as_table)
            .is_some_and(|t| !t.is_empty())
    {
        manifest.unused.push(Unused {
            what: format!("{file}: [dev-packages]"),
            why: "an image gets what the project needs to run".into(),
            next: "choose with groups = [\"dev\"]".into(),
        });
    }
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

fn package(file: &str, text: &str, name: &str, wish: &toml::Value, manifest: &mut Manifest) {
    let origin = place(file, text, &format!("{name} ="));
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
            what: format!("{origin}: {name}"),
            why: "its version has no form that pip reads".into(),
            next: "write it as >=1,<2".into(),
        }),
    }
}

fn indexes(file: &str, table: &toml::Table, manifest: &mut Manifest) {
    let sources = table.get("source").and_then(toml::Value::as_array);
    for source in sources.into_iter().flatten().skip(1) {
        let name = source
            .get("name")
            .and_then(toml::Value::as_str)
            .unwrap_or("source");
        manifest.unused.push(Unused {
            what: format!("{file}: source {name}"),
            why: "packages come from this machine's package index".into(),
            next: "put the address into a requirements file (--extra-index-url), or into pip's configuration".into(),
        });
    }
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
