//! `[tool.poetry]`, and `poetry.lock` of either form.

use std::collections::BTreeMap;

use super::chosen::Chosen;
use super::indexes::{Indexes, build_of_version};
use super::pyproject::Around;
use super::{
    Asked, Manifest, Unused, UnusedKind, beside, place, text_of, toml_of, unreadable, version,
};
use crate::project::ProjectError;

pub(super) fn read(around: &Around, poetry: &toml::Value) -> Result<Manifest, ProjectError> {
    let mut manifest = Manifest::default();
    let dependencies = poetry.get("dependencies").and_then(toml::Value::as_table);
    let mut of_extras: Vec<String> = Vec::new();
    let extras = poetry.get("extras").and_then(toml::Value::as_table);
    let names: Vec<&str> = extras
        .into_iter()
        .flat_map(toml::Table::keys)
        .map(String::as_str)
        .collect();
    let chosen = Chosen::extras(around.file, around.choice.extras);
    chosen.check(&names)?;
    for (name, members) in extras.into_iter().flatten() {
        if chosen.has(name) {
            of_extras.extend(super::strings(Some(members)).map(str::to_lowercase));
        }
    }
    for (name, wish) in dependencies.into_iter().flatten() {
        if name == "python" {
            let text = wish.as_str().and_then(version::from_poetry);
            manifest.python = text.map(|text| Asked {
                text,
                origin: place(around.file, around.text, "python ="),
            });
            continue;
        }
        dependency(around, name, wish, &of_extras, &mut manifest)?;
    }
    let groups = poetry.get("group").and_then(toml::Value::as_table);
    let mut members: Vec<(&str, Option<&toml::Value>)> = groups
        .into_iter()
        .flatten()
        .map(|(name, group)| (name.as_str(), group.get("dependencies")))
        .collect();
    // As it was before groups.
    let of_old = poetry.get("dev-dependencies");
    members.extend(of_old.map(|old| ("dev", Some(old))));
    let mut names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    names.dedup();
    let chosen = Chosen::groups(around.file, around.choice.groups);
    chosen.check(&names)?;
    for (_, group) in members.iter().filter(|(name, _)| chosen.has(name)) {
        let members = group.and_then(toml::Value::as_table);
        for (name, wish) in members.into_iter().flatten() {
            dependency(around, name, wish, &of_extras, &mut manifest)?;
        }
    }
    manifest.unused.extend(chosen.left(&names));
    sources(around, poetry, &mut manifest);
    manifest.local.extend(around.itself());
    Ok(manifest)
}

/// Which indexes serve which packages, and those that nothing is taken from.
fn sources(around: &Around, poetry: &toml::Value, manifest: &mut Manifest) {
    let mut indexes = Indexes::of(around.file, poetry.get("source"));
    let dependencies = poetry.get("dependencies").and_then(toml::Value::as_table);
    for (name, wish) in dependencies.into_iter().flatten() {
        let several = wish.as_array().map(Vec::as_slice);
        for wish in several.unwrap_or(std::slice::from_ref(wish)) {
            let field = |key: &str| wish.get(key).and_then(toml::Value::as_str);
            if !applies(around, field("markers").unwrap_or_default()) {
                if let Some(index) = field("source") {
                    indexes.is_ruled_out(name, index);
                }
                continue;
            }
            if let Some(index) = field("source") {
                indexes.serves(name, index, manifest);
            }
            let version = wish.as_str().or(field("version")).unwrap_or_default();
            if let Some(build) = build_of_version(name, version) {
                manifest.torch_build.get_or_insert(build);
            }
        }
    }
    indexes.name_the_rest(manifest);
}

/// Whether a dependency's marker holds, which may name an extra of the project.
fn applies(around: &Around, marker: &str) -> bool {
    let Some((_, extra)) = marker.split_once("extra") else {
        return super::in_image(marker);
    };
    let name = extra.split(['\'', '"']).nth(1).unwrap_or_default();
    let chosen = around.choice.extras;
    chosen.iter().any(|one| super::chosen::same(one, name))
}

