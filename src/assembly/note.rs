//! What an assembled image says of itself, in an annotation of its manifest: what somebody needs who puts it
//! on another base.

use std::collections::BTreeMap;

use mlbuild_templates::reference;
use mlbuild_wheels::{Libc, Platform, PythonVersion, Tags, WheelName};
use serde::{Deserialize, Serialize};

use super::SettingsChanges;

/// The annotation that holds the note, as JSON.
pub const NOTE: &str = "org.mlbuild.assembled";
/// The base's name, as the OCI image specification has it among its annotations.
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// The digest that the base's name meant, as the same specification has it.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// What an assembled image says of itself. Nobody vouches for it but whoever made the image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssembledNote {
    /// The base, with its digest: `docker.io/library/python:3.11-slim@sha256:…`.
    pub base: String,
    /// The version of the Python that the packages were installed for, and whose bytecode they have: `3.11.2`.
    pub python: String,
    /// Whether they have bytecode.
    pub bytecode: bool,
    /// The oldest C library that all packages run on, `glibc 2.17`; none where they have no machine code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libc: Option<String>,
    /// Wheels that the base's Python brought, by their files' names, with their hashes (hex).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bundled: BTreeMap<String, String>,
    /// Folders that files were copied to, absolute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<String>,
    /// What was set over the base's settings.
    pub settings: SettingsChanges,
}

impl AssembledNote {
    /// As it stands in an annotation.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("string keys only")
    }
}

/// A base's name without its digest, with its registry: `docker.io/library/python:3.11-slim`. `None` for what
/// is no reference.
pub fn base_name(base: &str) -> Option<String> {
    let parsed = reference::parse(base).ok()?;
    let tag = parsed.tag().map(|tag| format!(":{tag}"));
    let (registry, repository) = (parsed.registry(), parsed.repository());
    Some(format!(
        "{registry}/{repository}{}",
        tag.unwrap_or_default()
    ))
}

/// The oldest C library of a base's kind that takes all of these wheels; `None` where any does.
pub fn oldest_libc(
    wheels: &[WheelName],
    python: PythonVersion,
    platform: &Platform,
) -> Option<Libc> {
    let takes = |libc: Libc| {
        let platform = Platform {
            machine: platform.machine.clone(),
            libc,
        };
        let tags = Tags::of(python, &platform);
        wheels.iter().all(|wheel| tags.rank(wheel).is_some())
    };
    type OfMinor = fn(u32, u32) -> Libc;
    let (major, newest, of): (u32, u32, OfMinor) = match platform.libc {
        Libc::Glibc(major, minor) => (major, minor, Libc::Glibc),
        Libc::Musl(major, minor) => (major, minor, Libc::Musl),
    };
    if takes(Libc::Glibc(2, 0)) && takes(Libc::Musl(1, 0)) {
        return None;
    }
    // Whatever takes a wheel takes it in all later versions, too.
    let (mut low, mut high) = (0, newest);
    while low < high {
        let middle = low + (high - low) / 2;
        if takes(of(major, middle)) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(of(major, high))
}

/// Whether a base's C library takes packages that need one, as a note names it.
pub fn takes_libc(needs: &str, has: Libc) -> bool {
    let (name, version) = needs.split_once(' ').unwrap_or((needs, ""));
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return false;
    };
    match has {
        Libc::Glibc(..) if name != "glibc" => false,
        Libc::Musl(..) if name != "musl" => false,
        Libc::Glibc(a, b) | Libc::Musl(a, b) => a == major && b >= minor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_c_library_is_that_of_the_most_demanding_wheel() {
        let names = |files: &[&str]| -> Vec<WheelName> {
            let parsed = files.iter().map(|file| WheelName::parse(file));
            parsed.collect::<Result<_, _>>().unwrap()
        };
        let python: PythonVersion = "3.11".parse().unwrap();
        let oldest = |files: &[&str], libc: Libc| {
            let platform = Platform {
                machine: "x86_64".to_owned(),
                libc,
            };
            oldest_libc(&names(files), python, &platform).map(|libc| libc.to_string())
        };
        let debian = Libc::Glibc(2, 36);
        let pure = "six-1.17.0-py2.py3-none-any.whl";
        let old = "a-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
        let new = "b-1.0-cp311-cp311-manylinux_2_28_x86_64.whl";
        let alpine = "c-1.0-cp311-cp311-musllinux_1_1_x86_64.whl";
        assert_eq!(oldest(&[pure], debian), None);
        assert_eq!(oldest(&[pure, old], debian).unwrap(), "glibc 2.17");
        assert_eq!(oldest(&[new, old], debian).unwrap(), "glibc 2.28");
        assert_eq!(oldest(&[alpine], Libc::Musl(1, 2)).unwrap(), "musl 1.1");
        for (needs, has, takes) in [
            ("glibc 2.17", Libc::Glibc(2, 17), true),
            ("glibc 2.28", Libc::Glibc(2, 27), false),
            ("glibc 2.17", Libc::Musl(1, 2), false),
            ("musl 1.1", Libc::Musl(1, 2), true),
            ("glibc", Libc::Glibc(2, 36), false),
            ("glibc 2.x", Libc::Glibc(2, 36), false),
        ] {
            assert_eq!(takes_libc(needs, has), takes, "{needs} on {has}");
        }
    }

    #[test]
    fn a_bases_name_is_whole_and_has_no_digest() {
        let digest = "0".repeat(64);
        for (base, name) in [
            ("python:3.11-slim", "docker.io/library/python:3.11-slim"),
            (&format!("h:1/a:1@sha256:{digest}") as &str, "h:1/a:1"),
            (&format!("h:1/a@sha256:{digest}"), "h:1/a"),
        ] {
            assert_eq!(base_name(base).as_deref(), Some(name));
        }
        assert_eq!(base_name("A b"), None);
    }
}
