//! The image of the project at hand, for verbs that need none to be named.

use std::path::Path;

use mlbuild_manifests::LockFile;
use mlbuild_manifests::lock::{FILE_NAME, LockedImage};
use mlbuild_templates::reference;

use crate::config;
use crate::error::{CommandError, CommandResult};

/// The first of `tags`, which `mlbuild.toml` gives the image, else the only image of `mlbuild.lock`: by
/// digest where it was pushed, else by its tag. `verb` is the one that needs it.
///
/// # Errors
/// Where no file names one, or the lock several; or they can't be read.
pub fn of(project: &Path, tags: &[String], verb: &str) -> CommandResult<String> {
    let lock = LockFile::load(&project.join(FILE_NAME)).map_err(CommandError::user)?;
    choose(tags, &lock, verb)
}

fn choose(tags: &[String], lock: &LockFile, verb: &str) -> CommandResult<String> {
    if let Some(tag) = tags.first() {
        let named = reference::parse(tag).map_err(|why| {
            CommandError::user(format!("{}: tag `{tag}`: {why}", config::FILE_NAME))
        })?;
        let name = format!("{}/{}", named.registry(), named.repository());
        let is_it =
            |entry: &&LockedImage| entry.name == name && entry.tag.as_deref() == named.tag();
        let entry = lock.images().find(is_it);
        return Ok(entry.map_or_else(|| tag.clone(), exact));
    }
    let all: Vec<&LockedImage> = lock.images().collect();
    match all[..] {
        [only] => Ok(exact(only)),
        [] => Err(CommandError::user(format!(
            "no image is named: neither on the line, nor in {}, nor in {FILE_NAME}",
            config::FILE_NAME
        ))
        .hint(format!("mlbuild {verb} IMAGE"))
        .hint("or make one: mlbuild image -t NAME --load")),
        _ => {
            let names: Vec<String> = all.iter().map(|entry| entry.key().to_string()).collect();
            Err(CommandError::user(format!(
                "{FILE_NAME} has several images, and {} names none: {}",
                config::FILE_NAME,
                names.join(", ")
            ))
            .hint(format!("mlbuild {verb} {}", names[0])))
        }
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
            choose(&tags, lock, "dev").map_err(|error| error.to_string())
        };
        assert_eq!(chosen(&[&tag], &lock), Ok(exact.clone()));
        // Not built yet, or never pushed: by its name.
        assert_eq!(chosen(&["other:v1"], &lock), Ok("other:v1".to_owned()));
        let mut only = LockFile::default();
        only.insert(entry.clone());
        assert_eq!(chosen(&[], &only), Ok(exact));
        insta::assert_snapshot!(chosen(&[], &LockFile::default()).unwrap_err(), @r"
        no image is named: neither on the line, nor in mlbuild.toml, nor in mlbuild.lock
          hint: mlbuild dev IMAGE
          hint: or make one: mlbuild image -t NAME --load
        ");
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
