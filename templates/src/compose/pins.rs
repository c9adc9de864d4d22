//! What a lock beside a manifest says of versions: from these the image is decided, since they are what is
//! installed, and not from the ranges of the manifest.

use std::collections::BTreeMap;

use pep440_rs::{Version, VersionSpecifier, VersionSpecifiers};

use super::Warning;
use super::inputs::Inputs;
use super::stand::allows;
use crate::project::Wanted;

/// Sets what decisions are made from: the packages that are asked for, in the versions that locks hold them to, and
/// those that come with them.
pub(super) fn decide_by(inputs: &mut Inputs) {
    let pins: BTreeMap<String, Version> =
        inputs.constraints.iter().filter_map(|p| pin(p)).collect();
    let held = |wanted: &Wanted| {
        let versions = wanted.versions.as_ref().filter(|v| !is_exact(v));
        let version = versions.and_then(|_| pins.get(&wanted.name));
        let mut wanted = wanted.clone();
        if let Some(version) = version {
            let exact = VersionSpecifier::equals_version(version.clone());
            wanted.versions = Some(VersionSpecifiers::from(exact));
        }
        wanted
    };
    let mut decided: Vec<Wanted> = inputs.wanted.iter().map(held).collect();
    for brought in &inputs.brought {
        if decided.iter().all(|known| known.name != brought.name) {
            decided.push(brought.clone());
        }
    }
    inputs.decided = decided;
}

/// Locks that are older than what they lie beside: packages whose pins aren't among the versions that are asked for,
/// and Python versions that the one has and the other hasn't.
pub(super) fn stale(inputs: &Inputs) -> Vec<Warning> {
    let pins: BTreeMap<String, Version> =
        inputs.constraints.iter().filter_map(|p| pin(p)).collect();
    let mut found = Vec::new();
    let stale = inputs.wanted.iter().find_map(|wanted| {
        let version = pins.get(&wanted.name)?;
        let versions = wanted.versions.as_ref()?;
        // A build (`+cu118`) and an early release are left to the installer.
        let is_plain = version.local().is_empty() && !version.any_prerelease();
        (is_plain && !versions.contains(version)).then_some((wanted, version))
    });
    let lock = inputs.locks.first();
    if let (Some((wanted, version)), Some((lock, command, _))) = (stale, lock) {
        let versions = wanted.versions.as_ref().map(ToString::to_string);
        found.push(Warning {
            message: format!(
                "{lock} has {} {version}, and {} asks for {}{}: the lock is older, and the installation will fail",
                wanted.name,
                wanted.origin,
                wanted.name,
                versions.unwrap_or_default().replace(' ', ""),
            ),
            hint: Some(format!("lock the project again: {command}")),
        });
    }
    for (lock, command, python) in &inputs.locks {
        let (Some(of_lock), Some(asked)) = (python, &inputs.project_python) else {
            continue;
        };
        let differs = (6..=14).any(|minor| {
            let python = format!("3.{minor}");
            allows(of_lock, &python) != allows(&asked.text, &python)
        });
        if differs {
            found.push(Warning {
                message: format!(
                    "{lock} was made for Python {of_lock}, and {} says {}: its versions may not fit",
                    asked.origin, asked.text
                ),
                hint: Some(format!("lock the project again: {command}")),
            });
        }
    }
    found
}

/// The command that writes a lock again.
pub(super) fn command(lock: &str) -> Option<&'static str> {
    match lock.rsplit('/').next()? {
        "poetry.lock" => Some("poetry lock"),
        "pdm.lock" => Some("pdm lock"),
        "Pipfile.lock" => Some("pipenv lock"),
        "uv.lock" => Some("uv lock"),
        _ => None,
    }
}

/// Name and version of `NAME==VERSION`.
pub(super) fn pin(line: &str) -> Option<(String, Version)> {
    let (name, version) = line.split_once("==")?;
    let name = name.split('[').next().unwrap_or(name).trim();
    Some((
        mlbuild_wheels::normalize(name),
        version.trim().parse().ok()?,
    ))
}

/// Whether one version alone will do.
fn is_exact(versions: &VersionSpecifiers) -> bool {
    use pep440_rs::Operator::{Equal, ExactEqual};
    let mut all = versions.iter();
    all.any(|one| matches!(one.operator(), Equal | ExactEqual))
}
