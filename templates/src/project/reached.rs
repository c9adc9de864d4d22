//! Which packages of a lock an installation without its groups reaches: those that are asked for, and what these
//! depend on. A `poetry.lock` or `pdm.lock` has those of every group and extra.

use std::collections::{BTreeMap, BTreeSet};

use super::locks::{Markers, ProjectLock};
use super::requirements::pep508::requirement;
use super::{ImagePython, Wanted};

impl ProjectLock {
    /// The packages that `roots` (normalized names) lead to, each in the version of the lock. Of packages that it
    /// has in several versions none is said to be installed.
    pub(crate) fn reached(&self, roots: &[&str], python: &ImagePython) -> Vec<Wanted> {
        let markers = Markers::of(python);
        let mut by_name: BTreeMap<String, Vec<&toml::Value>> = BTreeMap::new();
        for package in self.packages() {
            if let Some(name) = package.get("name").and_then(toml::Value::as_str) {
                let name = mlbuild_wheels::normalize(name);
                by_name.entry(name).or_default().push(package);
            }
        }
        let mut open: Vec<String> = roots.iter().map(|root| (*root).to_owned()).collect();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        while let Some(name) = open.pop() {
            let packages = by_name.get(&name).map(Vec::as_slice).unwrap_or_default();
            if !packages.is_empty() && seen.insert(name) {
                open.extend(packages.iter().flat_map(|one| needs(one, &markers)));
            }
        }
        let mut pinned = self.wanted(python);
        pinned.retain_mut(|wanted| {
            wanted.name = mlbuild_wheels::normalize(&wanted.name);
            let is_single = by_name.get(&wanted.name).is_some_and(|all| all.len() == 1);
            is_single && seen.contains(&wanted.name) && wanted.versions.is_some()
        });
        pinned
    }

    /// The Python versions that it was made for, as its project says them: of `poetry.lock` and `uv.lock`. A
    /// workspace's are those of all its members, and a `pdm.lock` may be made for fewer on purpose.
    pub(crate) fn python(&self) -> Option<String> {
        let metadata = self.table.get("metadata");
        if let Some(of_poetry) = metadata.and_then(|metadata| metadata.get("python-versions")) {
            return super::manifests::python_of_poetry(of_poetry.as_str()?);
        }
        let members = self.table.get("manifest").and_then(|m| m.get("members"));
        let members = members.and_then(toml::Value::as_array);
        let is_one = members.is_none_or(|members| members.len() < 2);
        let python = self.table.get("requires-python")?.as_str()?;
        is_one.then(|| python.to_owned())
    }
}

/// What a package depends on: a table by name (Poetry), or a list of requirements (PDM).
fn needs(package: &toml::Value, markers: &Markers) -> Vec<String> {
    match package.get("dependencies") {
        Some(toml::Value::Table(table)) => {
            let needed = table.iter().filter(|(_, wish)| {
                let several = wish.as_array().map(Vec::as_slice);
                let mut several = several.unwrap_or(std::slice::from_ref(*wish)).iter();
                several.any(|wish| is_needed(wish, markers))
            });
            needed
                .map(|(name, _)| mlbuild_wheels::normalize(name))
                .collect()
        }
        Some(toml::Value::Array(list)) => {
            let lines = list.iter().filter_map(toml::Value::as_str);
            let needed = lines.filter_map(|line| {
                let (_, marker) = line.split_once(';').unwrap_or((line, ""));
                let holds = marker.trim().is_empty() || markers.hold(marker.trim());
                let read = requirement(line).ok().filter(|_| holds)?;
                Some(mlbuild_wheels::normalize(read.name.as_ref()))
            });
            needed.collect()
        }
        _ => Vec::new(),
    }
}

fn is_needed(wish: &toml::Value, markers: &Markers) -> bool {
    let is_optional = wish.get("optional").and_then(toml::Value::as_bool) == Some(true);
    let marker = wish.get("markers").and_then(toml::Value::as_str);
    !is_optional && marker.is_none_or(|marker| markers.hold(marker))
}
