//! `data/compat/pythons.json` and `data/compat/brings.json`: which Python versions releases of packages with
//! compiled code have wheels for, and which packages bring a framework. `compatgen/wheelgen.py` writes both.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use pep440_rs::{Version, VersionSpecifiers};

/// By package, by Python versions (`3.8 3.9`), the releases with wheels for just these.
type Pythons = BTreeMap<&'static str, BTreeMap<&'static str, Vec<&'static str>>>;

/// The Python versions (`3.9`), ascending, that some release of a package which will do has wheels for. `None`
/// for packages that aren't listed, and where no listed release will do.
pub fn pythons_with_wheels(
    package: &str,
    versions: &VersionSpecifiers,
) -> Option<Vec<&'static str>> {
    static TABLE: LazyLock<Pythons> = LazyLock::new(|| {
        serde_json::from_str(include_str!("../../data/compat/pythons.json"))
            .expect("the table is checked")
    });
    let will_do = |release: &&str| {
        let version = release.parse::<Version>();
        version.is_ok_and(|version| versions.contains(&version))
    };
    let rows = TABLE.get(package)?.iter();
    let rows = rows.filter(|(_, releases)| releases.iter().any(will_do));
    let mut found: Vec<&str> = rows.flat_map(|(pythons, _)| pythons.split(' ')).collect();
    found.sort_by_key(|python| minor(python));
    found.dedup();
    (!found.is_empty()).then_some(found)
}

/// The framework (`torch`, `tensorflow`) that a package requires whatever extras are chosen.
pub fn framework_brought_by(package: &str) -> Option<&'static str> {
    static TABLE: LazyLock<BTreeMap<&str, Vec<&str>>> = LazyLock::new(|| {
        serde_json::from_str(include_str!("../../data/compat/brings.json"))
            .expect("the table is checked")
    });
    let mut rows = TABLE.iter();
    rows.find(|(_, packages)| packages.contains(&package))
        .map(|(framework, _)| *framework)
}

/// The number that sorts `3.9` before `3.10`.
pub(super) fn minor(python: &str) -> u32 {
    let minor = python.split('.').nth(1);
    minor.and_then(|minor| minor.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wheels_by_release() {
        for (package, versions, has, lacks) in [
            ("numpy", "==1.23.5", "3.11", "3.12"),
            ("numpy", ">=1.18.5,<1.24.0", "3.11", "3.12"),
            ("numba", "==0.56.4", "3.10", "3.11"),
            ("opencv-python", "==4.8.1.78", "3.12", "3.5"),
            ("triton", "==2.0.0", "3.11", "3.12"),
            ("tokenizers", "==0.12.1", "3.10", "3.11"),
            ("open3d", "==0.13.0", "3.8", "3.10"),
        ] {
            let found = pythons_with_wheels(package, &versions.parse().unwrap()).unwrap();
            assert!(
                found.contains(&has) && !found.contains(&lacks),
                "{package}: {found:?}"
            );
        }
        assert!(pythons_with_wheels("numpy", &"==99".parse().unwrap()).is_none());
        assert!(pythons_with_wheels("six", &"==1".parse().unwrap()).is_none());
    }

    #[test]
    fn frameworks_that_others_bring() {
        assert_eq!(framework_brought_by("torchvision"), Some("torch"));
        assert_eq!(framework_brought_by("ultralytics"), Some("torch"));
        assert_eq!(framework_brought_by("numpy"), None);
    }
}
