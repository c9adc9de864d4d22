//! What the lock file says of one image.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

use super::LockedBuild;

/// What tells two entries of one lock file apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageKey {
    /// Repository with its registry, without tag: `ghcr.io/acme/cracks`.
    pub name: String,
    /// Tag, if the image has one.
    pub tag: Option<String>,
    /// Dockerfile stage that was built, if not the last one.
    pub target: Option<String>,
}

impl fmt::Display for ImageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(target) = &self.target {
            write!(f, " (target {target})")?;
        }
        Ok(())
    }
}

/// One image of the lock file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedImage {
    /// Repository with its registry, without tag.
    pub name: String,
    /// Tag, if the image has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Dockerfile stage that was built, if not the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The variant of the project's image that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// When the entry was made; written in whole seconds, UTC.
    pub created: Timestamp,
    /// What it was derived from without a build; then everything but `platforms` and
    /// `published` is that image's, and `bases` of one that was put on another base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derived: Option<Derived>,
    /// What the image was made from.
    pub inputs: Inputs,
    /// Base images, each with what its reference meant at lock time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<LockedBase>,
    /// Who built it: recorded, never required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builder: Option<Builder>,
    /// What came out, by platform (`linux/amd64`).
    pub platforms: BTreeMap<String, LockedPlatform>,
    /// What the registry confirmed, if the image was pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedImage>,
    /// Pinned packages, where they were recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<LockedPackages>,
    /// What a locked build is made from, where `mlbuild lock` resolved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<LockedBuild>,
}

impl LockedImage {
    /// The key this entry is filed under.
    pub fn key(&self) -> ImageKey {
        ImageKey {
            name: self.name.clone(),
            tag: self.tag.clone(),
            target: self.target.clone(),
        }
    }

    /// The base with this reference, as the Dockerfile writes it.
    pub fn base(&self, reference: &str) -> Option<&LockedBase> {
        self.bases.iter().find(|b| b.reference == reference)
    }
}

/// How an image came out of another one without a build: it was given to another user, or put on another base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Derived {
    /// The other image, with its digest: `ghcr.io/acme/cracks:v1@sha256:…`.
    pub from: String,
    /// User id that it has now.
    pub uid: u32,
    /// Group id that it has now.
    pub gid: u32,
    /// Login name that it has now.
    pub name: String,
}

/// What an image was made from. Two builds with equal inputs ask for the same image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inputs {
    /// Version of mlbuild that wrote the entry.
    pub mlbuild: String,
    /// Template the Dockerfile was composed from; none for a user's own Dockerfile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Hash of the image's description; none for a user's own Dockerfile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Digest>,
    /// Hash of the Dockerfile's text.
    pub dockerfile: Digest,
    /// Hash of the build context: names, modes and contents that the build sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Digest>,
    /// Hash of every other setting that shapes the image (labels, network mode, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Digest>,
    /// Build arguments. Secrets never are build arguments.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
}

/// A base image: what its reference meant when the lock was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedBase {
    /// The reference as the Dockerfile names it.
    pub reference: String,
    /// Digest that the reference named: of an index, or of the only manifest.
    pub digest: Digest,
    /// Manifest digest for each platform that was looked at.
    pub platforms: BTreeMap<String, Digest>,
}

/// The builder that made the image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Builder {
    /// What it is: `dockerd`, `buildkitd`.
    pub name: String,
    /// Its version, as it says.
    pub version: String,
}

/// The image for one platform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPlatform {
    /// Digest of the image manifest.
    pub manifest: Digest,
    /// Digest of the image configuration (Docker's image ID).
    pub config: Digest,
    /// Layers, lowest first.
    pub layers: Vec<LockedLayer>,
}

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedLayer {
    /// Digest of the blob as the registry holds it.
    pub digest: Digest,
    /// Digest of the uncompressed tar, which doesn't hang on the compressor.
    pub diff_id: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
    /// Media type of the blob.
    pub media_type: String,
}

/// A pushed image as the registry confirmed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedImage {
    /// Reference that was pushed, with its tag and without digest.
    pub reference: String,
    /// Digest that the registry holds under it: of an index, or of the only manifest.
    pub digest: Digest,
    /// Media type of what the digest names.
    pub media_type: String,
    /// Size in bytes of the manifest or index itself.
    pub size: u64,
}

/// Packages that an image holds. Where their files are known, they are pinned by hash.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackages {
    /// Debian packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apt: Vec<AptPackage>,
    /// Python distributions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub python: Vec<PythonPackage>,
}

/// A Debian package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AptPackage {
    /// Package name.
    pub name: String,
    /// Full version.
    pub version: String,
    /// Architecture (`amd64`, `all`).
    pub arch: String,
    /// Hash of the .deb, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Size of the .deb in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A Python distribution.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PythonPackage {
    /// Distribution name, normalized.
    pub name: String,
    /// Version.
    pub version: String,
    /// File name of the wheel or source archive, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Hash of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Size of the file in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}
