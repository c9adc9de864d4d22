//! `[tool.uv]` of a project without a `uv.lock`: where its packages come from. Members of the
//! workspace and folders are installed with the code, and never looked for on an index.

use std::collections::BTreeMap;
use std::path::Path;

use super::chosen::{plain, same};
use super::indexes::Indexes;
use super::pyproject::Around;
use super::{
    Asked, Manifest, Unused, UnusedKind, folder_of, in_image, path_line, place, poetry, strings,
    text_of, toml_of, unreadable,
};
use crate::project::ProjectError;
use crate::project::requirements::normalize;

const LOCK: &str = "lock the project: uv lock";

/// Settings that say how packages are resolved or built, and that no step of an image follows.
const UNUSED: [(&str, &str); 21] = [
    ("override-dependencies", LOCK),
    ("exclude-dependencies", LOCK),
    ("build-constraint-dependencies", LOCK),
    ("dependency-metadata", LOCK),
    ("index-strategy", LOCK),
    ("prerelease", LOCK),
    ("resolution", LOCK),
    ("exclude-newer", LOCK),
    ("exclude-newer-package", LOCK),
    ("no-sources", LOCK),
    ("config-settings", LOCK),
    ("config-settings-package", LOCK),
    ("extra-build-variables", LOCK),
    ("no-binary", LOCK),
    ("no-binary-package", LOCK),
    ("no-build", LOCK),
    ("no-build-package", LOCK),
    (
        "torch-backend",
        "set cuda = \"…\" under [image.target], or gpu = \"off\" under [image]",
    ),
    (
        "no-build-isolation",
        "name the packages: no-build-isolation-package",
    ),
    (
        "extra-index-url",
        "put the address into a requirements file, or into pip's configuration",
    ),
    (
        "find-links",
        "put the address into a requirements file, or into pip's configuration",
    ),
];

pub(super) fn apply(around: &Around, manifest: &mut Manifest) -> Result<(), ProjectError> {
    let workspace = workspace(around);
    let own = uv_of(around.table);
    let shared = workspace.as_ref().and_then(|(_, table)| uv_of(table));
    if own.is_none() && shared.is_none() {
        return Ok(());
    }
    let indexes = Indexes::of(around.file, own.or(shared).and_then(|uv| uv.get("index")));
    let mut indexes = indexes.and("index-url", own.and_then(|uv| uv.get("index-url")));
    for uv in [own, shared].into_iter().flatten() {
        rule_out(uv, &mut indexes);
    }
    // What the project says itself stands over its workspace's; of one name in two spellings, the first.
    let mut sources: BTreeMap<String, &toml::Value> = BTreeMap::new();
    for uv in [own, shared].into_iter().flatten() {
        let table = uv.get("sources").and_then(toml::Value::as_table);
        for (name, source) in table.into_iter().flatten() {
            sources.entry(plain(name)).or_insert(source);
        }
    }
    let mut members: Option<BTreeMap<String, String>> = None;
    for asked in std::mem::take(&mut manifest.requirements) {
        let wish = Wish::of(&asked.text);
        let source = sources.get(&plain(wish.name));
        let source = source.and_then(|source| chosen(around, source));
        let text = |key: &str| source.and_then(|source| source.get(key)?.as_str());
        if let Some(index) = text("index") {
            indexes.serves(wish.name, index, manifest);
        }
        let is_member = source.and_then(|s| s.get("workspace")?.as_bool()) == Some(true);
        let line = if is_member {
            let all = || match &workspace {
                Some((folder, table)) => members_of(around.project, folder, table),
                // A project alone is the one member of its own workspace.
                None => members_of(
                    around.project,
                    &normalize(folder_of(around.file)),
                    around.table,
                ),
            };
            let folder = members.get_or_insert_with(all).get(&plain(wish.name));
            let folder = folder.ok_or_else(|| {
                let reason = format!(
                    "{} is to be a member of the workspace, and no folder of it holds that project",
                    wish.name
                );
                unreadable(
                    around.file,
                    reason,
                    "check members under [tool.uv.workspace]",
                )
            })?;
            if *folder == normalize(folder_of(around.file)) && wish.extras.is_empty() {
                continue; // the project itself, which is installed anyhow
            }
            Some(format!("-e ./{folder}{}", wish.extras))
        } else {
            source.and_then(|source| wish.from(around, source))
        };
        manifest.requirements.push(match line {
            Some(text) => Asked { text, ..asked },
            None => asked,
        });
    }
    indexes.name_the_rest(manifest);
    if let Some(uv) = own {
        let constraints = strings(uv.get("constraint-dependencies")).map(str::to_owned);
        manifest.constraints.extend(constraints);
        manifest.open_builds.extend(open_builds(around.table));
        let is_there = |key: &str| {
            uv.get(key).is_some() || uv.get("pip").is_some_and(|pip| pip.get(key).is_some())
        };
        for (key, next) in UNUSED.iter().filter(|(key, _)| is_there(key)) {
            manifest.unused.push(Unused {
                kind: UnusedKind::default(),
                what: format!("{}: {key}", place(around.file, around.text, key)),
                why: "without a uv.lock, packages are resolved anew and built by themselves".into(),
                next: (*next).into(),
            });
        }
    }
    Ok(())
}

