//! `pins.toml`, parsed: which packages or archive hold a builder's programs.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The data that ships with mlbuild.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// The upstream release.
    pub archive: ArchivePin,
    /// Distributions whose packages hold a builder; the first that fits is used.
    pub packages: Vec<PackagePin>,
}

/// BuildKit's own release archive.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchivePin {
    /// Version, without `v`.
    pub version: String,
    /// URL with `{version}` and `{arch}` in it.
    pub url: String,
    /// sha256 in hexadecimal, by `amd64` and `arm64`.
    pub sha256: BTreeMap<String, String>,
}

/// A distribution's packages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackagePin {
    /// `ID` of os-release.
    pub distribution: String,
    /// `VERSION_ID` of os-release; any where absent.
    #[serde(default)]
    pub release: Option<String>,
    /// `Label` of the archive's Release file, to find it among the machine's sources.
    pub label: String,
    /// Keyring that signs the archive.
    pub keyring: String,
    /// Components, separated by spaces.
    pub components: String,
    /// What to fetch from where.
    pub fetch: Vec<Fetch>,
}

/// Packages of one suite.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    /// Suites searched together; `{codename}` is the machine's own.
    pub suites: Vec<String>,
    /// Packages.
    pub names: Vec<String>,
    /// Packages needed besides where the user isn't root.
    #[serde(default)]
    pub rootless: Vec<String>,
}

/// What os-release says of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OsRelease {
    /// `ID`.
    pub id: String,
    /// `VERSION_ID`.
    pub version: String,
    /// `VERSION_CODENAME`.
    pub codename: String,
}

impl Pins {
    /// The data that ships with mlbuild.
    pub fn shipped() -> Self {
        toml::from_str(include_str!("pins.toml")).expect("pins.toml is checked by a test")
    }

    /// The packages for a machine, if its distribution is known.
    pub fn packages_for(&self, os: &OsRelease) -> Option<&PackagePin> {
        self.packages.iter().find(|pin| {
            pin.distribution == os.id && pin.release.as_ref().is_none_or(|r| *r == os.version)
        })
    }
}

impl OsRelease {
    /// Reads the text of `/etc/os-release`.
    pub fn parse(text: &str) -> Self {
        let value = |key: &str| {
            text.lines()
                .filter_map(|line| line.split_once('='))
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.trim().trim_matches(['"', '\'']).to_owned())
                .unwrap_or_default()
        };
        Self {
            id: value("ID"),
            version: value("VERSION_ID"),
            codename: value("VERSION_CODENAME"),
        }
    }
}

/// Debian's and BuildKit's name of this machine's architecture.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOKWORM: &str = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n\
                            VERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n";

    #[test]
    fn the_shipped_data_is_whole() {
        let pins = Pins::shipped();
        assert!(pins.archive.url.contains("{version}"));
        assert!(pins.archive.url.contains("{arch}"));
        for (arch, hash) in &pins.archive.sha256 {
            assert_eq!(hex::decode(hash).map(|h| h.len()), Ok(32), "{arch}");
        }
        assert!(pins.packages.iter().all(|pin| !pin.fetch.is_empty()));
    }

    #[test]
    fn a_machine_gets_its_own_distribution_s_packages() {
        let pins = Pins::shipped();
        let twelve = OsRelease::parse(BOOKWORM);
        assert_eq!(
            (twelve.id.as_str(), twelve.codename.as_str()),
            ("debian", "bookworm")
        );
        let suites = |os: &OsRelease| pins.packages_for(os).map(|pin| pin.fetch[0].suites.clone());
        assert_eq!(suites(&twelve), Some(vec!["trixie".to_owned()]));
        let thirteen = OsRelease {
            version: "13".into(),
            ..twelve.clone()
        };
        assert_eq!(suites(&thirteen), Some(vec!["{codename}".to_owned()]));
        let other = OsRelease {
            id: "fedora".into(),
            ..twelve
        };
        assert_eq!(suites(&other), None);
    }
}
