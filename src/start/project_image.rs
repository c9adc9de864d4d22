//! The image of the project at hand, for verbs that need none to be named.

use std::path::Path;

use mlbuild_manifests::LockFile;
use mlbuild_manifests::lock::{FILE_NAME, LockedImage};
use mlbuild_templates::reference;

use super::error::StartError;

/// The first of `tags`, which `mlbuild.toml` gives the image, else the only image of `mlbuild.lock`: by
/// digest where it was pushed, else by its tag.
///
/// # Errors
/// Where no file names one, or the lock several; or they can't be read.
pub fn of(project: &Path, tags: &[String]) -> Result<String, StartError> {
    let lock = LockFile::load(&project.join(FILE_NAME))?;
    choose(tags, &lock)
}

fn choose(tags: &[String], lock: &LockFile) -> Result<String, StartError> {
    if let Some(tag) = tags.first() {
        let named = reference::parse(tag).map_err(|why| StartError::Tag {
            tag: tag.clone(),
            why: why.to_string(),
        })?;
        let name = format!("{}/{}", named.registry(), named.repository());
        let is_it =
            |entry: &&LockedImage| entry.name == name && entry.tag.as_deref() == named.tag();
        let entry = lock.images().find(is_it);
        return Ok(entry.map_or_else(|| tag.clone(), exact));
    }
    let all: Vec<&LockedImage> = lock.images().collect();
    // A variant is asked for by its name.
    let plain = all.iter().copied().filter(|entry| entry.variant.is_none());
    let plain: Vec<&LockedImage> = plain.collect();
    match if plain.is_empty() { &all } else { &plain }[..] {
        [only] => Ok(exact(only)),
        [] => Err(StartError::NoImage),
        _ => Err(StartError::SeveralImages {
            names: all.iter().map(|entry| entry.key().to_string()).collect(),
        }),
    }
}

/// By digest where a registry has it.
fn exact(entry: &LockedImage) -> String {
    match (&entry.published, &entry.tag) {
        (Some(published), _) => format!("{}@{}", entry.name, published.digest),
        (None, Some(tag)) => format!("{}:{tag}", entry.name),
        (None, None) => entry.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = include_str!("../../manifests/tests/samples/v1.lock");

    #[test]
    fn the_files_name_it() {
        let lock = LockFile::parse(LOCK, "mlbuild.lock".as_ref()).unwrap();
        let is_pushed = |entry: &&LockedImage| entry.published.is_some();
        let entry = lock.images().find(is_pushed).unwrap();
        let tag = format!("{}:{}", entry.name, entry.tag.as_deref().unwrap());
        let digest = &entry.published.as_ref().unwrap().digest;
        let exact = format!("{}@{digest}", entry.name);
        let chosen = |tags: &[&str], lock: &LockFile| {
            let tags: Vec<String> = tags.iter().map(|&tag| tag.to_owned()).collect();
            choose(&tags, lock).map_err(|error| error.to_string())
        };
        assert_eq!(chosen(&[&tag], &lock), Ok(exact.clone()));
        // Not built yet, or never pushed: by its name.
        assert_eq!(chosen(&["other:v1"], &lock), Ok("other:v1".to_owned()));
        let mut only = LockFile::default();
        only.insert(entry.clone());
        assert_eq!(chosen(&[], &only), Ok(exact));
        insta::assert_snapshot!(chosen(&[], &LockFile::default()).unwrap_err(), @"no image is named: neither on the line, nor in mlbuild.toml, nor in mlbuild.lock");
        assert!(
            chosen(&["Bad Name"], &lock)
                .unwrap_err()
                .contains("tag `Bad Name`")
        );
        assert!(
            chosen(&[], &lock)
                .unwrap_err()
                .contains("has several images")
        );
    }
}