/// Takes in the indexes of which conditions choose.
fn rule_out(uv: &toml::Value, indexes: &mut Indexes) {
    let sources = uv.get("sources").and_then(toml::Value::as_table);
    for (name, source) in sources.into_iter().flatten() {
        let several = source.as_array().map(Vec::as_slice);
        for source in several.unwrap_or(std::slice::from_ref(source)) {
            let mut conditions = ["marker", "extra", "group"].iter();
            let has_condition = conditions.any(|key| source.get(*key).is_some());
            let is_one_of = has_condition || several.is_some_and(|all| all.len() > 1);
            let index = source.get("index").and_then(toml::Value::as_str);
            if let Some(index) = index.filter(|_| is_one_of) {
                indexes.is_ruled_out(name, index);
            }
        }
    }
}

/// A requirement in its parts.
struct Wish<'a> {
    name: &'a str,
    /// `[gpu]`.
    extras: &'a str,
    marker: &'a str,
}

impl<'a> Wish<'a> {
    fn of(text: &'a str) -> Self {
        let (target, marker) = text.split_once(';').unwrap_or((text, ""));
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let end = target.find(|c: char| !is_name(c)).unwrap_or(target.len());
        let rest = target[end..].trim_start();
        let extras = rest.find(']').filter(|_| rest.starts_with('['));
        Self {
            name: &target[..end],
            extras: extras.map_or("", |end| &rest[..=end]),
            marker: marker.trim(),
        }
    }

    /// The requirement from a folder, a repository or an address; `None` where it stays as it is.
    fn from(&self, around: &Around, source: &toml::Value) -> Option<String> {
        let text = |key: &str| source.get(key)?.as_str();
        let marker = match self.marker {
            "" => String::new(),
            marker => format!(" ; {marker}"),
        };
        let (name, extras) = (self.name, self.extras);
        if let Some(path) = text("path") {
            let path = path_line(around.file, path);
            let is_editable = source.get("editable").and_then(toml::Value::as_bool) == Some(true);
            let editable = if is_editable { "-e " } else { "" };
            return Some(format!("{editable}{path}{extras}"));
        }
        if let Some(address) = text("git") {
            let source = poetry::of_git(address, text);
            return Some(format!("{name}{extras} @ {source}{marker}"));
        }
        let address = text("url")?;
        let part = text("subdirectory").map_or(String::new(), |s| format!("#subdirectory={s}"));
        Some(format!("{name}{extras} @ {address}{part}{marker}"))
    }
}

