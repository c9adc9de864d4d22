//! Programs and libraries of the distribution that known packages start or load when they run: no file of theirs
//! names these, so nothing but a table can.

use std::sync::LazyLock;

use pep440_rs::{Operator, Version, VersionSpecifiers};
use serde::Deserialize;

use super::inputs::Inputs;
use crate::project::Wanted;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    package: Vec<Needs>,
}

/// What some packages need.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Needs {
    /// The packages, as PEP 503 normalizes their names.
    names: Vec<String>,
    /// The first release that needs nothing any more.
    before: Option<Version>,
    /// Packages of Debian's.
    apt: Vec<String>,
    /// What a package does with them, for people.
    why: String,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    toml::from_str(include_str!("../../data/programs.toml")).expect("the table is checked")
});

/// Adds what the packages that are asked for start or load to the distribution's packages.
pub(super) fn add(inputs: &mut Inputs) {
    let Inputs {
        decided,
        apt,
        apt_origins,
        ..
    } = inputs;
    for one in decided.iter() {
        for needs in needs(one) {
            for package in &needs.apt {
                if apt.insert(package.clone()) {
                    let why = format!("{} ({}) {}", one.name, one.origin, needs.why);
                    apt_origins.entry(package.clone()).or_insert(why);
                }
            }
        }
    }
}

fn needs(wanted: &Wanted) -> impl Iterator<Item = &'static Needs> {
    let of_name = TABLE.package.iter();
    of_name.filter(|needs| {
        needs.names.contains(&wanted.name)
            && needs.before.as_ref().is_none_or(|before| {
                let versions = wanted.versions.as_ref();
                versions.is_some_and(|versions| is_before(versions, before))
            })
    })
}

/// Whether versions that will do are all before a release.
pub(super) fn is_before(versions: &VersionSpecifiers, release: &Version) -> bool {
    versions.iter().any(|one| match one.operator() {
        Operator::LessThan => one.version() <= release,
        Operator::TildeEqual if one.version().release().len() < 3 => false,
        Operator::Equal
        | Operator::EqualStar
        | Operator::ExactEqual
        | Operator::TildeEqual
        | Operator::LessThanEqual => one.version() < release,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, versions: &str) -> Vec<String> {
        let mut inputs = Inputs {
            decided: vec![Wanted {
                name: name.to_owned(),
                extras: Vec::new(),
                versions: versions.parse().ok(),
                is_wheel: false,
                origin: "requirements.txt:1".to_owned(),
            }],
            ..Inputs::default()
        };
        add(&mut inputs);
        inputs.apt.into_iter().collect()
    }

    #[test]
    fn known_packages_bring_what_they_start_or_load() {
        for (name, versions, apt) in [
            ("pytesseract", "", &["tesseract-ocr"][..]),
            ("openai-whisper", "==20231117", &["ffmpeg"]),
            ("soundfile", "==0.10.3.post1", &["libsndfile1"]),
            ("soundfile", "<0.11", &["libsndfile1"]),
            ("soundfile", ">=0.10,==0.10.*", &["libsndfile1"]),
            ("soundfile", "~=0.10.3", &["libsndfile1"]),
            // Its wheels have it from 0.11 on.
            ("soundfile", "", &[]),
            ("soundfile", "==0.12.1", &[]),
            ("soundfile", "<0.12", &[]),
            ("soundfile", "~=0.10", &[]),
            ("soundfile", ">=0.10", &[]),
            ("python-magic-bin", "", &[]),
            ("numpy", "", &[]),
        ] {
            assert_eq!(found(name, versions), apt, "{name}{versions}");
        }
    }

    #[test]
    fn what_each_is_for_is_said() {
        let mut inputs = Inputs::default();
        inputs.decided.push(Wanted {
            name: "gitpython".to_owned(),
            extras: Vec::new(),
            versions: None,
            is_wheel: false,
            origin: "pyproject.toml:4".to_owned(),
        });
        add(&mut inputs);
        assert_eq!(
            inputs.apt_origins["git"],
            "gitpython (pyproject.toml:4) starts git"
        );
        for needs in &TABLE.package {
            let parses = |name: &String| name.parse::<crate::value::AptPackage>().is_ok();
            assert!(needs.apt.iter().all(parses), "{needs:?}");
            let is_plain = |name: &String| mlbuild_wheels::normalize(name) == *name;
            assert!(needs.names.iter().all(is_plain), "{needs:?}");
        }
    }
}
