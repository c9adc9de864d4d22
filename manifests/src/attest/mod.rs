//! What travels with an image to say what is in it and how it was made: a bill of materials in
//! SPDX or CycloneDX, and SLSA provenance. Each says the same for the same image, whenever it is
//! written: times are the image's own.

mod cyclonedx;
mod slsa;
mod spdx;

use jiff::Timestamp;
use oci_spec::image::Digest;

pub use cyclonedx::{CYCLONEDX_MEDIA_TYPE, cyclonedx};
pub use slsa::{IN_TOTO_MEDIA_TYPE, PREDICATE_TYPE, provenance, with_hashes};
pub use spdx::{SPDX_MEDIA_TYPE, spdx};

/// The image that is described, for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Repository with its registry: `ghcr.io/acme/cracks`.
    pub name: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Its platform, `linux/amd64`.
    pub platform: String,
    /// When it says it was created.
    pub created: Timestamp,
    /// What the distribution calls itself (`ID` of `/etc/os-release`), where it does: `debian`.
    pub distribution: Option<String>,
}

/// A package that an image holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Component {
    /// Whose package it is.
    pub kind: PackageKind,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The file that it was installed from, where that is pinned: its hash, hex.
    pub sha256: Option<String>,
}

/// Whose package it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackageKind {
    /// The distribution's, for this architecture.
    Debian {
        /// `amd64`, `all`.
        arch: String,
    },
    /// Python's.
    Python,
    /// Of a channel of conda's.
    Conda,
}

impl Component {
    /// Its package URL, as <https://github.com/package-url/purl-spec> has it.
    fn purl(&self, subject: &Subject) -> String {
        let (name, version) = (escaped(&self.name), escaped(&self.version));
        match &self.kind {
            PackageKind::Debian { arch } => {
                let from = subject.distribution.as_deref().unwrap_or("debian");
                format!(
                    "pkg:deb/{}/{name}@{version}?arch={}",
                    escaped(from),
                    escaped(arch)
                )
            }
            PackageKind::Python => format!("pkg:pypi/{name}@{version}"),
            PackageKind::Conda => format!("pkg:conda/{name}@{version}"),
        }
    }

    /// A name that no other component of the image has, of letters, digits, `.` and `-`.
    fn id(&self) -> String {
        let kind = match &self.kind {
            PackageKind::Debian { arch } => format!("deb-{arch}"),
            PackageKind::Python => "python".to_owned(),
            PackageKind::Conda => "conda".to_owned(),
        };
        let plain = |c: char| match c {
            c if c.is_ascii_alphanumeric() || c == '.' => c,
            _ => '-',
        };
        // What is lost of the name must not make two the same.
        let rest: u32 = self
            .name
            .bytes()
            .filter(|b| b"+_~:".contains(b))
            .map(u32::from)
            .sum();
        let name: String = self.name.chars().map(plain).collect();
        match rest {
            0 => format!("{kind}-{name}"),
            rest => format!("{kind}-{name}-{rest}"),
        }
    }
}

impl Subject {
    /// The image's package URL.
    fn purl(&self) -> String {
        let name = self.name.rsplit('/').next().unwrap_or(&self.name);
        let arch = self.platform.split('/').nth(1).unwrap_or_default();
        format!(
            "pkg:oci/{}@{}?arch={}&repository_url={}",
            escaped(&name.to_ascii_lowercase()),
            escaped(self.digest.as_ref()),
            escaped(arch),
            escaped(&self.name)
        )
    }
}

/// With everything percent-encoded that a package URL may not have as it is.
fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_~".contains(&b);
    let mut out = String::new();
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte))
        } else {
            out.push_str(&format!("%{byte:02X}"))
        }
    }
    out
}

/// The bytes of a document: the same for equal values.
fn bytes(document: &serde_json::Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(document).expect("string keys only");
    bytes.push(b'\n');
    bytes
}
