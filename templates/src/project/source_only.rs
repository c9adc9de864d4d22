//! Packages of a lock that have to be built from their sources: the lock names no wheel of them that
//! fits the image.

use std::collections::{BTreeMap, BTreeSet};

use mlbuild_wheels::{Libc, Platform, Tags, WheelName};

use super::ImagePython;
use super::locks::{Markers, ProjectLock};
use crate::tables::Machine;

/// A package of a lock without a wheel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceOnly {
    /// Its canonical name.
    pub name: String,
    /// What an installer is given: `NAME==VERSION`, with the hash of its archive where the lock has it, or
    /// `NAME @ ADDRESS`.
    pub line: String,
    /// Whether it comes from an address, such as a repository, and not from an index.
    pub is_address: bool,
    /// The lock.
    pub origin: String,
}

impl ProjectLock {
    /// The packages that have to be built. Of a `uv.lock` only what is installed counts, by the extras and
    /// groups that are chosen.
    pub(crate) fn source_only(
        &self,
        image: &ImagePython,
        (extras, groups): (&[String], &[String]),
    ) -> Vec<SourceOnly> {
        let markers = Markers::of(image);
        let is_of_uv = self.file.ends_with("uv.lock");
        let needed = is_of_uv.then(|| needed(self.packages(), &markers, extras, groups));
        let tags = tags(image);
        let found = self.packages().filter_map(|package| {
            let name = mlbuild_wheels::normalize(package.get("name")?.as_str()?);
            if !markers.hold_for(package) || needed.as_ref().is_some_and(|n| !n.contains(&name)) {
                return None;
            }
            let (line, is_address) = match address(package, &name) {
                Some(line) => (line, true),
                None => (of_index(package, &name, &tags)?, false),
            };
            Some(SourceOnly {
                name,
                line,
                is_address,
                origin: self.file.clone(),
            })
        });
        found.collect()
    }
}

/// The tags of the image's Python, on a C library that is as new as any base's.
fn tags(image: &ImagePython) -> Option<Tags> {
    let machine = match image.machine {
        Machine::X86_64 => "x86_64",
        Machine::Aarch64 => "aarch64",
    };
    let platform = Platform {
        machine: machine.to_owned(),
        libc: Libc::Glibc(2, 36),
    };
    Some(Tags::of(image.version.parse().ok()?, &platform))
}

/// A package from an index: `None` where a wheel fits, or where the lock doesn't say which files there are.
fn of_index(package: &toml::Value, name: &str, tags: &Option<Tags>) -> Option<String> {
    let is_from_index = match package.get("source") {
        None => true,
        Some(source) => source.get("registry").is_some() || source.get("type").is_some(),
    };
    let version = package.get("version")?.as_str()?;
    let name_of = |file: &toml::Value| {
        let text = |key: &str| file.get(key)?.as_str();
        let url = text("url").or(text("path"));
        let last = url.and_then(|url| url.split(['#', '?']).next()?.rsplit('/').next());
        let name = text("name").or(text("file")).or(last)?;
        Some(name.replace("%2B", "+"))
    };
    let list = |key: &str| package.get(key).and_then(toml::Value::as_array);
    let files: Vec<String> = [list("wheels"), list("files")]
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(name_of)
        .collect();
    let sdist = package.get("sdist").or_else(|| {
        let mut files = list("files").into_iter().flatten();
        files.find(|file| name_of(file).is_some_and(|name| !name.ends_with(".whl")))
    })?;
    let wheels: Vec<WheelName> = files
        .iter()
        .filter_map(|file| WheelName::parse(file).ok())
        .collect();
    let fits = wheels
        .iter()
        .any(|wheel| tags.as_ref().is_none_or(|tags| tags.rank(wheel).is_some()));
    if !is_from_index || fits {
        return None;
    }
    let of_uv = sdist.get("hash").and_then(toml::Value::as_str);
    let of_pylock = sdist
        .get("hashes")
        .and_then(|hashes| hashes.get("sha256")?.as_str());
    let hash = match (of_uv, of_pylock) {
        (Some(hash), _) if hash.starts_with("sha256:") => format!(" --hash={hash}"),
        (_, Some(hash)) => format!(" --hash=sha256:{hash}"),
        _ => String::new(),
    };
    Some(format!("{name}=={version}{hash}"))
}

/// A package of a repository: `NAME @ git+ADDRESS@COMMIT`.
fn address(package: &toml::Value, name: &str) -> Option<String> {
    let of_uv = package.get("source").and_then(|s| s.get("git")?.as_str());
    if let Some(text) = of_uv {
        let (address, commit) = text.split_once('#').unwrap_or((text, ""));
        let (address, query) = address.split_once('?').unwrap_or((address, ""));
        let mut parts = query.split('&');
        let folder = parts.find_map(|part| part.strip_prefix("subdirectory="));
        let folder = folder.map_or(String::new(), |f| format!("#subdirectory={f}"));
        return Some(format!("{name} @ git+{address}@{commit}{folder}"));
    }
    let vcs = package.get("vcs")?;
    let text = |key: &str| vcs.get(key)?.as_str();
    let folder = text("subdirectory").map_or(String::new(), |f| format!("#subdirectory={f}"));
    let (kind, url, commit) = (text("type")?, text("url")?, text("commit-id")?);
    Some(format!("{name} @ {kind}+{url}@{commit}{folder}"))
}

