//! `data/compat/cuda.toml`: drivers, GPUs, and NVIDIA's base images.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use pep440_rs::{Version, VersionSpecifiers};
use serde::Deserialize;

use crate::value::DriverVersion;

/// What NVIDIA documents.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CudaTables {
    means_gpu: Vec<String>,
    brings_cuda: Vec<String>,
    driver: Vec<Driver>,
    sm: Vec<Sm>,
    base: Vec<CudaBase>,
    tensorflow: Vec<OldTensorflow>,
    torch: Vec<OldTorch>,
    torch_builds: BTreeMap<String, Vec<String>>,
    needs_base: Vec<NeedsBase>,
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
        // The oldest releases aren't made for a newer distribution.
        let of = if self.tag.ends_with("ubuntu20.04") {
            "ubuntu20.04"
        } else {
            "ubuntu22.04"
        };
        format!("nvidia/cuda:{number}-devel-{of}")
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
struct OldTorch {
    from: Version,
    below: Version,
    cuda: String,
}

/// A package that loads CUDA's libraries from the base.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeedsBase {
    package: String,
    /// The first release that the row isn't about.
    below: Option<Version>,
    /// The CUDA major that it is built for, where it is for one.
    pub major: Option<String>,
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

    /// Whether a package computes on NVIDIA's GPUs though its name doesn't say it.
    pub fn means_gpu(&self, package: &str) -> bool {
        self.means_gpu.iter().any(|name| name == package)
    }

    /// Whether a package, with the extras that are asked for, is known to bring CUDA's libraries with its wheels.
    pub fn brings_cuda(&self, package: &str, extras: &[String]) -> bool {
        self.brings_cuda.iter().any(|row| {
            if let Some(begin) = row.strip_suffix('*') {
                return package.starts_with(begin);
            }
            match row.trim_end_matches(']').split_once('[') {
                Some((name, extra)) => {
                    let mut extras = extras.iter();
                    name == package && extras.any(|one| one.replace('_', "-") == extra)
                }
                None => row == package,
            }
        })
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

    /// The CUDA inside the wheels of a PyTorch whose metadata doesn't name it.
    pub fn inside_old_torch(&self, version: &Version) -> Option<&str> {
        let mut rows = self.torch.iter();
        rows.find(|row| row.from <= *version && *version < row.below)
            .map(|row| row.cuda.as_str())
    }

    /// The newest release (`2.0`), by its first two numbers, that PyTorch's own index has builds of for a release of
    /// CUDA (`11.7`), among versions that will do.
    pub fn newest_torch_for(&self, cuda: &str, versions: &VersionSpecifiers) -> Option<&str> {
        let has_cuda = |builds: &[String]| builds.iter().any(|build| build == cuda);
        let will_do = |release: &str| {
            let patches = (0..=3).map(|patch| format!("{release}.{patch}"));
            let mut patches = patches.filter_map(|version| version.parse().ok());
            patches.any(|version: Version| versions.contains(&version))
        };
        let rows = self.torch_builds.iter();
        let fitting = rows.filter(|(release, builds)| has_cuda(builds) && will_do(release));
        let newest = fitting.max_by_key(|(release, _)| release.parse::<Version>().ok());
        newest.map(|(release, _)| release.as_str())
    }

    /// The releases of CUDA, ascending, that PyTorch's own index has builds of a release (`1.12.1`) for.
    pub fn torch_builds(&self, torch: &str) -> impl Iterator<Item = &str> {
        let mut numbers = torch.split('.');
        let release = [numbers.next(), numbers.next()]
            .map(Option::unwrap_or_default)
            .join(".");
        let builds = self.torch_builds.get(&release);
        builds.into_iter().flatten().map(String::as_str)
    }

    /// What a package needs that loads CUDA's libraries from the base, for the newest of its releases that
    /// will do; `None` for every other package.
    pub fn needs_base(
        &self,
        package: &str,
        versions: Option<&VersionSpecifiers>,
    ) -> Option<&NeedsBase> {
        let mut rows = self.needs_base.iter().filter(|row| row.package == package);
        // Versions that the row of older ones has a bound for: where a newer one will do too, that is taken.
        let is_older = |row: &NeedsBase| {
            let (Some(below), Some(versions)) = (&row.below, versions) else {
                return row.below.is_none();
            };
            versions.iter().any(|bound| {
                use pep440_rs::Operator::{Equal, EqualStar, LessThan, LessThanEqual, TildeEqual};
                let holds_back = matches!(
                    bound.operator(),
                    Equal | EqualStar | LessThanEqual | TildeEqual
                ) && bound.version() < below;
                holds_back || *bound.operator() == LessThan && bound.version() <= below
            })
        };
        rows.find(|row| is_older(row))
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
        assert_eq!(floor("8.6").unwrap().1.to_string(), "11.0");
        assert!(floor("7.5").is_none());
        assert!(tables.bases().iter().all(|b| b.tag.starts_with(&b.cuda)));
    }

    #[test]
    fn what_loads_cuda_from_the_base_says_which() {
        for (package, versions, major) in [
            ("onnxruntime-gpu", "==1.18.0", Some("11")),
            ("onnxruntime-gpu", "<1.19", Some("11")),
            ("onnxruntime-gpu", ">=1.16", Some("12")),
            ("onnxruntime-gpu", "", Some("12")),
            ("cupy-cuda11x", "==13.0", Some("11")),
            ("pycuda", "", None),
        ] {
            let versions = versions.parse().unwrap();
            let row = cuda().needs_base(package, Some(&versions)).unwrap();
            assert_eq!(row.major.as_deref(), major, "{package}{versions}");
        }
        assert!(cuda().needs_base("numpy", None).is_none());
    }
}
