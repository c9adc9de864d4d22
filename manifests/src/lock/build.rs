//! What a locked build is made from: every package by the hash of its file, and the settings
//! that shape bytes. Where a file came from is said without the host: `path` is relative to
//! whatever archive has it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

/// The `method` of an image that mlbuild makes without a builder.
pub const ASSEMBLE: &str = "assemble";

/// The recorded inputs of a locked build. The same of these gives the same image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedBuild {
    /// Hash of what was asked for: base, packages, contents of requirements files. Where it
    /// differs now, the pins are for something else.
    pub request: Digest,
    /// Seconds since 1970-01-01 that no time in the image is past.
    pub epoch: i64,
    /// Media types of manifest and layers: `oci`.
    pub media_types: String,
    /// What compresses the layers: `zstd` or `gzip`, or for lazy pulls `estargz` or `zstd:chunked`.
    pub compression: String,
    /// Its level.
    pub level: i32,
    /// The time as of which the packages were looked for, where it was a time of the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// What makes the image: `assemble` where mlbuild itself does; absent: a builder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Of an image that mlbuild assembles, whether its packages have the bytecode of the base's Python.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bytecode: bool,
    /// Manifest of the packages kept beside the image, where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendored: Option<Digest>,
    /// The packages, by platform (`linux/amd64`).
    #[serde(default)]
    pub platforms: BTreeMap<String, Pins>,
}

/// The packages for one platform.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// Version of the image's Python, where it has packages to install.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// Version of its pip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pip: Option<String>,
    /// The wheel of uv, which installs the Python packages and doesn't stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uv: Option<PinnedFile>,
    /// Debian packages that are asked for; the others come with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requested: Vec<String>,
    /// Debian packages that the base lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apt: Vec<PinnedDeb>,
    /// Debian packages that are asked for where source archives are compiled, in a stage that the image isn't
    /// made of; none where nothing is compiled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub build_requested: Vec<String>,
    /// Of an image that mlbuild assembles, the Python packages with a layer of their own, from the
    /// bottom: so that those keep their place when others come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
    /// Python packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub python_packages: Vec<PinnedFile>,
    /// The wheel of py-rattler, which lays out conda's packages and doesn't stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rattler: Option<PinnedFile>,
    /// Packages of conda's channels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conda: Vec<PinnedConda>,
}

/// A package of a channel of conda's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedConda {
    /// Name of the package.
    pub name: String,
    /// Version.
    pub version: String,
    /// Which build of the version it is.
    pub build: String,
    /// Name of the file.
    pub file: String,
    /// Its hash, hex.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// Where it lies.
    pub url: String,
}

/// A Debian package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedDeb {
    /// Package name.
    pub name: String,
    /// Full version.
    pub version: String,
    /// Architecture (`amd64`, `all`).
    pub arch: String,
    /// Hash of the .deb, hex, as the signed package list has it.
    pub sha256: String,
    /// Size of the .deb in bytes.
    pub size: u64,
    /// Suite by its code name (`bookworm`).
    pub suite: String,
    /// Component (`main`).
    pub component: String,
    /// Place in the archive (`pool/main/…`).
    pub path: String,
    /// True for what only compiling needs, and the image doesn't hold.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub build_only: bool,
}

/// A file with a Python package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedFile {
    /// Name of the package, normalized.
    pub name: String,
    /// Version.
    pub version: String,
    /// Name of the file.
    pub file: String,
    /// Its hash, hex.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// True for a source archive: what is built from it may differ between machines.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub source: bool,
    /// True for what a source archive needs to be built, and the image doesn't hold.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub build_only: bool,
}

impl PinnedDeb {
    /// The name of its file among the inputs.
    pub fn file(&self) -> String {
        let version = self.version.replace(':', "%3a");
        format!("{}_{version}_{}.deb", self.name, self.arch)
    }
}

impl Pins {
    /// Files of Python packages, uv's included.
    pub fn python_files(&self) -> impl Iterator<Item = &PinnedFile> {
        self.uv.iter().chain(&self.python_packages)
    }