/// The packages of a `uv.lock` that its projects need, with the extras and groups that are chosen.
fn needed<'a>(
    packages: impl Iterator<Item = &'a toml::Value>,
    markers: &Markers,
    extras: &[String],
    groups: &[String],
) -> BTreeSet<String> {
    let mut by_name: BTreeMap<String, Vec<&toml::Value>> = BTreeMap::new();
    let mut open: Vec<(String, String)> = Vec::new();
    for package in packages {
        let Some(name) = package.get("name").and_then(toml::Value::as_str) else {
            continue;
        };
        let name = mlbuild_wheels::normalize(name);
        let source = package.get("source");
        let is_own = ["editable", "virtual", "directory"]
            .iter()
            .any(|key| source.is_some_and(|source| source.get(*key).is_some()));
        if is_own {
            open.push((name.clone(), String::new()));
            let chosen = extras
                .iter()
                .map(|extra| format!("optional-dependencies/{extra}"));
            let chosen = chosen.chain(
                groups
                    .iter()
                    .map(|group| format!("dev-dependencies/{group}")),
            );
            open.extend(chosen.map(|part| (name.clone(), part)));
        }
        by_name.entry(name).or_default().push(package);
    }
    let mut done: BTreeSet<(String, String)> = BTreeSet::new();
    while let Some(next) = open.pop() {
        if !done.insert(next.clone()) {
            continue;
        }
        let (name, part) = &next;
        for package in by_name.get(name).into_iter().flatten() {
            let list = match part.split_once('/') {
                None => package.get("dependencies"),
                Some((table, key)) => package.get(table).and_then(|table| table.get(key)),
            };
            for dependency in list.and_then(toml::Value::as_array).into_iter().flatten() {
                let marker = dependency.get("marker").and_then(toml::Value::as_str);
                let name = dependency.get("name").and_then(toml::Value::as_str);
                let Some(name) = name.filter(|_| marker.is_none_or(|m| markers.hold(m))) else {
                    continue;
                };
                let name = mlbuild_wheels::normalize(name);
                let extras = dependency.get("extra").and_then(toml::Value::as_array);
                for extra in extras.into_iter().flatten().filter_map(toml::Value::as_str) {
                    open.push((name.clone(), format!("optional-dependencies/{extra}")));
                }
                open.push((name, String::new()));
            }
        }
    }
    done.into_iter().map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(file: &str, text: &str, groups: &[&str]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(file), text).unwrap();
        let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
        let image = ImagePython::default();
        let lock = ProjectLock::read(dir.path(), file).unwrap();
        let found = lock.source_only(&image, (&[], &groups));
        found.into_iter().map(|found| found.line).collect()
    }

    #[test]
    fn what_a_lock_has_no_wheel_of_is_named() {
        let uv = r#"
[[package]]
name = "me"
source = { virtual = "." }
dependencies = [
    { name = "a" }, { name = "b" }, { name = "r" }, { name = "w" },
    { name = "nt", marker = "sys_platform == 'win32'" },
]
[package.dev-dependencies]
dev = [{ name = "d" }]
[[package]]
name = "a"
version = "1"
source = { registry = "https://x.org/simple" }
sdist = { url = "https://x.org/a-1.tar.gz", hash = "sha256:00" }
[[package]]
name = "b"
version = "2"
source = { registry = "https://x.org/simple" }
sdist = { url = "https://x.org/b-2.tar.gz", hash = "sha256:00" }
wheels = [{ url = "https://x.org/b-2-cp312-cp312-manylinux_2_28_x86_64.whl" }]
[[package]]
name = "w"
version = "3"
source = { registry = "https://x.org/simple" }
sdist = { url = "https://x.org/w-3.tar.gz", hash = "sha256:01" }
wheels = [{ url = "https://x.org/w-3-cp312-cp312-win_amd64.whl" }, { url = "https://x.org/w-3-cp39-cp39-manylinux_2_28_x86_64.whl" }]
[[package]]
name = "d"
version = "4"
source = { registry = "https://x.org/simple" }
sdist = { url = "https://x.org/d-4.tar.gz", hash = "sha256:02" }
[[package]]
name = "nt"
version = "5"
source = { registry = "https://x.org/simple" }
sdist = { url = "https://x.org/nt-5.tar.gz", hash = "sha256:02" }
[[package]]
name = "r"
version = "6"
source = { git = "https://x.org/r?rev=v1&subdirectory=py#abc" }
"#;
        let (a, r, w) = (
            "a==1 --hash=sha256:00",
            "r @ git+https://x.org/r@abc#subdirectory=py",
            "w==3 --hash=sha256:01",
        );
        assert_eq!(lines("uv.lock", uv, &[]), [a, w, r]);
        assert_eq!(
            lines("uv.lock", uv, &["dev"]),
            [a, w, "d==4 --hash=sha256:02", r]
        );
        let pylock = r#"
[[packages]]
name = "a"
version = "1"
sdist = { url = "https://x.org/a-1.tar.gz", hashes = { sha256 = "00" } }
[[packages]]
name = "b"
version = "2"
sdist = { url = "https://x.org/b-2.tar.gz", hashes = { sha256 = "00" } }
wheels = [{ url = "https://x.org/b-2-py3-none-any.whl" }]
"#;
        for file in ["pylock.toml", "pylock.gpu.toml", "requirements.lock"] {
            assert_eq!(lines(file, pylock, &[]), [a], "{file}");
        }
        let poetry = r#"
[[package]]
name = "A.b"
version = "1"
files = [{ file = "A.b-1.tar.gz", hash = "sha256:00" }]
[[package]]
name = "b"
version = "2"
files = [{ file = "b-2-py3-none-any.whl", hash = "sha256:00" }, { file = "b-2.tar.gz", hash = "sha256:01" }]
"#;
        assert_eq!(
            lines("poetry.lock", poetry, &[]),
            ["a-b==1 --hash=sha256:00"]
        );
    }
}
