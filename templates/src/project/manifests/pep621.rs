//! `[project]` of `pyproject.toml` (PEP 621), its optional dependencies, and `[dependency-groups]`
//! (PEP 735).

use std::collections::{BTreeMap, BTreeSet};

use super::chosen::{Chosen, same};
use super::pyproject::Around;
use super::{Asked, Manifest, Unused, UnusedKind, beside, place, refuse_many, setup, strings};
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
    let mut known: Vec<&str> = extras
        .into_iter()
        .flat_map(toml::Table::keys)
        .map(String::as_str)
        .collect();
    let of_files = extras_of_files(around);
    known.extend(of_files.iter().map(|(name, _)| *name));
    refuse_many(around.file, "extra", known.len(), 0)?;
    let chosen = Chosen::extras(around.file, around.choice.extras);
    chosen.check(&known)?;
    let mut seen = BTreeSet::new();
    for name in known.iter().filter(|name| chosen.has(name)) {
        let asked = extra(around, name, Outer::default(), &mut seen)?;
        manifest.requirements.extend(asked);
    }
    for (name, files) in of_files.iter().filter(|(name, _)| chosen.has(name)) {
        seen.insert((*name).to_owned());
        let files = files.iter().map(|file| beside(around.file, file));
        manifest.files.extend(files);
    }
    let left: Vec<&str> = known
        .into_iter()
        .filter(|name| !seen.contains(*name))
        .collect();
    manifest.unused.extend(chosen.left(&left));
    Ok(())
}

/// Extras that setuptools reads from lists, `[tool.setuptools.dynamic.optional-dependencies]`: names and files.
fn extras_of_files<'a>(around: &Around<'a>) -> Vec<(&'a str, Vec<&'a str>)> {
    let setuptools = around.table.get("tool").and_then(|t| t.get("setuptools"));
    let extras =
        setuptools.and_then(|s| s.get("dynamic")?.get("optional-dependencies")?.as_table());
    let files = |extra: &'a toml::Value| {
        let file = extra.get("file");
        let one = file.and_then(toml::Value::as_str);
        one.into_iter().chain(strings(file)).collect()
    };
    let extras = extras.into_iter().flatten();
    extras
        .map(|(name, extra)| (name.as_str(), files(extra)))
        .collect()
}

/// What an extra is taken in by.
#[derive(Clone, Copy, Default)]
struct Outer<'a> {
    marker: &'a str,
    level: usize,
}

/// An extra, and those that it takes in: `all = ["this-project[gpu,docs]"]`.
fn extra(
    around: &Around,
    name: &str,
    outer: Outer,
    seen: &mut BTreeSet<String>,
) -> Result<Vec<Asked>, ProjectError> {
    refuse_many(around.file, "extra", 0, outer.level)?;
    let extras = around
        .table
        .get("project")
        .and_then(|p| p.get("optional-dependencies"));
    let extras = extras.and_then(toml::Value::as_table);
    let found = extras.and_then(|e| e.iter().find(|(known, _)| same(known, name)));
    let Some((name, lines)) = found.filter(|(name, _)| !seen.contains(*name)) else {
        return Ok(Vec::new());
    };
    seen.insert(name.clone());
    let mut asked = Vec::new();
    for line in strings(Some(lines)) {
        asked.extend(taken_in(around, line, outer, seen)?);
    }
    Ok(asked)
}

/// A line as it is, or what the extras of this project that it names ask for: the project itself
/// isn't on any index.
fn taken_in(
    around: &Around,
    line: &str,
    outer: Outer,
    seen: &mut BTreeSet<String>,
) -> Result<Vec<Asked>, ProjectError> {
    let (target, marker) = line.split_once(';').unwrap_or((line, ""));
    let marker = match (outer.marker.trim(), marker.trim()) {
        ("", one) | (one, "") => one.to_owned(),
        (outer, inner) => format!("({outer}) and ({inner})"),
    };
    let own = around.table.get("project").and_then(|p| p.get("name"));
    let own = own.and_then(toml::Value::as_str).unwrap_or_default();
    let extras = target
        .trim()
        .strip_suffix(']')
        .and_then(|t| t.split_once('['));
    let Some((_, extras)) = extras.filter(|(name, _)| same(name.trim(), own)) else {
        return Ok(vec![Asked {
            text: match marker.as_str() {
                "" => target.trim().to_owned(),
                marker => format!("{} ; {marker}", target.trim()),
            },
            origin: place(around.file, around.text, line),
        }]);
    };
    let outer = Outer {
        marker: &marker,
        level: outer.level + 1,
    };
    let mut asked = Vec::new();
    for name in extras.split(',') {
        asked.extend(extra(around, name.trim(), outer, seen)?);
    }
    Ok(asked)
}

