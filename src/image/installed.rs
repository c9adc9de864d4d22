//! Packages, as the files of an image tell: dpkg's status, and the metadata of Python
//! distributions.

use std::collections::BTreeMap;

use super::layer::EntryPath;

const STATUS: &[u8] = b"var/lib/dpkg/status";
/// Where images without dpkg keep a file for each package.
const STATUS_FILES: &[u8] = b"var/lib/dpkg/status.d/";
/// Largest status file that is read, in bytes: thousands of packages fit.
pub(super) const MAX_STATUS: usize = 16 << 20;
/// The headers of Python metadata come first.
const MAX_METADATA: usize = 16 << 10;

/// Versions by name.
pub(super) type Versions = BTreeMap<String, String>;

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
        _ if conda(path).is_some() => 1,
        _ => 0,
    }
}

/// `name:architecture` and version of the packages that a status file says are installed.
pub(super) fn status(text: &str) -> Versions {
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

/// Name and version of a package of conda, as the file says by its name that lists what it installed.
pub(super) fn conda(path: &EntryPath) -> Option<(String, String)> {
    let path = std::str::from_utf8(path.as_bytes()).ok()?;
    let (folder, name) = path.rsplit_once('/')?;
    let stem = name
        .strip_suffix(".json")
        .filter(|_| folder.ends_with("/conda-meta"))?;
    let mut parts = stem.rsplitn(3, '-');
    let (_build, version, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some((name.to_owned(), version.to_owned()))
}

/// Normalized name and version of a Python distribution.
pub(super) fn metadata(text: &str) -> Option<(String, String)> {
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
