//! `uv.lock` and `pylock.toml`: which packages they pin.

use std::path::Path;
use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifier, VersionSpecifiers};

use super::{ProjectError, Wanted};

/// The packages that a `uv.lock` pins, by its path relative to the project.
///
/// # Errors
/// Where it can't be read or isn't TOML.
pub fn locked_by_uv(project: &Path, file: &str) -> Result<Vec<Wanted>, ProjectError> {
    locked(project, file, "package")
}

/// The packages that a `pylock.toml` (PEP 751) pins, by its path relative to the project.
///
/// # Errors
/// Where it can't be read or isn't TOML.
pub fn locked_by_pylock(project: &Path, file: &str) -> Result<Vec<Wanted>, ProjectError> {
    locked(project, file, "packages")
}

fn locked(project: &Path, file: &str, key: &str) -> Result<Vec<Wanted>, ProjectError> {
    let unreadable = |reason: String| ProjectError::Unreadable {
        path: file.into(),
        reason,
        hint: "write it again with uv lock (or uv export --format pylock.toml)".into(),
    };
    let text = std::fs::read_to_string(project.join(file))
        .map_err(|error| unreadable(error.to_string()))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.unwrap_or("").matches('\n').count() + 1;
        unreadable(format!("line {line}: {}", error.message()))
    })?;
    let packages = table.get(key).and_then(toml::Value::as_array);
    let packages = packages.into_iter().flatten().filter_map(|package| {
        let name = package.get("name")?.as_str()?.to_owned();
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
        let uv = locked_by_uv(dir.path(), "uv.lock").unwrap();
        assert_eq!(uv[0].name, "torch");
        assert_eq!(uv[0].versions.as_ref().unwrap().to_string(), "==2.8.0");
        assert_eq!(
            locked_by_pylock(dir.path(), "pylock.toml").unwrap()[0].name,
            "numpy"
        );
        assert!(locked_by_uv(dir.path(), "broken.lock").is_err());
        assert!(locked_by_uv(dir.path(), "none.lock").is_err());
    }
}