fn groups_of(
    around: &Around,
    groups: Option<&toml::Table>,
    manifest: &mut Manifest,
) -> Result<Vec<Asked>, ProjectError> {
    let mut asked = Vec::new();
    let known: Vec<&str> = groups
        .into_iter()
        .flat_map(toml::Table::keys)
        .map(String::as_str)
        .collect();
    let elsewhere = elsewhere(around);
    let of_tools: Vec<&str> = elsewhere
        .keys()
        .copied()
        .filter(|name| !known.contains(name))
        .collect();
    let all = [known, of_tools].concat();
    refuse_many(around.file, "group", all.len(), 0)?;
    let chosen = Chosen::groups(around.file, around.choice.groups);
    chosen.check(&all)?;
    let mut seen = BTreeSet::new();
    for wanted in around.choice.groups {
        collect(around, groups, (wanted, 0), &mut seen, &mut asked)?;
        for (name, lines) in elsewhere.iter().filter(|(name, _)| same(name, wanted)) {
            seen.insert((*name).to_owned());
            asked.extend(lines.iter().cloned());
        }
    }
    let left: Vec<&str> = all
        .into_iter()
        .filter(|name| !seen.contains(*name))
        .collect();
    manifest.unused.extend(chosen.left(&left));
    Ok(asked)
}

/// Groups that stand in tables of tools: of PDM, of uv before PEP 735, of Poetry beside `[project]`.
fn elsewhere<'a>(around: &'a Around) -> BTreeMap<&'a str, Vec<Asked>> {
    let tool = |path: &[&str]| {
        let tool = around.table.get("tool");
        path.iter().try_fold(tool?, |value, key| value.get(key))
    };
    let asked = |line: &str| Asked {
        text: line.to_owned(),
        origin: place(around.file, around.text, line),
    };
    let mut groups: BTreeMap<&str, Vec<Asked>> = BTreeMap::new();
    if let Some(lines) = tool(&["uv", "dev-dependencies"]) {
        groups
            .entry("dev")
            .or_default()
            .extend(strings(Some(lines)).map(asked));
    }
    if let Some(lines) = tool(&["rye", "dev-dependencies"]) {
        let of_rye = groups.entry("dev").or_default();
        of_rye.extend(strings(Some(lines)).map(asked));
    }
    let of_pdm = tool(&["pdm", "dev-dependencies"]).and_then(toml::Value::as_table);
    for (name, lines) in of_pdm.into_iter().flatten() {
        groups
            .entry(name)
            .or_default()
            .extend(strings(Some(lines)).map(asked));
    }
    let of_poetry = tool(&["poetry", "group"]).and_then(toml::Value::as_table);
    for (name, table) in of_poetry.into_iter().flatten() {
        let members = table.get("dependencies").and_then(toml::Value::as_table);
        for (package, wish) in members.into_iter().flatten() {
            let line = super::poetry::line_of(package, wish);
            let origin = place(around.file, around.text, &format!("{package} ="));
            let group = groups.entry(name).or_default();
            group.extend(line.map(|text| Asked { text, origin }));
        }
    }
    groups
}

/// A group and those that it includes; beside its name, how many have included it.
fn collect(
    around: &Around,
    groups: Option<&toml::Table>,
    (name, level): (&str, usize),
    seen: &mut BTreeSet<String>,
    asked: &mut Vec<Asked>,
) -> Result<(), ProjectError> {
    refuse_many(around.file, "group", 0, level)?;
    let found = groups.and_then(|g| g.iter().find(|(known, _)| same(known, name)));
    let Some((name, lines)) = found.filter(|(name, _)| !seen.contains(*name)) else {
        return Ok(());
    };
    seen.insert(name.clone());
    for line in lines.as_array().into_iter().flatten() {
        let included = line.get("include-group").and_then(toml::Value::as_str);
        match (line.as_str(), included) {
            (Some(line), _) => {
                let mut extras = BTreeSet::new();
                asked.extend(taken_in(around, line, Outer::default(), &mut extras)?);
            }
            (None, Some(included)) => {
                collect(around, groups, (included, level + 1), seen, asked)?;
            }
            (None, None) => {}
        }
    }
    Ok(())
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
            kind: UnusedKind::OfItsBuild,
            what: place(around.file, around.text, "dynamic"),
            why: "its dependencies are worked out by its build backend, and stand nowhere as text"
                .into(),
            next: "list them in a requirements file, or lock the project: uv lock".into(),
        });
    }
    Ok(())
}
