//! `data/bases.toml`: which image each template stands on.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::wheels::minor;

use crate::spec::{Accelerator, TemplateName};
use crate::value::BaseImage;

/// The table of bases.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bases {
    /// The uv release that installs packages.
    pub uv: String,
    /// The SHA-256 (hex) of each of its wheels for Linux, by the name of its file.
    pub uv_wheels: BTreeMap<String, String>,
    /// The py-rattler release that installs conda's packages.
    pub rattler: Rattler,
    /// The Python version (`3.12`) where nothing asks for another.
    pub python: String,
    /// The Debian release (`bookworm`) of the official image of each Python version that has one.
    debian: BTreeMap<String, String>,
    /// The CUDA version (`12.8`) of the `cuda` template where nothing asks for another.
    pub cuda: String,
    template: BTreeMap<TemplateName, BTreeMap<Accelerator, String>>,
    serving: BTreeMap<Accelerator, String>,
    carries: Vec<Carries>,
}

/// The py-rattler that lays out conda's packages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rattler {
    /// Its release.
    pub version: String,
    /// The hashes (hex) of its wheels for Linux.
    pub sha256: Vec<String>,
}

/// What a well-known base brings along.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carries {
    /// The beginning of the image's name.
    prefix: String,
    /// The Python packages that its own Python holds, by canonical name.
    pub packages: Vec<String>,
    /// Whether it has the CUDA libraries.
    #[serde(default)]
    pub cuda: bool,
    /// Whether packages belong into its own Python.
    #[serde(default = "yes")]
    pub python: bool,
}

fn yes() -> bool {
    true
}

/// The table that this build of mlbuild ships.
pub fn bases() -> &'static Bases {
    static BASES: LazyLock<Bases> = LazyLock::new(|| {
        toml::from_str(include_str!("../../data/bases.toml")).expect("data/bases.toml is checked")
    });
    &BASES
}

impl Bases {
    /// The base of a template for an accelerator, with `{python}`, `{debian}` and
    /// `{cuda}` still in it.
    pub fn template(&self, template: TemplateName, accelerator: Accelerator) -> Option<&str> {
        let row = self.template.get(&template)?;
        row.get(&accelerator).map(String::as_str)
    }

    /// The Debian release of the official image of a Python version; that of the usual one for versions of which
    /// none is known.
    pub fn debian(&self, python: &str) -> &str {
        let usual = || self.debian.get(&self.python);
        let found = self.debian.get(python).or_else(usual);
        found.map_or("", String::as_str)
    }

    /// The oldest and the newest Python version of which an official image is known.
    pub fn pythons(&self) -> (&str, &str) {
        let by_minor = |python: &&String| minor(python);
        let oldest = self.debian.keys().min_by_key(by_minor);
        let newest = self.debian.keys().max_by_key(by_minor);
        (
            oldest.map_or("", String::as_str),
            newest.map_or("", String::as_str),
        )
    }

    /// The accelerators that a template has a base for.
    pub fn accelerators(&self, template: TemplateName) -> impl Iterator<Item = Accelerator> {
        self.template
            .get(&template)
            .into_iter()
            .flat_map(|row| row.keys().copied())
    }

    /// The base of a TensorFlow Serving image.
    pub fn serving(&self, accelerator: Accelerator) -> Option<&str> {
        self.serving.get(&accelerator).map(String::as_str)
    }

    /// What is known of a base.
    pub fn carries(&self, base: &BaseImage) -> Option<&Carries> {
        let name = base
            .as_str()
            .trim_start_matches("docker.io/")
            .trim_start_matches("library/");
        self.carries.iter().find(|row| {
            name.strip_prefix(&row.prefix).is_some_and(|rest| {
                row.prefix.ends_with('/') || rest.is_empty() || rest.starts_with([':', '@', '-'])
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_base_is_an_image_reference() {
        for (template, row) in &bases().template {
            for (accelerator, text) in row {
                let text = text
                    .replace("{python}", "3.12")
                    .replace("{debian}", bases().debian("3.12"))
                    .replace("{cuda}", "12.8.1-base");
                assert!(
                    text.parse::<BaseImage>().is_ok(),
                    "{template} {accelerator}: {text}"
                );
            }
        }
    }

    #[test]
    fn every_python_has_the_debian_of_its_official_image() {
        assert_eq!(bases().pythons(), ("3.6", "3.14"));
        for (python, debian) in [
            ("3.6", "bullseye"),
            ("3.7", "bookworm"),
            ("3.12", "bookworm"),
            ("3.99", "bookworm"),
        ] {
            assert_eq!(bases().debian(python), debian, "{python}");
        }
    }

    #[test]
    fn a_base_is_known_by_the_whole_name() {
        let carries = |text: &str| bases().carries(&text.parse().unwrap());
        assert_eq!(
            carries("nvcr.io/nvidia/tensorflow:21.02-tf2-py3")
                .unwrap()
                .packages,
            ["tensorflow"]
        );
        assert!(
            carries("docker.io/nvidia/cuda:12.8.1-base-ubuntu24.04")
                .unwrap()
                .cuda
        );
        assert!(carries("nvidia/cuda-thing:1").is_some());
        assert!(carries("pytorch/pytorchother:1").is_none());
        assert!(carries("quay.io/jupyter/scipy-notebook").is_some());
        assert!(carries("debian:12").is_none());
    }
}
