//! What moved between two locks: package by package, for people.

use std::collections::BTreeMap;

use mlbuild_manifests::lock::LockedPackages;

/// One line per package that came, went or changed its version, sorted.
pub fn packages(old: &LockedPackages, new: &LockedPackages) -> Vec<String> {
    let (old, new) = (versions(old), versions(new));
    let mut lines = Vec::new();
    for (package, before) in &old {
        match new.get(package) {
            Some(after) if after == before => {}
            Some(after) => lines.push(format!("{package} {before} -> {after}")),
            None => lines.push(format!("{package} {before} is gone")),
        }
    }
    for (package, after) in new
        .iter()
        .filter(|(package, _)| !old.contains_key(*package))
    {
        lines.push(format!("{package} {after} is new"));
    }
    lines
}

fn versions(packages: &LockedPackages) -> BTreeMap<String, &str> {
    let apt = packages.apt.iter().map(|package| {
        (
            format!("apt {}:{}", package.name, package.arch),
            package.version.as_str(),
        )
    });
    let python = packages
        .python
        .iter()
        .map(|package| (format!("python {}", package.name), package.version.as_str()));
    apt.chain(python).collect()
}

#[cfg(test)]
mod tests {
    use mlbuild_manifests::lock::PythonPackage;

    use super::*;

    fn python(packages: &[(&str, &str)]) -> LockedPackages {
        let package = |(name, version): &(&str, &str)| PythonPackage {
            name: (*name).to_owned(),
            version: (*version).to_owned(),
            file: None,
            sha256: None,
            size: None,
        };
        LockedPackages {
            apt: Vec::new(),
            python: packages.iter().map(package).collect(),
        }
    }

    #[test]
    fn what_moved_is_told_package_by_package() {
        let old = python(&[("numpy", "2.0.0"), ("six", "1.16.0"), ("wheel", "0.40")]);
        let new = python(&[("numpy", "2.1.0"), ("pip", "24.0"), ("six", "1.16.0")]);
        assert_eq!(
            packages(&old, &new),
            [
                "python numpy 2.0.0 -> 2.1.0",
                "python wheel 0.40 is gone",
                "python pip 24.0 is new"
            ]
        );
    }
}
