//! The images of one project, pinned side by side: the same package has the same version in all of them, unless
//! something asks for another one.

use std::collections::{BTreeMap, BTreeSet};

use mlbuild_manifests::LockFile;
use mlbuild_manifests::lock::{LockedBuild, PinnedFile, Pins};

use crate::planning::lock_key_of;
use crate::settings::ImageSettings;

/// The pins that a lock has of the project's other images. None where packages are to move on: then those of the
/// others don't hold them back.
pub fn pins_of_others(settings: &ImageSettings, lock: &LockFile) -> Vec<LockedBuild> {
    if !settings.lock.upgrade.is_empty() {
        return Vec::new();
    }
    let others = settings.others.iter();
    let entries = others.filter_map(|name| lock.get(&lock_key_of(name, settings)));
    entries.filter_map(|entry| entry.build.clone()).collect()
}

/// The versions that are taken where they can be: of the same image for another platform, then of the project's
/// other images, for this platform first.
pub(super) fn preferred(
    own: Option<&Pins>,
    others: &[LockedBuild],
    platform: &str,
) -> Vec<PinnedFile> {
    let here = others
        .iter()
        .filter_map(|build| build.platforms.get(platform));
    let elsewhere = others.iter().flat_map(|build| build.platforms.values());
    let all = own.into_iter().chain(here).chain(elsewhere);
    let mut names = BTreeSet::new();
    let files = all.flat_map(|pins| &pins.python_packages);
    let first = files.filter(|file| !file.build_only && names.insert(file.name.clone()));
    first.cloned().collect()
}

/// How many packages two images have in different versions, on platforms that both are for. Builds of one release, as
/// `2.7.1+cpu` and `2.7.1+cu126`, aren't different ones.
pub(super) fn count_differing(one: &LockedBuild, other: &LockedBuild) -> usize {
    let both = one.platforms.iter().filter_map(|(platform, pins)| {
        let theirs = other.platforms.get(platform)?;
        Some((versions(pins), versions(theirs)))
    });
    let differ = both.flat_map(|(one, other)| {
        one.into_iter().filter(move |(name, version)| {
            let theirs = other.get(name);
            theirs.is_some_and(|theirs| release(theirs) != release(version))
        })
    });
    differ.count()
}

/// Which packages the images have in several versions, and which image has which, in words.
pub(super) fn told(images: &[(String, &LockedBuild)]) -> Vec<String> {
    let builds = images.iter().map(|(_, build)| build);
    let platforms: BTreeSet<&String> = builds.flat_map(|build| build.platforms.keys()).collect();
    let mut lines = BTreeSet::new();
    for platform in platforms {
        let mut packages: BTreeMap<&str, Vec<(&str, Vec<&str>)>> = BTreeMap::new();
        for (image, build) in images {
            let pins = build.platforms.get(platform);
            for (name, version) in pins.map(versions).unwrap_or_default() {
                let known = packages.entry(name).or_default();
                let same = |(other, _): &&mut (&str, _)| release(other) == release(version);
                match known.iter_mut().find(same) {
                    Some((_, images)) => images.push(image),
                    None => known.push((version, vec![image])),
                }
            }
        }
        for (name, known) in packages.iter().filter(|(_, known)| known.len() > 1) {
            let each = known.iter();
            let each = each.map(|(version, of)| format!("{version} in {}", of.join(" and ")));
            let each: Vec<String> = each.collect();
            lines.insert(format!("{name} is {}", each.join(", and ")));
        }
    }
    lines.into_iter().collect()
}

fn versions(pins: &Pins) -> BTreeMap<&str, &str> {
    let files = pins.python_packages.iter();
    let installed = files.filter(|file| !file.build_only);
    installed
        .map(|file| (file.name.as_str(), file.version.as_str()))
        .collect()
}

/// A version without its local part.
fn release(version: &str) -> &str {
    version.split('+').next().unwrap_or(version)
}

#[cfg(test)]
mod tests {
    use mlbuild_manifests::digest::sha256;

    use super::*;

    fn build(platforms: &[(&str, &[(&str, &str)])]) -> LockedBuild {
        let file = |(name, version): &(&str, &str)| PinnedFile {
            name: (*name).to_owned(),
            version: (*version).to_owned(),
            file: format!("{name}-{version}-py3-none-any.whl"),
            sha256: "0".repeat(64),
            size: 1,
            source: false,
            build_only: false,
        };
        let pins = |files: &[(&str, &str)]| Pins {
            python_packages: files.iter().map(file).collect(),
            ..Pins::default()
        };
        LockedBuild {
            request: sha256(b""),
            epoch: 0,
            media_types: "oci".into(),
            compression: "zstd".into(),
            level: 3,
            as_of: None,
            method: None,
            bytecode: false,
            vendored: None,
            platforms: platforms
                .iter()
                .map(|(platform, files)| ((*platform).to_owned(), pins(files)))
                .collect(),
        }
    }

    #[test]
    fn versions_of_the_image_itself_and_of_the_same_platform_come_first() {
        let others = [
            build(&[("linux/arm64", &[("a", "3"), ("b", "3"), ("c", "3")])]),
            build(&[("linux/amd64", &[("a", "2"), ("b", "2")])]),
        ];
        let own = build(&[("linux/arm64", &[("a", "1")])]);
        let own = own.platforms.get("linux/arm64");
        let found = preferred(own, &others, "linux/amd64");
        let found: Vec<_> = found.iter().map(|f| (&*f.name, &*f.version)).collect();
        assert_eq!(found, [("a", "1"), ("b", "2"), ("c", "3")]);
        assert!(preferred(None, &[], "linux/amd64").is_empty());
    }

    #[test]
    fn builds_of_one_release_are_not_different_ones() {
        let cpu = build(&[(
            "linux/amd64",
            &[("torch", "2.7.1+cpu"), ("numpy", "1.26.4"), ("six", "1")],
        )]);
        let cuda = build(&[(
            "linux/amd64",
            &[("torch", "2.7.1+cu126"), ("numpy", "2.1.0"), ("cupy", "1")],
        )]);
        let elsewhere = build(&[("linux/arm64", &[("numpy", "2.1.0")])]);
        assert_eq!(count_differing(&cpu, &cuda), 1);
        assert_eq!(count_differing(&cpu, &elsewhere), 0);
        let images = [
            ("cpu", &cpu),
            ("cuda", &cuda),
            ("tpu", &cpu),
            ("arm", &elsewhere),
        ];
        let images = images.map(|(name, build)| (name.to_owned(), build));
        assert_eq!(
            told(&images),
            ["numpy is 1.26.4 in cpu and tpu, and 2.1.0 in cuda"]
        );
    }
}