/// What `[tool.poetry]` adds to the dependencies of `[project]`: where they come from.
pub(super) fn sources_beside(around: &Around, poetry: &toml::Value, manifest: &mut Manifest) {
    sources(around, poetry, manifest);
    let dependencies = poetry.get("dependencies").and_then(toml::Value::as_table);
    for (name, wish) in dependencies.into_iter().flatten() {
        let from = ["path", "git", "url"]
            .iter()
            .find(|key| wish.get(**key).is_some());
        if let Some(key) = from {
            manifest.unused.push(Unused {
                kind: UnusedKind::default(),
                what: format!(
                    "{}: {name}: {key}",
                    place(around.file, around.text, &format!("{name} ="))
                ),
                why: "beside [project], only what that names is installed".into(),
                next: "write it there: NAME @ ADDRESS under [project] dependencies".into(),
            });
        }
    }
}

/// One dependency: `"^1.2"`, a table, or several tables of which markers choose.
fn dependency(
    around: &Around,
    name: &str,
    wish: &toml::Value,
    of_extras: &[String],
    manifest: &mut Manifest,
) -> Result<(), ProjectError> {
    let origin = place_of(around, name);
    let several = wish.as_array().map(Vec::as_slice);
    for wish in several.unwrap_or(std::slice::from_ref(wish)) {
        let field = |key: &str| wish.get(key).and_then(toml::Value::as_str);
        let optional = wish.get("optional").and_then(toml::Value::as_bool) == Some(true);
        if optional && !of_extras.contains(&name.to_lowercase()) {
            let markers = field("markers").unwrap_or_default();
            if super::in_image(markers) {
                manifest.unused.push(optional_one(around, name, &origin));
            }
            continue;
        }
        if let Some(path) = field("path") {
            let folder = super::super::requirements::normalize(&beside(around.file, path));
            if let Some(module) = crate::project::unfetched_around(around.project, &folder) {
                let (reason, hint) = crate::project::to_fetch(&folder, &module);
                return Err(unreadable(&origin, format!("{name} {reason}"), &hint));
            }
            manifest.local.push(crate::project::LocalProject {
                folder: if folder.is_empty() {
                    ".".into()
                } else {
                    folder
                },
                extras: Vec::new(),
                editable: true,
                origin: origin.clone(),
            });
            continue;
        }
        match line_of(name, wish) {
            Some(text) => manifest.requirements.push(Asked {
                text,
                origin: origin.clone(),
            }),
            None => manifest.unused.push(Unused {
                kind: UnusedKind::default(),
                what: format!("{origin}: {name}"),
                why: "its version has no form that pip reads".into(),
                next: "write it as >=1,<2, or export a requirements file: poetry export".into(),
            }),
        }
    }
    Ok(())
}

/// Where a dependency stands: `NAME = …`, or a table of its own.
fn place_of(around: &Around, name: &str) -> String {
    let starts = [
        format!("{name} ="),
        format!("\"{name}\" ="),
        format!("{name}="),
        format!(".dependencies.{name}]"),
        format!(".dependencies.\"{name}\"]"),
    ];
    let is_it = |line: &str| {
        let line = line.trim_start();
        let (assigned, tables) = starts.split_at(3);
        assigned.iter().any(|start| line.starts_with(start))
            || tables
                .iter()
                .any(|end| line.starts_with('[') && line.contains(end.as_str()))
    };
    if around.text.len() > super::MOST_BYTES_WITH_LINES {
        return around.file.to_owned();
    }
    let line = around.text.lines().position(is_it);
    line.map_or(around.file.to_owned(), |line| {
        format!("{}:{}", around.file, line + 1)
    })
}

/// That an optional dependency isn't installed: nobody chose an extra that holds it.
fn optional_one(around: &Around, name: &str, origin: &str) -> Unused {
    let poetry = around.table.get("tool").and_then(|tool| tool.get("poetry"));
    let extras = poetry.and_then(|poetry| poetry.get("extras")?.as_table());
    let holds = |members: &toml::Value| {
        super::strings(Some(members)).any(|member| super::chosen::same(member, name))
    };
    let mut extras = extras.into_iter().flatten();
    let extra = extras
        .find(|(_, members)| holds(members))
        .map(|(extra, _)| extra);
    Unused {
        kind: UnusedKind::NotChosen,
        what: format!("{origin}: {name}"),
        why: match extra {
            Some(_) => "it is optional, and no extra that holds it was chosen".into(),
            None => "it is optional, and no extra holds it".into(),
        },
        next: match extra {
            Some(extra) => format!(
                "to choose one: extras = [{}] under [image]",
                toml::Value::from(extra.as_str())
            )
            .into(),
            None => "make it no optional one, or name it under [image] packages".into(),
        },
    }
}

