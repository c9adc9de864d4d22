//! `data/compat/cuda.toml`: drivers, GPUs, and NVIDIA's base images.

use std::sync::LazyLock;

use pep440_rs::Version;
use serde::Deserialize;

use crate::value::DriverVersion;

/// What NVIDIA documents.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CudaTables {
    driver: Vec<Driver>,
    sm: Vec<Sm>,
    base: Vec<CudaBase>,
    tensorflow: Vec<OldTensorflow>,
    needs_base: NeedsBase,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Driver {
    cuda: String,
    oldest: Version,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sm {
    capability: Version,
    torch: Version,
    cuda: Version,
}

/// One of NVIDIA's CUDA images.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CudaBase {
    /// The CUDA release, `12.8`.
    pub cuda: String,
    /// The tag of `nvidia/cuda`.
    pub tag: String,
    /// The Python that its distribution has.
    pub python: String,
}

impl CudaBase {
    /// The image with the whole toolkit, nvcc among it, on an older C library than any of our bases has.
    pub fn toolkit(&self) -> String {
        let number = self.tag.split('-').next().unwrap_or_default();
        format!("nvidia/cuda:{number}-devel-ubuntu22.04")
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct OldTensorflow {
    from: Version,
    below: Version,
    cuda: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct NeedsBase {
    packages: Vec<String>,
}

/// The table that this build of mlbuild ships.
pub fn cuda() -> &'static CudaTables {
    static TABLES: LazyLock<CudaTables> = LazyLock::new(|| {
        let text = include_str!("../../data/compat/cuda.toml");
        toml::from_str(text).expect("data/compat/cuda.toml is checked")
    });
    &TABLES
}

impl CudaTables {
    /// The oldest Linux driver that runs a CUDA release (`12.8`).
    pub fn oldest_driver(&self, cuda: &str) -> Option<&Version> {
        let major = cuda.split('.').next()?;
        self.driver
            .iter()
            .find(|row| row.cuda == major)
            .map(|row| &row.oldest)
    }

    /// Whether a driver, or one of those that begin so (`525`, `525.60`), runs a CUDA release.
    pub fn is_run_by(&self, cuda: &str, driver: &DriverVersion) -> bool {
        let has: Version = driver.as_str().parse().expect("checked when it was made");
        self.oldest_driver(cuda).is_none_or(|oldest| {
            *oldest <= has || oldest.to_string().starts_with(&format!("{driver}."))
        })
    }

    /// The oldest torch and CUDA with code for GPUs of a compute capability.
    pub fn floor_of_capability(&self, capability: &Version) -> Option<(&Version, &Version)> {
        let rows = self.sm.iter().filter(|row| row.capability <= *capability);
        rows.max_by_key(|row| &row.capability)
            .map(|row| (&row.torch, &row.cuda))
    }

    /// NVIDIA's images, oldest CUDA first.
    pub fn bases(&self) -> &[CudaBase] {
        &self.base
    }

    /// The CUDA that a TensorFlow of before the `and-cuda` extra looks for in its base.
    pub fn for_old_tensorflow(&self, version: &Version) -> Option<&str> {
        let mut rows = self.tensorflow.iter();
        rows.find(|row| row.from <= *version && *version < row.below)
            .map(|row| row.cuda.as_str())
    }

    /// Whether a package loads CUDA's libraries from the base.
    pub fn needs_base(&self, package: &str) -> bool {
        self.needs_base.packages.iter().any(|p| p == package)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors() {
        let tables = cuda();
        assert_eq!(
            tables.oldest_driver("12.8").unwrap().to_string(),
            "525.60.13"
        );
        assert_eq!(tables.oldest_driver("13.0").unwrap().to_string(), "580");
        let floor = |text: &str| tables.floor_of_capability(&text.parse().unwrap());
        assert_eq!(floor("12.0").unwrap().0.to_string(), "2.7.0");
        assert!(floor("8.6").is_none());
        assert!(tables.bases().iter().all(|b| b.tag.starts_with(&b.cuda)));
    }
}
