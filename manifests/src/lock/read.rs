//! Reading a lock file: every way it can be wrong becomes one error with a line.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;
use toml::Spanned;

use super::write::{END, checksum, normalized};
use super::{
    Builder, Derived, FORMAT_VERSION, Inputs, LockError, LockFile, LockedBase, LockedBuild,
    LockedImage, LockedPackages, LockedPlatform, PublishedImage,
};

/// The file as TOML holds it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLock {
    version: Spanned<i64>,
    #[serde(default)]
    image: Vec<RawImage>,
}

/// [`LockedImage`] with its checksum.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawImage {
    checksum: Spanned<String>,
    name: String,
    tag: Option<String>,
    target: Option<String>,
    variant: Option<String>,
    created: Timestamp,
    derived: Option<Derived>,
    inputs: Inputs,
    #[serde(default)]
    bases: Vec<LockedBase>,
    builder: Option<Builder>,
    platforms: BTreeMap<String, LockedPlatform>,
    published: Option<PublishedImage>,
    packages: Option<LockedPackages>,
    build: Option<LockedBuild>,
}

pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<LockFile, LockError> {
    let invalid = |line, message: String| LockError::Invalid {
        path: path.to_path_buf(),
        line,
        message,
    };
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = 1 + bytes[..e.valid_up_to()]
            .iter()
            .filter(|&&b| b == b'\n')
            .count();
        invalid(line, "the text isn't UTF-8".to_owned())
    })?;
    refuse_conflict(text, path)?;
    refuse_newer(text, path)?;
    if text.trim_end().lines().next_back() != Some(END) {
        let line = text.lines().count().max(1);
        return Err(LockError::Truncated {
            path: path.to_path_buf(),
            line,
        });
    }
    let at = |span: Option<Range<usize>>| line_of(text, span.map_or(0, |s| s.start));
    let raw: RawLock =
        toml::from_str(text).map_err(|e| invalid(at(e.span()), plain_message(e.message())))?;

    let version = *raw.version.get_ref();
    if !(1..=i64::from(FORMAT_VERSION)).contains(&version) {
        let message = format!("`version` is {version}; expected 1 to {FORMAT_VERSION}");
        return Err(invalid(at(Some(raw.version.span())), message));
    }

    let mut lock = LockFile::default();
    for raw in raw.image {
        let (image, sum) = raw.split();
        // Counted where it is needed: for each entry it would be counted from the file's start.
        let line = || at(Some(sum.span()));
        let key = image.key();
        let computed = checksum(&normalized(image.clone())).to_string();
        if computed != *sum.get_ref() {
            return Err(LockError::Edited {
                path: path.to_path_buf(),
                line: line(),
                image: key.to_string(),
                found: sum.get_ref().clone(),
                computed,
            });
        }
        if let Some(why) = image.build.as_ref().and_then(|build| build.check().err()) {
            return Err(invalid(line(), format!("{key}: {why}")));
        }
        if lock.insert(image).is_some() {
            return Err(invalid(
                line(),
                format!("{key} has two entries; delete one of them"),
            ));
        }
    }
    Ok(lock)
}

impl RawImage {
    fn split(self) -> (LockedImage, Spanned<String>) {
        let image = LockedImage {
            name: self.name,
            tag: self.tag,
            target: self.target,
            variant: self.variant,
            created: self.created,
            derived: self.derived,
            inputs: self.inputs,
            bases: self.bases,
            builder: self.builder,
            platforms: self.platforms,
            published: self.published,
            packages: self.packages,
            build: self.build,
        };
        (image, self.checksum)
    }
}

/// mlbuild writes no text of several lines, so a marker at a line's start is one.
fn refuse_conflict(text: &str, path: &Path) -> Result<(), LockError> {
    let is_marker = |line: &str| {
        let line = line.trim_end();
        line == "======="
            || ["<<<<<<< ", "||||||| ", ">>>>>>> "]
                .iter()
                .any(|m| line.starts_with(m) || line == m.trim_end())
    };
    let lines: Vec<usize> = text
        .lines()
        .enumerate()
        .filter(|(_, l)| is_marker(l))
        .map(|(i, _)| i + 1)
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    Err(LockError::Conflict {
        path: path.to_path_buf(),
        lines,
    })
}

/// The version is looked for line by line: a newer file may not parse at all.
fn refuse_newer(text: &str, path: &Path) -> Result<(), LockError> {
    for (i, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            break;
        }
        let Some(value) = line.strip_prefix("version").map(str::trim_start) else {
            continue;
        };
        let Some(value) = value.strip_prefix('=') else {
            continue;
        };
        let value = value.split('#').next().unwrap_or_default().trim();
        return match value.parse::<i64>() {
            Ok(found) if found > i64::from(FORMAT_VERSION) => Err(LockError::Newer {
                path: path.to_path_buf(),
                line: i + 1,
                found,
            }),
            _ => Ok(()),
        };
    }
    Ok(())
}

/// "unknown field `x`, expected …" in the words of TOML.
fn plain_message(message: &str) -> String {
    message
        .replace("unknown field", "unknown key")
        .replace("missing field", "missing key")
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())]
        .iter()
        .filter(|&&b| b == b'\n')
        .count()
}
