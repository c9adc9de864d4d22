//! Packages, as the files of an image tell: dpkg's status, and the metadata of Python
//! distributions.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::Side;
use super::groups::Group;
use super::report::{PackageDifference, Pair};
use super::table::Table;
use crate::image::layer::{EntryPath, LayerError, LayerLimits, read_layer};

const STATUS: &[u8] = b"var/lib/dpkg/status";
/// Where images without dpkg keep a file for each package.
const STATUS_FILES: &[u8] = b"var/lib/dpkg/status.d/";
/// Largest status file that is read, in bytes: thousands of packages fit.
const MAX_STATUS: usize = 16 << 20;
/// The headers of Python metadata come first.
const MAX_METADATA: usize = 16 << 10;

/// Versions by name.
type Versions = BTreeMap<String, String>;

/// The packages of a table's layers.
#[derive(Debug, Default)]
pub(super) struct Packages {
    /// By the file that names them; `None` in a file that only others tell.
    apt: BTreeMap<EntryPath, Versions>,
    python: BTreeMap<EntryPath, (String, String)>,
}

/// How many bytes of a file have to be kept to read packages from it.
pub(super) fn keeps(path: &EntryPath) -> usize {
    let bytes = path.as_bytes();
    let is_python = [&b".dist-info/METADATA"[..], b".egg-info/PKG-INFO"]
        .iter()
        .any(|end| bytes.ends_with(end));
    let is_status =
        bytes == STATUS || (bytes.starts_with(STATUS_FILES) && !bytes.ends_with(b".md5sums"));
    match (is_status, is_python) {
        (true, _) => MAX_STATUS,
        (_, true) => MAX_METADATA,
        _ => 0,
    }
}

impl Packages {
    /// Takes what a file says.
    pub(super) fn add(&mut self, path: &EntryPath, start: &[u8]) {
        let text = String::from_utf8_lossy(start);
        if path.as_bytes().starts_with(b"var/lib/dpkg/") {
            self.apt.insert(path.clone(), status(&text));
        } else if let Some(package) = metadata(&text) {
            self.python.insert(path.clone(), package);
        }
    }

    /// Keeps what the files say that are still there.
    pub(super) fn keep(&mut self, is_there: impl Fn(&EntryPath) -> bool) {
        self.apt.retain(|path, _| is_there(path));
        self.python.retain(|path, _| is_there(path));
    }
}

/// Packages of an image: all layers that were read.
#[derive(Default)]
pub(super) struct Found {
    apt: BTreeMap<EntryPath, Versions>,
    python: Versions,
}

/// Adds what a group's layers have; called from the lowest to the topmost.
pub(super) fn add(apt: &mut Pair<Found>, python: &mut Pair<Found>, a: Table, b: Table) {
    for (found, others, table) in [
        (&mut apt.first, &mut python.first, a),
        (&mut apt.second, &mut python.second, b),
    ] {
        found.apt.extend(table.packages.apt);
        others.python.extend(table.packages.python.into_values());
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
            versions = Some(self::status(&String::from_utf8_lossy(&seen.start)));
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

/// `name:architecture` and version of the packages that a status file says are installed.
fn status(text: &str) -> Versions {
    let mut found = Versions::new();
    for paragraph in text.split("\n\n") {
        let field = |name: &str| {
            let lines = paragraph.lines();
            let mut values = lines.filter_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
            values.next()
        };
        // Files of images without dpkg have no such line: what is there is installed.
        let is_installed = field("Status").is_none_or(|s| s.ends_with(" installed"));
        if let (Some(name), Some(version), true) =
            (field("Package"), field("Version"), is_installed)
        {
            let arch = field("Architecture").unwrap_or("all");
            found.insert(format!("{name}:{arch}"), version.to_owned());
        }
    }
    found
}

/// Normalized name and version of a Python distribution.
fn metadata(text: &str) -> Option<(String, String)> {
    let headers = text.lines().take_while(|line| !line.is_empty());
    let of = |name: &str| headers.clone().find_map(|l| l.strip_prefix(name));
    let (name, version) = (of("Name: ")?, of("Version: ")?);
    let mut normal = String::new();
    for c in name.trim().to_ascii_lowercase().chars() {
        match c {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            c => normal.push(c),
        }
    }
    Some((normal, version.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_from_what_they_leave() {
        let text = "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2-3\n\n\
            Package: b\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n\n\
            Package: c\nVersion: 2\nDescription: x\n Version: no\n";
        let found: Vec<_> = status(text).into_iter().collect();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(found, [pair("a:amd64", "1:2-3"), pair("c:all", "2")]);
        let text = "Metadata-Version: 2.1\nName: Foo_.Bar\nVersion: 1.0\n\nName: other\n";
        assert_eq!(metadata(text), Some(pair("foo-bar", "1.0")));
        assert_eq!(metadata("Name: x\n"), None);
    }
}
