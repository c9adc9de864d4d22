//! `[project]` of `pyproject.toml` (PEP 621), its optional dependencies, and `[dependency-groups]`
//! (PEP 735).

use std::collections::BTreeSet;

use super::pyproject::Around;
use super::{Asked, Manifest, Unused, beside, place, setup, strings, unreadable};
use crate::project::ProjectError;

pub(super) fn read(around: &Around) -> Result<Manifest, ProjectError> {
    let Around {
        file, text, table, ..
    } = *around;
    let mut manifest = Manifest::default();
    let none = toml::Value::Table(toml::Table::new());
    let project = table.get("project").unwrap_or(&none);
    let asked = |line: &str| Asked {
        text: line.to_owned(),
        origin: place(file, text, line),
    };
    manifest
        .requirements
        .extend(strings(project.get("dependencies")).map(asked));
    if let Some(python) = project.get("requires-python").and_then(toml::Value::as_str) {
        manifest.python = Some(Asked {
            text: python.to_owned(),
            origin: place(file, text, "requires-python"),
        });
    }
    let dynamic: BTreeSet<&str> = strings(project.get("dynamic")).collect();
    if dynamic.contains("dependencies") || !table.contains_key("project") {
        self::dynamic(around, &mut manifest)?;
    }
    let extras = project
        .get("optional-dependencies")
        .and_then(toml::Value::as_table);
    choose_extras(around, extras, &mut manifest)?;
    let groups = table
        .get("dependency-groups")
        .and_then(toml::Value::as_table);
    let groups_of_choice = groups_of(around, groups, &mut manifest)?;
    manifest.requirements.extend(groups_of_choice);
    manifest.local.extend(around.itself());
    Ok(manifest)
}

fn choose_extras(
    around: &Around,
    extras: Option<&toml::Table>,
    manifest: &mut Manifest,
) -> Result<(), ProjectError> {
    let known: Vec<&str> = extras
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    for wanted in around.choice.extras {
        let found = extras.and_then(|e| e.iter().find(|(name, _)| same(name, wanted)));
        let Some((_, lines)) = found else {
            return Err(unreadable(
                around.file,
                format!("it has no extra {wanted}"),
                &format!("choose of {}", shown(&known)),
            ));
        };
        manifest
            .requirements
            .extend(strings(Some(lines)).map(|line| Asked {
                text: line.to_owned(),
                origin: place(around.file, around.text, line),
            }));
    }
    let left: Vec<&str> = known
        .into_iter()
        .filter(|name| !around.choice.extras.iter().any(|e| same(e, name)))
        .collect();
    if !left.is_empty() {
        manifest.unused.push(Unused {
            what: format!("{}: extras {}", around.file, left.join(", ")),
            why: "none of them was chosen".into(),
            next: format!("choose with extras = [\"{}\"]", left[0]),
        });
    }
    Ok(())
}

fn groups_of(
    around: &Around,
    groups: Option<&toml::Table>,
    manifest: &mut Manifest,
) -> Result<Vec<Asked>, ProjectError> {
    let mut asked = Vec::new();
    let known: Vec<&str> = groups
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    for wanted in around.choice.groups {
        let mut seen = BTreeSet::new();
        if !collect(around, groups, wanted, &mut seen, &mut asked) {
            return Err(unreadable(
                around.file,
                format!("it has no dependency group {wanted}"),
                &format!("choose of {}", shown(&known)),
            ));
        }
    }
    let left: Vec<&str> = known
        .into_iter()
        .filter(|name| !around.choice.groups.iter().any(|g| same(g, name)))
        .collect();
    if !left.is_empty() {
        manifest.unused.push(Unused {
            what: format!("{}: dependency groups {}", around.file, left.join(", ")),
            why: "none of them was chosen".into(),
            next: format!("choose with groups = [\"{}\"]", left[0]),
        });
    }
    Ok(asked)
}

/// A group and those that it includes; false where there is none of that name.
fn collect(
    around: &Around,
    groups: Option<&toml::Table>,
    name: &str,
    seen: &mut BTreeSet<String>,
    asked: &mut Vec<Asked>,
) -> bool {
    let found = groups.and_then(|g| g.iter().find(|(known, _)| same(known, name)));
    let Some((name, lines)) = found else {
        return false;
    };
    if !seen.insert(name.clone()) {
        return true;
    }
    for line in lines.as_array().into_iter().flatten() {
        let included = line.get("include-group").and_then(toml::Value::as_str);
        match (line.as_str(), included) {
            (Some(line), _) => asked.push(Asked {
                text: line.to_owned(),
                origin: place(around.file, around.text, line),
            }),
            (None, Some(included)) => {
                if !collect(around, groups, included, seen, asked) {
                    return false;
                }
            }
            (None, None) => {}
        }
    }
    true
}

/// Dependencies that aren't written in `[project]`: those that setuptools and hatch read elsewhere.
fn dynamic(around: &Around, manifest: &mut Manifest) -> Result<(), ProjectError> {
    let tool = around.table.get("tool");
    let of_setuptools = tool.and_then(|t| {
        t.get("setuptools")?
            .get("dynamic")?
            .get("dependencies")?
            .get("file")
    });
    let of_hatch = tool.and_then(|t| {
        let hook = t.get("hatch")?.get("metadata")?.get("hooks")?;
        hook.get("requirements_txt")?.get("files")
    });
    let mut files: Vec<String> = Vec::new();
    for value in [of_setuptools, of_hatch].into_iter().flatten() {
        files.extend(value.as_str().map(str::to_owned));
        files.extend(strings(Some(value)).map(str::to_owned));
    }
    if !files.is_empty() {
        manifest
            .files
            .extend(files.iter().map(|name| beside(around.file, name)));
        return Ok(());
    }
    for name in ["setup.cfg", "setup.py"] {
        let script = beside(around.file, name);
        if around.project.join(&script).is_file() {
            let more = setup::read(around.project, &script, around.choice)?;
            // Every source archive has a setup.cfg, which may say nothing of it.
            let says = !more.requirements.is_empty() || !more.files.is_empty();
            if name == "setup.cfg"
                && !says
                && around
                    .project
                    .join(beside(around.file, "setup.py"))
                    .is_file()
            {
                continue;
            }
            manifest.requirements.extend(more.requirements);
            manifest.files.extend(more.files);
            manifest.unused.extend(more.unused);
            return Ok(());
        }
    }
    if around.table.contains_key("project") {
        manifest.unused.push(Unused {
            what: place(around.file, around.text, "dynamic"),
            why: "its dependencies are worked out by its build backend, and stand nowhere as text"
                .into(),
            next: "list them in a requirements file, or lock the project: uv lock".into(),
        });
    }
    Ok(())
}

/// Names are compared as PEP 503 and PEP 735 do.
fn same(a: &str, b: &str) -> bool {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['_', '.'], "-");
    plain(a) == plain(b)
}

fn shown(names: &[&str]) -> String {
    match names {
        [] => "none: it has none".into(),
        names => names.join(", "),
    }
}
