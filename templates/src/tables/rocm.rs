//! `data/compat/rocm.toml`: AMD's images, each with the framework built for it.

use std::sync::LazyLock;

use pep440_rs::Version;
use serde::Deserialize;

/// One of AMD's images.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RocmImage {
    /// The package it holds: `torch` or `tensorflow`.
    pub framework: String,
    /// That package's version.
    pub version: Version,
    /// The ROCm release.
    pub rocm: String,
    /// Its Python.
    pub python: String,
    /// The image.
    pub image: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    image: Vec<RocmImage>,
}

/// The images that this build of mlbuild knows, newest framework first.
pub fn rocm() -> &'static [RocmImage] {
    static TABLE: LazyLock<Vec<RocmImage>> = LazyLock::new(|| {
        let text = include_str!("../../data/compat/rocm.toml");
        let table: Table = toml::from_str(text).expect("data/compat/rocm.toml is checked");
        table.image
    });
    &TABLE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Accelerator, TemplateName};
    use crate::value::BaseImage;

    #[test]
    fn the_default_base_is_the_newest_row() {
        for (template, framework) in [
            (TemplateName::Pytorch, "torch"),
            (TemplateName::Tensorflow, "tensorflow"),
        ] {
            let newest = rocm()
                .iter()
                .find(|row| row.framework == framework)
                .unwrap();
            let default = crate::tables::bases()
                .template(template, Accelerator::Rocm)
                .unwrap();
            assert_eq!(newest.image, default);
        }
        assert!(
            rocm()
                .iter()
                .all(|row| row.image.parse::<BaseImage>().is_ok())
        );
    }
}
