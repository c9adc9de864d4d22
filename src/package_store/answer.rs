//! What the resolver left in its folder: pins, and files that go into the store.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use mlbuild_manifests::lock::{PinnedDeb, PinnedFile, Pins};

use super::deb;
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
    let text = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).map_err(|error| StoreError::io(&path)(error))
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
    for line in text("apt.tsv")?.lines() {
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
            continue;
        };
        let place = folder.join("debs").join(file);
        let fail = StoreError::io(&place);
        let content = File::open(&place).map_err(&fail)?;
        let (_, found) = store.take(file, content, Some(sha256))?;
        debug_assert_eq!(size.parse(), Ok(found));
        answer.newest = answer.newest.max(deb::made(&place).map_err(&fail)?);
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
    for line in text("python.tsv")?.lines() {
        let [kind, name, version, file, sha256] = line.split('\t').collect::<Vec<_>>()[..] else {
            continue;
        };
        let place = folder
            .join(if kind == "uv" { "uv" } else { "wheels" })
            .join(file);
        let content = File::open(&place).map_err(|error| StoreError::io(&place)(error))?;
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
    Ok(answer)
}

/// Reads what was fetched for pins, and takes it into the store; gives the names of what is gone.
///
/// # Errors
/// [`StoreError::Refused`] where a file isn't the pinned one.
pub fn read_fetched(folder: &Path, pins: &Pins, store: &Store) -> Result<Vec<String>, StoreError> {
    let take = |place: &Path, name: &str, sha256: &str| {
        let content = File::open(place).map_err(|error| StoreError::io(place)(error))?;
        store.take(name, content, Some(sha256)).map(drop)
    };
    for deb in &pins.apt {
        let place = folder.join("debs").join(deb.file());
        if place.is_file() {
            take(&place, &deb.file(), &deb.sha256)?;
        }
    }
    for file in pins.python_files() {
        for part in ["uv", "wheels"] {
            let place = folder.join(part).join(&file.file);
            if place.is_file() {
                take(&place, &file.file, &file.sha256)?;
            }
        }
    }
    let missing = folder.join("missing");
    let text = std::fs::read_to_string(&missing).map_err(|e| StoreError::io(&missing)(e))?;
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
