//! What differs between two images, and why.
//!
//! Layers that both have are not read; nothing is unpacked to disk.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tokio::task::JoinError;

use crate::error::ErrorKind;
use crate::image::compare::{Comparison, LayersDifference, compare};
use crate::image::layer::LayerError;
use crate::image_source::{self, ImageSourceError, Opened, layer_error_kind};
use crate::registry::Registry;

/// Which images are compared.
#[derive(Debug, Clone)]
pub struct DiffRequest {
    /// The first image: a reference in a registry, or a path that begins with `/` or `.` or ends
    /// in `.tar`.
    pub first: String,
    /// The second image.
    pub second: String,
    /// This platform only, as `linux/amd64`.
    pub platform: Option<String>,
}

/// Why two images aren't compared.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// One of them can't be read.
    #[error(transparent)]
    Image(#[from] ImageSourceError),
    /// A layer of one of them can't be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// One of them lacks the platform that is asked for.
    #[error("{image} has no image for {wanted}; it has {}", available.join(", "))]
    NoSuchPlatform {
        /// The image.
        image: String,
        /// The platform.
        wanted: String,
        /// Those that there are.
        available: Vec<String>,
    },
    /// The work was dropped.
    #[error("the comparison broke off: {0}")]
    BrokenOff(#[from] JoinError),
}

impl DiffError {
    /// Of which kind it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Image(error) => error.kind(),
            Self::Layer(error) => layer_error_kind(error),
            Self::NoSuchPlatform { .. } => ErrorKind::User,
            Self::BrokenOff(_) => ErrorKind::Work,
        }
    }
}

/// Opens two images and compares them.
///
/// # Errors
/// Where one of them can't be read, or lacks the platform that is asked for.
pub async fn diff(
    request: &DiffRequest,
    registry: &Registry,
) -> Result<ImageDifference, DiffError> {
    let (first, second) = tokio::try_join!(
        image_source::open(&request.first, registry),
        image_source::open(&request.second, registry)
    )?;
    let platform = request.platform.clone();
    let work = move || ImageDifference::of(&first, &second, platform.as_deref());
    tokio::task::spawn_blocking(work).await?
}

/// `1 file`, `2 files`.
pub fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// What differs between two images.
#[derive(Debug)]
pub struct ImageDifference {
    /// By platform, for those that both have.
    pub platforms: Vec<(String, Comparison)>,
    /// Platforms that only the first image has.
    pub only_first: Vec<String>,
    /// Platforms that only the second image has.
    pub only_second: Vec<String>,
}

impl ImageDifference {
    /// Compares two images that were opened: all platforms that both have, or the one that is `wanted`.
    ///
    /// # Errors
    /// Where one of them lacks the platform that is wanted, or a layer can't be read.
    pub fn of(first: &Opened, second: &Opened, wanted: Option<&str>) -> Result<Self, DiffError> {
        let is_wanted = |name: &&String| wanted.is_none_or(|wanted| wanted == *name);
        let names = |opened: &'_ Opened| -> BTreeSet<String> {
            opened.images.keys().filter(is_wanted).cloned().collect()
        };
        let (a, b) = (names(first), names(second));
        if let Some(wanted) = wanted {
            for (opened, names) in [(first, &a), (second, &b)] {
                if names.is_empty() {
                    return Err(DiffError::NoSuchPlatform {
                        image: opened.name.clone(),
                        wanted: wanted.to_owned(),
                        available: opened.images.keys().cloned().collect(),
                    });
                }
            }
        }
        let mut platforms = Vec::new();
        for name in a.intersection(&b) {
            let sides = (first.side(name), second.side(name));
            let compared = compare(&sides.0, &sides.1)?;
            platforms.push((name.clone(), compared));
        }
        Ok(Self {
            platforms,
            only_first: a.difference(&b).cloned().collect(),
            only_second: b.difference(&a).cloned().collect(),
        })
    }

    /// True if both have the same platforms, and each of those the same manifest.
    pub fn is_same(&self) -> bool {
        let lonely = self.only_first.len() + self.only_second.len();
        lonely == 0 && self.platforms.iter().all(|(_, compared)| compared.same)
    }

    /// The difference in one line.
    pub fn summary(&self) -> String {
        let (mut layers, mut files, mut settings, mut packages) = (0, 0, 0, 0);
        for (_, compared) in &self.platforms {
            layers += compared.layers.len();
            settings += compared.config.len();
            packages += compared.packages.len();
            let of = |l: &LayersDifference| l.files.len() as u64 + l.unlisted;
            files += compared.layers.iter().map(of).sum::<u64>();
        }
        format!(
            "the images differ: {}, {}, {} and {}",
            count(settings as u64, "setting"),
            count(packages as u64, "package"),
            count(files, "file"),
            count(layers as u64, "layer"),
        )
    }

    /// The difference as scripts get it. It can be written piece by piece: as a whole it is many times
    /// larger than what it is made of.
    pub fn document<'a>(&'a self, first: &'a str, second: &'a str) -> DifferenceDocument<'a> {
        let platforms = self.platforms.iter();
        DifferenceDocument {
            first,
            only_in_first: &self.only_first,
            only_in_second: &self.only_second,
            platforms: platforms
                .map(|(name, compared)| (name.as_str(), compared))
                .collect(),
            same: self.is_same(),
            second,
        }
    }
}

/// A difference as JSON has it, by the names of its fields.
#[derive(Debug, Serialize)]
pub struct DifferenceDocument<'a> {
    first: &'a str,
    only_in_first: &'a [String],
    only_in_second: &'a [String],
    platforms: BTreeMap<&'a str, &'a Comparison>,
    same: bool,
    second: &'a str,
}