    /// Hash and size of every file, in the lock's order.
    pub fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        let debs = self.apt.iter().map(|deb| (deb.sha256.as_str(), deb.size));
        let python = self.python_files().chain(&self.rattler);
        let python = python.map(|f| (f.sha256.as_str(), f.size));
        let conda = self.conda.iter().map(|f| (f.sha256.as_str(), f.size));
        debs.chain(python).chain(conda)
    }
}

impl LockedBuild {
    /// Refuses values that could not have been written: they become names of files and words of
    /// scripts.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.epoch < 0 {
            return Err(format!("`epoch` is {}; it can't be negative", self.epoch));
        }
        for (name, allowed) in [
            ("media_types", &["oci"][..]),
            (
                "compression",
                &["zstd", "gzip", "estargz", "zstd:chunked"][..],
            ),
        ] {
            let value = match name {
                "media_types" => &self.media_types,
                _ => &self.compression,
            };
            if !allowed.contains(&value.as_str()) {
                return Err(format!("`{name}` is {value:?}; there are {allowed:?}"));
            }
        }
        if let Some(method) = self.method.as_deref().filter(|m| *m != ASSEMBLE) {
            return Err(format!(
                "`method` is {method:?}; there is {ASSEMBLE:?}, or none"
            ));
        }
        if self.bytecode && self.method.is_none() {
            return Err("`bytecode` is of an image that has a `method`".to_owned());
        }
        self.platforms.values().try_for_each(Pins::check)
    }

    /// Whether mlbuild itself makes the image.
    pub fn is_assembled(&self) -> bool {
        self.method.is_some()
    }
}

impl Pins {
    /// Refuses values that no package has: they become names of files and words of scripts.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn check(&self) -> Result<(), String> {
        for (key, value) in [("python", &self.python), ("pip", &self.pip)] {
            if let Some(value) = value {
                word(key, value)?;
            }
        }
        for deb in &self.apt {
            word("name", &deb.name)?;
            word("version", &deb.version)?;
            word("arch", &deb.arch)?;
            // An archive without them has apt's own placeholder, `$(CODENAME)`.
            for (key, value) in [("suite", &deb.suite), ("component", &deb.component)] {
                if value.len() > 255 || value.chars().any(char::is_control) {
                    return Err(format!("`{key}` {value:?} can't be used"));
                }
            }
            hash(&deb.sha256)?;
            let parts = deb.path.split('/');
            if deb.path.starts_with('/') || parts.clone().any(|part| part == "..") {
                return Err(format!("`path` {:?} leads out of its archive", deb.path));
            }
            parts
                .filter(|part| !part.is_empty())
                .try_for_each(|part| word("path", part))?;
        }
        for name in self.requested.iter().chain(&self.build_requested) {
            word("requested", name)?;
        }
        for name in &self.layers {
            word("layers", name)?;
        }
        for file in self.python_files().chain(&self.rattler) {
            word("name", &file.name)?;
            word("version", &file.version)?;
            word("file", &file.file)?;
            hash(&file.sha256)?;
        }
        for package in &self.conda {
            word("name", &package.name)?;
            word("version", &package.version)?;
            word("build", &package.build)?;
            word("file", &package.file)?;
            hash(&package.sha256)?;
            address(&package.url)?;
        }
        Ok(())
    }
}

/// Letters, digits and the few signs that names and versions of packages have.
fn word(key: &str, value: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+-~:%!".contains(c);
    let starts_plain = value.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if starts_plain && value.chars().all(is_plain) {
        return Ok(());
    }
    Err(format!("`{key}` {value:?} can't be used"))
}

/// An address that a build fetches from, without a log-in.
fn address(value: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_graphic() && !"\"'<>\\`".contains(c);
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| value.strip_prefix(scheme));
    let host = rest.and_then(|rest| rest.split('/').next());
    match host {
        Some(host) if !host.is_empty() && !host.contains('@') && value.chars().all(is_plain) => {
            Ok(())
        }
        _ => Err("a `url` is no address that packages come from".to_owned()),
    }
}

fn hash(value: &str) -> Result<(), String> {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if value.len() == 64 && value.bytes().all(is_hex) {
        Ok(())
    } else {
        Err(format!("`sha256` {value:?} isn't 64 hexadecimal digits"))
    }
}
