//! `uv.lock` and `pylock.toml`: which packages they pin.

use std::path::Path;
use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifier, VersionSpecifiers};

use super::requirements::pep508::requirement;
use super::{ImagePython, LocalProject, ProjectError, Wanted};

/// The packages that a `uv.lock` pins, by its path relative to the project.
///
/// # Errors
/// Where it can't be read or isn't TOML.
pub fn locked_by_uv(
    project: &Path,
    file: &str,
    python: &ImagePython,
) -> Result<Vec<Wanted>, ProjectError> {
    locked(project, file, "package", python)
}

/// The projects of the context that a `uv.lock` installs: the project itself and the members of its
/// workspace, but for those that are no packages.
///
/// # Errors
/// Where the lock can't be read.
pub fn members_of_uv(project: &Path, folder: &str) -> Result<Vec<LocalProject>, ProjectError> {
    let file = match folder.trim_end_matches('/') {
        "" | "." => "uv.lock".to_owned(),
        folder => format!("{folder}/uv.lock"),
    };
    let table = table_of(project, &file)?;
    let packages = table.get("package").and_then(toml::Value::as_array);
    let members = packages.into_iter().flatten().filter_map(|package| {
        let source = package.get("source")?;
        let editable = source.get("editable").and_then(toml::Value::as_str);
        let path = editable.or_else(|| source.get("directory")?.as_str())?;
        let path = super::requirements::normalize(&format!("{folder}/{path}"));
        let outside = path.starts_with("..");
        (!outside).then(|| LocalProject {
            folder: if path.is_empty() {
                ".".to_owned()
            } else {
                path
            },
            extras: Vec::new(),
            editable: editable.is_some(),
            origin: file.clone(),
        })
    });
    Ok(members.collect())
}

/// The packages that a `pylock.toml` (PEP 751) pins, by its path relative to the project.
///
/// # Errors
/// Where it can't be read or isn't TOML.
pub fn locked_by_pylock(
    project: &Path,
    file: &str,
    python: &ImagePython,
) -> Result<Vec<Wanted>, ProjectError> {
    locked(project, file, "packages", python)
}

pub(super) fn table_of(project: &Path, file: &str) -> Result<toml::Table, ProjectError> {
    let unreadable = |reason: String| ProjectError::Unreadable {
        path: file.into(),
        reason,
        hint: "write it again with uv lock (or uv export --format pylock.toml)".into(),
    };
    let text = mlbuild_files::read_to_string(&project.join(file))
        .map_err(|error| unreadable(error.to_string()))?;
    text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.unwrap_or("").matches('\n').count() + 1;
        unreadable(format!("line {line}: {}", error.message()))
    })
}

/// What markers are judged by.
pub(super) struct Markers(pep508_rs::MarkerEnvironment);

impl Markers {
    pub fn of(python: &ImagePython) -> Self {
        Self(python.markers())
    }

    /// Whether a marker holds; those of extras and groups do.
    pub fn hold(&self, marker: &str) -> bool {
        let read = requirement(&format!("x ; {marker}"));
        let known = !marker.contains("extras") && !marker.contains("dependency_groups");
        read.map_or(true, |read| !known || read.marker.evaluate(&self.0, &[]))
    }

    /// A package of `pylock.toml` has one marker; of `uv.lock`, those of its forks: one has to hold.
    pub fn hold_for(&self, package: &toml::Value) -> bool {
        let marker = package.get("marker").and_then(toml::Value::as_str);
        let forks = package
            .get("resolution-markers")
            .and_then(toml::Value::as_array);
        let mut forks = forks
            .into_iter()
            .flatten()
            .filter_map(toml::Value::as_str)
            .peekable();
        marker.is_none_or(|marker| self.hold(marker))
            && (forks.peek().is_none() || forks.any(|fork| self.hold(fork)))
    }
}

fn locked(
    project: &Path,
    file: &str,
    key: &str,
    python: &ImagePython,
) -> Result<Vec<Wanted>, ProjectError> {
    let table = table_of(project, file)?;
    let markers = Markers::of(python);
    let packages = table.get(key).and_then(toml::Value::as_array);
    let packages = packages.into_iter().flatten().filter_map(|package| {
        let name = package.get("name")?.as_str()?.to_owned();
        if !markers.hold_for(package) {
            return None;
        }
        let version = package.get("version").and_then(toml::Value::as_str);
        let version = version.and_then(|v| Version::from_str(v).ok());
        Some(Wanted {
            name,
            extras: Vec::new(),
            versions: version.map(|v| VersionSpecifiers::from(VersionSpecifier::equals_version(v))),
            origin: file.to_owned(),
        })
    });
    Ok(packages.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_read() {
        let python = ImagePython::default();
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write(
            "uv.lock",
            "version = 1\n[[package]]\nname = \"torch\"\nversion = \"2.8.0\"\n[[package]]\nname = \"me\"\nsource = { virtual = \".\" }\n",
        );
        write(
            "pylock.toml",
            "lock-version = \"1.0\"\n[[packages]]\nname = \"numpy\"\nversion = \"2.1\"\n",
        );
        write("broken.lock", "[[");
        let uv = locked_by_uv(dir.path(), "uv.lock", &python).unwrap();
        assert_eq!(uv[0].name, "torch");
        assert_eq!(uv[0].versions.as_ref().unwrap().to_string(), "==2.8.0");
        assert_eq!(
            locked_by_pylock(dir.path(), "pylock.toml", &python).unwrap()[0].name,
            "numpy"
        );
        assert!(locked_by_uv(dir.path(), "broken.lock", &python).is_err());
        assert!(locked_by_uv(dir.path(), "none.lock", &python).is_err());
    }
}
