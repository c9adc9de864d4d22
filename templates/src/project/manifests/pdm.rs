//! `pdm.lock`, beside a `pyproject.toml` of PEP 621.

use super::indexes::Indexes;
use super::pyproject::Around;
use super::{Manifest, Unused, UnusedKind, beside, place, poetry, strings, text_of, toml_of};
use crate::project::ProjectError;

/// Its pins, as constraints.
pub(super) fn lock(around: &Around, manifest: &mut Manifest) -> Result<(), ProjectError> {
    let file = beside(around.file, "pdm.lock");
    if !around.project.join(&file).is_file() {
        return Ok(());
    }
    let table = toml_of(&file, &text_of(around.project, &file)?)?;
    manifest.inputs.insert(file);
    manifest.constraints.extend(poetry::pins(&table));
    Ok(())
}

/// Scripts that PDM runs by itself where it installs a project.
const HOOKS: [&str; 2] = ["pre_install", "post_install"];

/// Scripts around an installation, `[[tool.pdm.source]]`, of which each may say which packages it serves, and overrides.
pub(super) fn sources(around: &Around, manifest: &mut Manifest) {
    let tool = around.table.get("tool").and_then(|tool| tool.get("pdm"));
    let Some(pdm) = tool else {
        return;
    };
    let scripts = pdm.get("scripts").and_then(toml::Value::as_table);
    for hook in scripts
        .into_iter()
        .flat_map(toml::Table::keys)
        .filter(|name| HOOKS.contains(&name.as_str()))
    {
        manifest.unused.push(Unused {
            kind: UnusedKind::default(),
            what: format!("{}: {hook}", place(around.file, around.text, hook)),
            why: "PDM runs it where it installs, and scripts of a project aren't run".into(),
            next: "put what the image needs of it under run of [image]".into(),
        });
    }
    let sources = pdm.get("source");
    let mut indexes = Indexes::of(around.file, sources);
    for source in sources
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
    {
        let name = source.get("name").and_then(toml::Value::as_str);
        for package in strings(source.get("include_packages")) {
            indexes.serves(package, name.unwrap_or_default(), manifest);
        }
    }
    indexes.name_the_rest(manifest);
    let overrides = pdm.get("resolution").and_then(|r| r.get("overrides"));
    if overrides.is_some()
        && !around
            .project
            .join(beside(around.file, "pdm.lock"))
            .is_file()
    {
        manifest.unused.push(Unused {
            kind: UnusedKind::default(),
            what: format!(
                "{}: overrides",
                place(around.file, around.text, "overrides")
            ),
            why: "without a pdm.lock, packages are resolved anew and without them".into(),
            next: "lock the project: pdm lock".into(),
        });
    }
}
