//! Which packages came, went or changed their version, as the files of the images tell.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::groups::Group;
use super::report::{PackageDifference, Pair};
use super::side::Side;
use crate::image::installed::{self, MAX_STATUS, Versions};
use crate::image::layer::{EntryPath, LayerError, LayerLimits, read_layer};

/// The packages of a table's layers.
#[derive(Debug, Default)]
pub(super) struct Packages {
    /// By the file that names them; `None` in a file that only others tell.
    apt: BTreeMap<EntryPath, Versions>,
    python: BTreeMap<EntryPath, (String, String)>,
    conda: BTreeMap<EntryPath, (String, String)>,
}

impl Packages {
    /// Takes what a file says.
    pub(super) fn add(&mut self, path: &EntryPath, start: &[u8]) {
        let text = String::from_utf8_lossy(start);
        if path.as_bytes().starts_with(b"var/lib/dpkg/") {
            self.apt.insert(path.clone(), installed::status(&text));
        } else if let Some(package) = installed::conda(path) {
            self.conda.insert(path.clone(), package);
        } else if let Some(package) = installed::metadata(&text) {
            self.python.insert(path.clone(), package);
        }
    }

    /// True for a file that says something.
    pub(super) fn has(&self, path: &EntryPath) -> bool {
        let (apt, python) = (&self.apt, &self.python);
        apt.contains_key(path) || python.contains_key(path) || self.conda.contains_key(path)
    }

    /// Keeps what the files say that are still there.
    pub(super) fn keep(&mut self, there: &BTreeSet<EntryPath>) {
        self.apt.retain(|path, _| there.contains(path));
        self.python.retain(|path, _| there.contains(path));
        self.conda.retain(|path, _| there.contains(path));
    }
}

/// Packages of an image: all layers that were read.
#[derive(Default)]
pub(super) struct Found {
    apt: BTreeMap<EntryPath, Versions>,
    python: Versions,
    conda: Versions,
}

/// Adds what a group's layers have; called from the lowest to the topmost.
pub(super) fn add(apt: &mut Pair<Found>, python: &mut Pair<Found>, group: Pair<Packages>) {
    for (found, others, packages) in [
        (&mut apt.first, &mut python.first, group.first),
        (&mut apt.second, &mut python.second, group.second),
    ] {
        found.apt.extend(packages.apt);
        others.python.extend(packages.python.into_values());
        others.conda.extend(packages.conda.into_values());
    }
}

/// Where only one image's own layers say which Debian packages there are, the other's are in
/// a layer that both share: the topmost that has the file is read up to it.
pub(super) fn complete<'a>(
    apt: &mut Pair<Found>,
    first: &Side<'a>,
    second: &Side<'a>,
    groups: &[Group],
) -> Result<(), LayerError> {
    let status = EntryPath::from("var/lib/dpkg/status");
    let (a, b) = (
        apt.first.apt.contains_key(&status),
        apt.second.apt.contains_key(&status),
    );
    let (side, found) = match (a, b) {
        (true, false) => (second, &mut apt.second),
        (false, true) => (first, &mut apt.first),
        _ => return Ok(()),
    };
    let is_read = |at: usize| {
        let range = |g: &Group| if a { g.second.clone() } else { g.first.clone() };
        groups
            .iter()
            .any(|g| !g.is_repacked && range(g).contains(&at))
    };
    for at in (0..side.image.layers.len())
        .rev()
        .filter(|at| !is_read(*at))
    {
        let layer = &side.image.layers[at];
        let limits = LayerLimits::for_blob(layer.blob.size());
        let mut versions = None;
        read_layer(side.open(layer)?, layer, &limits, &mut |entry, content| {
            if entry.path != status {
                return Ok(ControlFlow::Continue(()));
            }
            let seen =
                super::hashed::read(content, false, MAX_STATUS, &mut super::hashed::buffer())?;
            versions = Some(installed::status(&String::from_utf8_lossy(&seen.start)));
            Ok(ControlFlow::Break(()))
        })?;
        if let Some(versions) = versions {
            found.apt.insert(status, versions);
            return Ok(());
        }
    }
    Ok(())
}

/// What came, went or changed its version.
pub(super) fn differences(apt: &Pair<Found>, python: &Pair<Found>) -> Vec<PackageDifference> {
    let all = |found: &Found| -> Versions {
        let files = found.apt.values();
        files.flat_map(|versions| versions.clone()).collect()
    };
    let mut found = between("apt", &all(&apt.first), &all(&apt.second));
    let (a, b) = (&python.first.python, &python.second.python);
    found.extend(between("python", a, b));
    let (a, b) = (&python.first.conda, &python.second.conda);
    found.extend(between("conda", a, b));
    found
}

fn between(kind: &'static str, first: &Versions, second: &Versions) -> Vec<PackageDifference> {
    let names: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let differ = names
        .into_iter()
        .filter(|name| first.get(*name) != second.get(*name));
    let found = differ.map(|name| PackageDifference {
        kind,
        name: name.clone(),
        first: first.get(name).cloned(),
        second: second.get(name).cloned(),
    });
    found.collect()
}
