//! `data/compat/{torch,tensorflow,tensorflow-cpu}.json`: what package metadata says of each
//! framework release. `compatgen/compatgen.py` writes these files and says what each field means.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use pep440_rs::{Version, VersionSpecifiers};
use serde::Deserialize;

/// The releases of one framework package.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseTable {
    /// The package's name.
    pub package: String,
    /// The extra that brings CUDA, if it takes one.
    pub extra: Option<String>,
    releases: BTreeMap<Version, BTreeMap<String, Release>>,
}

/// A machine type that releases have wheels for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Machine {
    /// `x86_64` (amd64).
    #[default]
    X86_64,
    /// `aarch64` (arm64).
    Aarch64,
}

impl Machine {
    fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// One release on one machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Release {
    /// The Python versions that it has wheels for, ascending (`3.9`).
    pub python: Vec<String>,
    /// The size of its own wheel in bytes.
    pub bytes: u64,
    /// The CUDA runtime wheel it requires, as its metadata bounds it.
    pub cuda: Option<VersionSpecifiers>,
    /// The cuDNN wheel it requires.
    pub cudnn: Option<VersionSpecifiers>,
    /// The size of all NVIDIA wheels that it requires, in bytes.
    #[serde(default)]
    pub cuda_bytes: u64,
}

impl Release {
    /// The CUDA release (`12.8`) whose runtime it requires, at least.
    pub fn cuda_version(&self) -> Option<String> {
        let lowest = self
            .cuda
            .as_ref()?
            .iter()
            .map(|bound| bound.version().release())
            .min_by_key(|r| {
                // `<13.0,>=12.5.82`: the lower bound is the one it was built with.
                (
                    r.first().copied().unwrap_or(0),
                    r.get(1).copied().unwrap_or(0),
                )
            })?;
        Some(format!(
            "{}.{}",
            lowest.first()?,
            lowest.get(1).copied().unwrap_or(0)
        ))
    }
}

impl ReleaseTable {
    /// The releases on a machine, oldest first.
    pub fn on(&self, machine: Machine) -> impl DoubleEndedIterator<Item = (&Version, &Release)> {
        let name = machine.as_str();
        self.releases
            .iter()
            .filter_map(move |(version, rows)| Some((version, rows.get(name)?)))
    }
}

/// The table of a framework package (`torch`, `tensorflow`, `tensorflow-cpu`), if there is one.
pub fn release_table(package: &str) -> Option<&'static ReleaseTable> {
    static TABLES: LazyLock<Vec<ReleaseTable>> = LazyLock::new(|| {
        [
            include_str!("../../data/compat/torch.json"),
            include_str!("../../data/compat/tensorflow.json"),
            include_str!("../../data/compat/tensorflow-cpu.json"),
        ]
        .map(|text| serde_json::from_str(text).expect("the tables are checked"))
        .into()
    });
    TABLES.iter().find(|table| table.package == package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_sorted_as_versions() {
        let versions: Vec<_> = release_table("torch")
            .unwrap()
            .on(Machine::X86_64)
            .map(|(v, _)| v.clone())
            .collect();
        assert!(versions.is_sorted());
        assert!(versions.len() > 20);
    }

    #[test]
    fn cuda_versions_come_from_the_lower_bound() {
        let cuda = |package: &str, version: &str| {
            let table = release_table(package).unwrap();
            let version: Version = version.parse().unwrap();
            table
                .on(Machine::X86_64)
                .find(|(v, _)| **v == version)
                .unwrap()
                .1
                .cuda_version()
        };
        assert_eq!(cuda("torch", "2.8.0").as_deref(), Some("12.8"));
        assert_eq!(cuda("torch", "2.11.0").as_deref(), Some("13.0"));
        assert_eq!(cuda("tensorflow", "2.15.1").as_deref(), Some("12.2"));
        assert_eq!(cuda("tensorflow", "2.21.0").as_deref(), Some("12.5"));
        assert_eq!(cuda("tensorflow-cpu", "2.21.0"), None);
    }
}
