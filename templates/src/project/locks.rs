//! Locks of projects: which packages they pin.

use std::path::Path;
use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifier, VersionSpecifiers};

use super::requirements::pep508::requirement;
use super::{ImagePython, LocalProject, ProjectError, Wanted};

/// A lock of a project, read once: `uv.lock`, `pylock.toml` (PEP 751), `poetry.lock`, `pdm.lock`.
#[derive(Debug)]
pub struct ProjectLock {
    /// Its path relative to the project.
    pub(super) file: String,
    pub(super) table: toml::Table,
}

impl ProjectLock {
    /// Reads one, by its path relative to the project.
    ///
    /// # Errors
    /// Where it can't be read or isn't TOML.
    pub fn read(project: &Path, file: &str) -> Result<Self, ProjectError> {
        let unreadable = |reason: String| ProjectError::Unreadable {
            path: file.into(),
            reason,
            hint: "write it again with uv lock (or uv export --format pylock.toml)".into(),
        };
        let text = mlbuild_files::read_to_string(&project.join(file))
            .map_err(|error| unreadable(error.to_string()))?;
        let table = text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.unwrap_or("").matches('\n').count() + 1;
            unreadable(format!("line {line}: {}", error.message()))
        })?;
        let file = file.to_owned();
        Ok(Self { file, table })
    }

    /// Its packages: `pylock.toml` lists them under another name than the others.
    pub(super) fn packages(&self) -> impl Iterator<Item = &toml::Value> {
        let lists = ["packages", "package"].into_iter();
        let mut lists = lists.filter_map(|key| self.table.get(key)?.as_array());
        lists.next().into_iter().flatten()
    }

    /// The packages that it pins.
    pub fn wanted(&self, python: &ImagePython) -> Vec<Wanted> {
        let markers = Markers::of(python);
        let wanted = self.packages().filter_map(|package| {
            let name = package.get("name")?.as_str()?.to_owned();
            if !markers.hold_for(package) {
                return None;
            }
            let version = package.get("version").and_then(toml::Value::as_str);
            let version = version.and_then(|v| Version::from_str(v).ok());
            let versions = version.map(VersionSpecifier::equals_version);
            Some(Wanted {
                name,
                extras: Vec::new(),
                versions: versions.map(VersionSpecifiers::from),
                is_wheel: false,
                origin: self.file.clone(),
            })
        });
        wanted.collect()
    }

    /// The projects of the context that a `uv.lock` in `folder` installs: the project itself and the
    /// members of its workspace, but for those that are no packages.
    pub fn members(&self, folder: &str) -> Vec<LocalProject> {
        let members = self.packages().filter_map(|package| {
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
                origin: self.file.clone(),
            })
        });
        members.collect()
    }
}

impl ProjectLock {
    /// Refuses members, as [`Self::members`] gives them, that lie in git submodules which aren't fetched.
    ///
    /// # Errors
    /// The first of them, with git's command.
    pub fn check_fetched(
        &self,
        project: &Path,
        members: &[LocalProject],
    ) -> Result<(), ProjectError> {
        for member in members {
            let is_there = project
                .join(&member.folder)
                .join("pyproject.toml")
                .is_file();
            let module = super::unfetched_around(project, &member.folder).filter(|_| !is_there);
            if let Some(module) = module {
                let (reason, hint) = super::to_fetch(&member.folder, &module);
                return Err(ProjectError::Unreadable {
                    path: self.file.clone().into(),
                    reason: format!("it {reason}"),
                    hint,
                });
            }
        }
        Ok(())
    }
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
        let read = |file: &str| ProjectLock::read(dir.path(), file);
        let uv = read("uv.lock").unwrap().wanted(&python);
        assert_eq!(uv[0].name, "torch");
        assert_eq!(uv[0].versions.as_ref().unwrap().to_string(), "==2.8.0");
        let pylock = read("pylock.toml").unwrap().wanted(&python);
        assert_eq!(pylock[0].name, "numpy");
        assert!(read("broken.lock").is_err());
        assert!(read("none.lock").is_err());
    }
}
