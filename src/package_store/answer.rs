//! What the resolver left in its folder: pins, and files that go into the store.

use std::collections::BTreeMap;
use std::path::Path;

use mlbuild_manifests::lock::{PinnedDeb, PinnedFile, Pins};

use super::deb;
use super::folder::AnswerFolder;
use super::store::{Refused, Store, StoreError};

/// An answer of the resolver.
#[derive(Debug, Default)]
pub struct Answer {
    /// What is pinned.
    pub pins: Pins,
    /// When the newest package was made, in seconds since 1970-01-01.
    pub newest: i64,
}

/// Reads an answer, and takes its files into the store.
///
/// # Errors
/// Where a file isn't what the verified package lists or the index say.
pub fn read_answer(folder: &Path, store: &Store) -> Result<Answer, StoreError> {
    let place = folder;
    let folder = AnswerFolder::open(folder)?;
    let text = |name: &str| folder.text(name);
    let damaged = |name: &str, line: usize, why: &str| StoreError::Answer {
        path: place.join(name),
        line: line + 1,
        why: why.to_owned(),
    };
    let mut answer = Answer::default();
    let facts: BTreeMap<String, String> = text("facts")?
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let pins = &mut answer.pins;
    pins.python = facts.get("python").cloned();
    pins.pip = facts.get("pip").cloned();
    pins.requested = text("requested")?
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    for (number, line) in text("apt.tsv")?.lines().enumerate() {
        let [
            file,
            name,
            version,
            arch,
            sha256,
            size,
            suite,
            component,
            path,
        ] = line.split('\t').collect::<Vec<_>>()[..]
        else {
            return Err(damaged("apt.tsv", number, "it hasn't nine columns"));
        };
        if !is_file_name(file, &[".deb"]) {
            return Err(damaged("apt.tsv", number, "its file is no Debian package"));
        }
        let mut content = folder.file(&format!("debs/{file}"))?;
        let made =
            deb::made(&mut content).map_err(StoreError::io(&place.join("debs").join(file)))?;
        let (_, found) = store.take(file, content, Some(sha256))?;
        if size.parse() != Ok(found) {
            return Err(damaged("apt.tsv", number, "its file has another size"));
        }
        answer.newest = answer.newest.max(made);
        pins.apt.push(PinnedDeb {
            name: name.to_owned(),
            version: version.to_owned(),
            arch: arch.to_owned(),
            sha256: sha256.to_owned(),
            size: found,
            suite: suite.to_owned(),
            component: component.to_owned(),
            path: path.to_owned(),
        });
    }
    for (number, line) in text("python.tsv")?.lines().enumerate() {
        let [kind, name, version, file, sha256] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(damaged("python.tsv", number, "it hasn't five columns"));
        };
        if !is_file_name(file, &PYTHON_FILES) {
            return Err(damaged(
                "python.tsv",
                number,
                "its file is no Python package",
            ));
        }
        let part = if kind == "uv" { "uv" } else { "wheels" };
        let content = folder.file(&format!("{part}/{file}"))?;
        let (sha256, size) = store.take(file, content, Some(sha256).filter(|s| !s.is_empty()))?;
        let pinned = PinnedFile {
            name: name.to_owned(),
            version: version.to_owned(),
            file: file.to_owned(),
            sha256,
            size,
            source: kind == "source",
            build_only: kind == "build",
        };
        match kind {
            "uv" => pins.uv = Some(pinned),
            _ => pins.python_packages.push(pinned),
        }
    }
    answer.pins.check().map_err(|why| StoreError::Pins {
        path: place.to_owned(),
        why,
    })?;
    Ok(answer)
}

/// Endings of what Python installs: wheels, and source packages as PEP 527 and older ones have them.
const PYTHON_FILES: [&str; 5] = [".whl", ".tar.gz", ".zip", ".tar.bz2", ".tar.xz"];

/// True for one component of a path with one of these endings.
fn is_file_name(name: &str, endings: &[&str]) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-~%!".contains(&byte);
    name.len() <= 255
        && name.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
        && name.bytes().all(is_plain)
        && endings.iter().any(|ending| name.ends_with(ending))
}

/// Reads what was fetched for pins, and takes it into the store; gives the names of what is gone.
///
/// # Errors
/// [`StoreError::Refused`] where a file isn't the pinned one.
pub fn read_fetched(folder: &Path, pins: &Pins, store: &Store) -> Result<Vec<String>, StoreError> {
    let folder = AnswerFolder::open(folder)?;
    let take = |place: &str, name: &str, sha256: &str| match folder.file_if_any(place)? {
        Some(content) => store.take(name, content, Some(sha256)).map(drop),
        None => Ok(()),
    };
    for deb in &pins.apt {
        take(&format!("debs/{}", deb.file()), &deb.file(), &deb.sha256)?;
    }
    for file in pins.python_files() {
        for part in ["uv", "wheels"] {
            take(&format!("{part}/{}", file.file), &file.file, &file.sha256)?;
        }
    }
    let text = folder.text("missing")?;
    let mut gone = Vec::new();
    for line in text.lines() {
        let Some((name, found)) = line.split_once('\t') else {
            gone.push(line.to_owned());
            continue;
        };
        let named = |f: &&PinnedFile| format!("{} {}", f.name, f.version) == name;
        if let Some(file) = pins.python_files().find(named) {
            return Err(StoreError::Refused(Refused {
                name: file.file.clone(),
                pinned: file.sha256.clone(),
                found: found.to_owned(),
            }));
        }
    }
    Ok(gone)
}