/// The source that holds for this image, of one or several with conditions.
fn chosen<'a>(around: &Around, source: &'a toml::Value) -> Option<&'a toml::Value> {
    let several = source.as_array().map(Vec::as_slice);
    let mut sources = several.unwrap_or(std::slice::from_ref(source)).iter();
    let is_in = |value: Option<&toml::Value>, chosen: &[String]| {
        let name = value.and_then(toml::Value::as_str);
        name.is_none_or(|name| chosen.iter().any(|one| same(one, name)))
    };
    sources.find(|source| {
        let marker = source.get("marker").and_then(toml::Value::as_str);
        in_image(marker.unwrap_or_default())
            && is_in(source.get("extra"), around.choice.extras)
            && is_in(source.get("group"), around.choice.groups)
    })
}

/// Packages that uv builds without isolation, or with further packages beside those that they name.
pub(crate) fn open_builds(table: &toml::Table) -> BTreeMap<String, Vec<String>> {
    let uv = uv_of(table);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in strings(uv.and_then(|uv| uv.get("no-build-isolation-package"))) {
        found.entry(mlbuild_wheels::normalize(name)).or_default();
    }
    let extra = uv.and_then(|uv| uv.get("extra-build-dependencies")?.as_table());
    for (name, needs) in extra.into_iter().flatten() {
        let needs = needs.as_array().into_iter().flatten();
        let needs = needs.filter_map(|need| need.as_str().or(need.get("requirement")?.as_str()));
        let of_package = found.entry(mlbuild_wheels::normalize(name)).or_default();
        of_package.extend(needs.map(str::to_owned));
    }
    found
}

fn uv_of(table: &toml::Table) -> Option<&toml::Value> {
    table.get("tool")?.get("uv")
}

/// The workspace that the project belongs to: its folder and its `pyproject.toml`.
fn workspace(around: &Around) -> Option<(String, toml::Table)> {
    let is_one = |table: &toml::Table| uv_of(table).is_some_and(|uv| uv.get("workspace").is_some());
    let mut folder = normalize(folder_of(around.file));
    if is_one(around.table) {
        return Some((folder, around.table.clone()));
    }
    while !folder.is_empty() {
        folder = folder
            .rsplit_once('/')
            .map_or(String::new(), |(above, _)| above.to_owned());
        if let Some(table) = pyproject(around.project, &folder).filter(is_one) {
            return Some((folder, table));
        }
    }
    None
}

fn pyproject(project: &Path, folder: &str) -> Option<toml::Table> {
    let text = text_of(&project.join(folder), "pyproject.toml").ok()?;
    toml_of("pyproject.toml", &text).ok()
}

/// The folders of a workspace's members, by their names. Patterns may end in `*`.
fn members_of(project: &Path, root: &str, table: &toml::Table) -> BTreeMap<String, String> {
    let members = uv_of(table).and_then(|uv| uv.get("workspace")?.get("members"));
    let mut folders = vec![root.to_owned()];
    for pattern in strings(members) {
        let pattern = normalize(&format!("{root}/{pattern}"));
        if pattern.starts_with("..") {
            continue; // no part of the project
        }
        let Some(above) = pattern.strip_suffix('*') else {
            folders.push(pattern);
            continue;
        };
        let above = above.trim_end_matches('/');
        let entries = std::fs::read_dir(project.join(above)).into_iter().flatten();
        let names = entries
            .flatten()
            .filter_map(|e| e.file_name().into_string().ok());
        folders.extend(names.map(|name| normalize(&format!("{above}/{name}"))));
    }
    folders.sort();
    let mut by_name = BTreeMap::new();
    for folder in folders {
        let table = pyproject(project, &folder).unwrap_or_default();
        let name = table.get("project").and_then(|p| p.get("name")?.as_str());
        if let Some(name) = name {
            by_name.entry(plain(name)).or_insert(folder);
        }
    }
    by_name
}