/// A dependency as a requirement line.
pub(super) fn line_of(name: &str, wish: &toml::Value) -> Option<String> {
    let field = |key: &str| wish.get(key).and_then(toml::Value::as_str);
    let extras: Vec<&str> = super::strings(wish.get("extras")).collect();
    let extras = if extras.is_empty() {
        String::new()
    } else {
        format!("[{}]", extras.join(","))
    };
    let mut markers: Vec<String> = field("markers")
        .map(|m| format!("({m})"))
        .into_iter()
        .collect();
    if let Some(python) = field("python") {
        for part in version::from_poetry(python)?
            .split(',')
            .filter(|p| !p.is_empty())
        {
            let at = part.find(|c: char| c.is_ascii_digit())?;
            markers.push(format!(
                "python_version {} \"{}\"",
                &part[..at],
                &part[at..]
            ));
        }
    }
    if let Some(platform) = field("platform") {
        markers.push(format!("sys_platform == \"{platform}\""));
    }
    let marker = if markers.is_empty() {
        String::new()
    } else {
        format!(" ; {}", markers.join(" and "))
    };
    if let Some(address) = field("git") {
        let source = of_git(address, field);
        return Some(format!("{name}{extras} @ {source}{marker}"));
    }
    if let Some(address) = field("url") {
        return Some(format!("{name}{extras} @ {address}{marker}"));
    }
    let versions = wish.as_str().or(field("version")).unwrap_or("*");
    Some(format!(
        "{name}{extras}{}{marker}",
        version::from_poetry(versions)?
    ))
}

/// A repository as pip reads it: `git+ADDRESS@REVISION#subdirectory=FOLDER`, of the fields beside it.
pub(super) fn of_git<'a>(address: &str, field: impl Fn(&str) -> Option<&'a str>) -> String {
    let at = field("rev").or(field("tag")).or(field("branch"));
    let at = at.map_or(String::new(), |at| format!("@{at}"));
    let part = field("subdirectory").map_or(String::new(), |s| format!("#subdirectory={s}"));
    format!("git+{}{at}{part}", of_ssh(address))
}

/// `ssh://git@HOST/PATH` of `git@HOST:PATH`, which is no address to pip.
fn of_ssh(address: &str) -> String {
    match address.split_once('@') {
        Some((user, rest)) if !address.contains("://") => {
            format!("ssh://{user}@{}", rest.replacen(':', "/", 1))
        }
        _ => address.to_owned(),
    }
}

/// The pins of a `poetry.lock` beside it, as constraints: what is installed follows from the
/// dependencies and their markers, and each in the version of the lock.
pub(super) fn lock(around: &Around, manifest: &mut Manifest) -> Result<(), ProjectError> {
    let file = beside(around.file, "poetry.lock");
    if !around.project.join(&file).is_file() {
        return Ok(());
    }
    let text = text_of(around.project, &file)?;
    let table = toml_of(&file, &text)?;
    manifest.inputs.insert(file);
    manifest.constraints.extend(pins(&table));
    Ok(())
}

/// `NAME==VERSION` of each package from an index that stands there in one version.
pub(super) fn pins(table: &toml::Table) -> Vec<String> {
    let packages = table.get("package").and_then(toml::Value::as_array);
    let packages: Vec<(&str, &str)> = packages
        .into_iter()
        .flatten()
        .filter(|package| {
            let kind = package
                .get("source")
                .and_then(|s| s.get("type"))
                .and_then(toml::Value::as_str);
            !matches!(kind, Some("git" | "directory" | "file" | "url"))
                && !["git", "path", "url"]
                    .iter()
                    .any(|key| package.get(key).is_some())
        })
        .filter_map(|p| Some((p.get("name")?.as_str()?, p.get("version")?.as_str()?)))
        .collect();
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, _) in &packages {
        *times.entry(name).or_default() += 1;
    }
    let once = |name: &str| times.get(name) == Some(&1);
    let mut pins: Vec<String> = packages
        .iter()
        .filter(|(name, _)| once(name))
        .map(|(name, version)| format!("{name}=={version}"))
        .collect();
    pins.sort();
    pins
}
