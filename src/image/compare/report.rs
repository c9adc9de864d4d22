//! What a comparison found: plain data, written as JSON as it stands. Fields stand in the order of their
//! names, as in all JSON that mlbuild prints.

use serde::Serialize;
use serde_json::Value;

use super::groups::Group;
use super::side::Side;
use crate::image::ImageLayer;
use oci_spec::image::Digest;

/// Something of both images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pair<T> {
    /// Of the first image.
    pub first: T,
    /// Of the second image.
    pub second: T,
}

/// Two images for one platform.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// What differs in configuration, history and manifest.
    pub config: Vec<ConfigDifference>,
    /// Digests of their manifests; of their configurations where one has no manifest.
    pub digest: Pair<Digest>,
    /// Layers that differ, lowest first.
    pub layers: Vec<LayersDifference>,
    /// Packages that came, went or changed their version.
    pub packages: Vec<PackageDifference>,
    /// True if they are the same: the same manifest, or the same configuration where one of
    /// them has no manifest.
    pub same: bool,
    /// Bytes of all layers as they are stored.
    pub size: Pair<u64>,
    /// Bytes that were unpacked to compare.
    pub unpacked: Pair<u64>,
}

/// A setting that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfigDifference {
    /// Its name, such as `config.Env.PATH`.
    pub field: String,
    /// Its value in the first image; none where it isn't set.
    pub first: Option<Value>,
    /// Its value in the second image.
    pub second: Option<Value>,
}

/// A package that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackageDifference {
    /// Its version in the first image; none where it isn't there.
    pub first: Option<String>,
    /// `apt` or `python`.
    pub kind: &'static str,
    /// Its name; of a Debian package `name:architecture`.
    pub name: String,
    /// Its version in the second image.
    pub second: Option<String>,
}

/// Layers that stand in the same place and differ.
#[derive(Clone, Debug, Serialize)]
pub struct LayersDifference {
    /// How many files differ in each way: a field's name, `only in first`, `only in second`.
    pub counts: std::collections::BTreeMap<String, u64>,
    /// The files, sorted by path.
    pub files: Vec<FileDifference>,
    /// Those of the first image; none where it has nothing there.
    pub first: Vec<LayerAbout>,
    /// True if all files are the same, and only the headers of the tar are written differently.
    pub headers_only: bool,
    /// The first path that stands in another place of the tar.
    pub order: Option<String>,
    /// True if both unpack to the same tar, and only the compression differs.
    pub repacked: bool,
    /// Those of the second image.
    pub second: Vec<LayerAbout>,
    /// Files that differ and are not listed, because there are too many.
    pub unlisted: u64,
}

/// A layer.
#[derive(Clone, Debug, Serialize)]
pub struct LayerAbout {
    /// Digest of the unpacked tar.
    pub diff_id: Digest,
    /// The blob.
    pub digest: Digest,
    /// Its place, from 1.
    pub number: usize,
    /// Size of the blob in bytes.
    pub size: u64,
    /// The step of the Dockerfile that made it, where the history tells.
    pub step: Option<String>,
}

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileChange {
    /// Both have it, and something differs.
    Changed,
    /// Only the first image's layers have it.
    OnlyInFirst,
    /// Only the second image's layers have it.
    OnlyInSecond,
}

/// A path that differs.
#[derive(Clone, Debug, Serialize)]
pub struct FileDifference {
    /// Why, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
    /// How it differs.
    pub change: FileChange,
    /// What differs, where both have it.
    pub fields: Vec<FieldDifference>,
    /// The layer that it comes from, from 1.
    pub layer: Pair<Option<usize>>,
    /// The lines that differ, as a unified diff, for small texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<String>,
    /// Where it is.
    pub path: String,
    /// The path's bytes, to find it again.
    #[serde(skip)]
    pub(super) raw: Vec<u8>,
    /// What keeps it from differing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<&'static str>,
    /// Bytes of content in both.
    #[serde(skip)]
    pub(super) size: Pair<u64>,
}

/// A property of a file that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldDifference {
    /// `kind`, `mode`, `owner`, `owner-name`, `mtime`, `size`, `content`, `link`, `device` or
    /// `xattr NAME`.
    pub field: String,
    /// Its value in the first image.
    pub first: String,
    /// Its value in the second image.
    pub second: String,
}

impl Comparison {
    pub(super) fn new(first: &Side<'_>, second: &Side<'_>) -> Self {
        let has_manifests = first.manifest.is_some() && second.manifest.is_some();
        let digest = |side: &Side<'_>| {
            if has_manifests {
                side.image.manifest.digest().clone()
            } else {
                side.image.config.digest().clone()
            }
        };
        let size = |side: &Side<'_>| side.image.layers.iter().map(|l| l.blob.size()).sum();
        let digest = Pair {
            first: digest(first),
            second: digest(second),
        };
        Self {
            same: digest.first == digest.second,
            digest,
            config: Vec::new(),
            size: Pair {
                first: size(first),
                second: size(second),
            },
            unpacked: Pair::default(),
            packages: Vec::new(),
            layers: Vec::new(),
        }
    }
}

impl LayersDifference {
    pub(super) fn new(first: &Side<'_>, second: &Side<'_>, group: &Group) -> Self {
        let about = |side: &Side<'_>, range: std::ops::Range<usize>| -> Vec<LayerAbout> {
            let steps = side.steps();
            let about = |at: usize| {
                let layer: &ImageLayer = &side.image.layers[at];
                LayerAbout {
                    number: at + 1,
                    digest: layer.blob.digest().clone(),
                    diff_id: layer.diff_id.clone(),
                    size: layer.blob.size(),
                    step: steps[at].clone(),
                }
            };
            range.map(about).collect()
        };
        Self {
            first: about(first, group.first.clone()),
            second: about(second, group.second.clone()),
            repacked: group.is_repacked,
            counts: Default::default(),
            files: Vec::new(),
            unlisted: 0,
            order: None,
            headers_only: false,
        }
    }

    pub(super) fn repacked(first: &Side<'_>, second: &Side<'_>, group: &Group) -> Self {
        Self::new(first, second, group)
    }
}
