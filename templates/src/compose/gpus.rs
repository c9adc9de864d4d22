//! Packages that mean a GPU: by their names, extras and builds. Where nobody says what the image is made for,
//! they do.

use super::frameworks::Framework;
use super::inputs::Inputs;
use super::{ComposeContext, Warning};
use crate::project::Wanted;
use crate::project::manifests::{Conda, OF_CPUS};
use crate::spec::{Accelerator, ImageSpec, TemplateName};
use crate::tables::{cuda, framework_brought_by};

/// A package that computes on NVIDIA's GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OfGpu {
    /// How it is asked for: `jax[cuda12]`.
    pub name: String,
    /// `requirements.txt:3`
    pub origin: String,
    /// Whether CUDA's libraries come with it, or with the base that is chosen for it, as far as is known.
    brings_cuda: bool,
}

/// The first package that means a GPU of NVIDIA.
pub(super) fn find(inputs: &Inputs) -> Option<OfGpu> {
    if let Some(conda) = &inputs.conda
        && let Some((name, _, origin)) = conda.builds().into_iter().find(of_channels)
    {
        return Some(OfGpu {
            name,
            origin,
            brings_cuda: true,
        });
    }
    // A lock of uv has the packages of every extra.
    let wanted = match (&inputs.synced, &inputs.direct) {
        (Some(_), direct) => direct.as_deref().unwrap_or_default(),
        (None, _) => &inputs.wanted,
    };
    if let Some(found) = wanted.iter().find_map(of_index) {
        return Some(found);
    }
    let mut addresses = inputs.addresses.iter();
    if let Some(address) = addresses.find(|a| is_of_cuda_build(&a.text)) {
        return Some(OfGpu {
            name: address.name.clone().unwrap_or(address.repository.clone()),
            origin: address.origin.clone(),
            brings_cuda: false,
        });
    }
    inputs.for_cuda.as_ref().map(|asked| OfGpu {
        name: asked.text.clone(),
        origin: asked.origin.clone(),
        // That CUDA isn't taken from conda is said where it is read.
        brings_cuda: true,
    })
}

/// PyTorch, where its own build for ROCm is asked for: its name and place.
pub(super) fn rocm_build(frameworks: &[Framework]) -> Option<(String, String)> {
    let mut all = frameworks.iter();
    all.find_map(|framework| {
        let build = framework.build.as_deref()?;
        let is_it = framework.name == "torch" && build.starts_with("rocm");
        is_it.then(|| {
            (
                format!("PyTorch's build {build}"),
                framework.wanted.origin.clone(),
            )
        })
    })
}

/// The package that decides that the image is made for GPUs: nobody says it, and neither the template nor the
/// base does.
pub(super) fn deciding(
    spec: &ImageSpec,
    context: &ComposeContext,
    inputs: &Inputs,
) -> Option<OfGpu> {
    let is_open = spec.gpu.is_none() && spec.template == TemplateName::Python;
    // A base that somebody names is known to them.
    let is_open = is_open && spec.base.is_none();
    let has_base = context.accelerator_bases.contains_key(&Accelerator::Off);
    find(inputs).filter(|_| is_open && !has_base)
}

/// What is to be said of packages that mean a GPU.
pub(super) fn warning(inputs: &Inputs, accelerator: Accelerator) -> Option<Warning> {
    let mut wanted = inputs.wanted.iter().filter(|_| !inputs.locked);
    if let Some(old) = wanted.find(|wanted| wanted.name == "tensorflow-gpu") {
        return Some(Warning {
            message: format!(
                "tensorflow-gpu ({}) is an old name of tensorflow, and its releases bring no CUDA",
                old.origin
            ),
            hint: Some(
                "ask for tensorflow, or name a base with the CUDA that the release was built for"
                    .into(),
            ),
        });
    }
    let found = match find(inputs) {
        Some(found) => found,
        None => return of_amd(inputs, accelerator),
    };
    let OfGpu {
        name,
        origin,
        brings_cuda,
    } = found;
    match accelerator {
        // A lock has what other packages bring, too.
        Accelerator::Off if inputs.locked => None,
        Accelerator::Off => Some(Warning {
            message: format!(
                "{name} ({origin}) computes on a GPU, and this image is made for CPUs"
            ),
            hint: Some(
                "set gpu = \"cuda\" under [image], and a base with CUDA where its wheels bring none"
                    .into(),
            ),
        }),
        // PyTorch brings them for what stands beside it.
        Accelerator::Cuda if !brings_cuda && !has_torch(inputs) => Some(Warning {
            message: format!(
                "whether {name} ({origin}) brings CUDA's libraries with its wheels isn't known, and the base has none"
            ),
            hint: Some(
                "where it doesn't, use template = \"cuda\" under [image], or name a base with its CUDA: base = \"…\""
                    .into(),
            ),
        }),
        _ => None,
    }
}

/// Whether PyTorch is among the packages, or what brings it.
fn has_torch(inputs: &Inputs) -> bool {
    let mut wanted = inputs.wanted.iter();
    wanted.any(|w| w.name == "torch" || framework_brought_by(&w.name) == Some("torch"))
}

/// Packages for GPUs of AMD in an image for others.
fn of_amd(inputs: &Inputs, accelerator: Accelerator) -> Option<Warning> {
    let is_amd_s = |wanted: &&Wanted| {
        let mut extras = wanted.extras.iter();
        let mut words = wanted.name.split('-');
        extras.any(|extra| extra.starts_with("rocm")) || words.any(|word| word.starts_with("rocm"))
    };
    let mut wanted = inputs.wanted.iter();
    let found = wanted.find(is_amd_s)?;
    let is_missed = accelerator != Accelerator::Rocm && !inputs.locked;
    is_missed.then(|| Warning {
        message: format!(
            "{} ({}) computes on GPUs of AMD, and this image isn't made for them",
            shown(found),
            found.origin
        ),
        hint: Some("set gpu = \"rocm\" under [image]".into()),
    })
}

/// A package as it is asked for: `jax[cuda12]`.
fn shown(wanted: &Wanted) -> String {
    match wanted.extras.as_slice() {
        [] => wanted.name.clone(),
        extras => format!("{}[{}]", wanted.name, extras.join(",")),
    }
}

/// Whether a package of the index means a GPU.
fn of_index(wanted: &Wanted) -> Option<OfGpu> {
    let name = wanted.name.as_str();
    let table = cuda();
    let extra = wanted.extras.iter().any(|extra| is_gpu_s(extra));
    let versions = wanted.versions.as_ref().map(ToString::to_string);
    let build = versions.is_some_and(|versions| is_of_cuda_build(&versions));
    let has_base = table.needs_base(name, wanted.versions.as_ref()).is_some();
    let by_name = is_named_for_gpus(name);
    let is_one = extra || build || has_base || by_name || table.means_gpu(name);
    is_one.then(|| OfGpu {
        name: shown(wanted),
        origin: wanted.origin.clone(),
        brings_cuda: has_base || table.brings_cuda(name, &wanted.extras),
    })
}

/// Whether an extra asks for GPUs: `cuda12`, `cuda12_pip`, `and-cuda`, `cu124`, `gpu`.
fn is_gpu_s(extra: &str) -> bool {
    let digits = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    extra == "gpu"
        || extra == "and-cuda"
        || extra
            .strip_prefix("cuda")
            .is_some_and(|rest| rest.is_empty() || digits(rest))
        || extra.strip_prefix("cu").is_some_and(digits)
}

/// Whether a name says so: `faiss-gpu`, `cupy-cuda12x`, `mxnet-cu112`, `nvidia-dali-cuda120`. The libraries of
/// CUDA (`nvidia-cublas-cu12`) are what other packages bring.
fn is_named_for_gpus(name: &str) -> bool {
    let digits = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let word = |prefix: &str| {
        let mut words = name.split('-');
        words.any(|word| word.strip_prefix(prefix).is_some_and(digits))
    };
    match name.starts_with("nvidia-") {
        true => word("cuda"),
        false => name.ends_with("-gpu") || word("cuda") || word("cu"),
    }
}

/// Whether a version or the name of a wheel says that it was built for a release of CUDA: `+cu117`,
/// `+cuda11.cudnn86`.
fn is_of_cuda_build(text: &str) -> bool {
    let text = text.replace("%2B", "+").replace("%2b", "+");
    text.match_indices("+cu").any(|(at, found)| {
        let rest = &text[at + found.len()..];
        let rest = rest.strip_prefix("da").unwrap_or(rest);
        rest.starts_with(|c: char| c.is_ascii_digit())
    })
}

/// Whether a package of conda's channels means a GPU: CUDA itself, what is named for GPUs, or a build for them.
fn of_channels((name, build, _): &(String, Option<String>, String)) -> bool {
    if OF_CPUS.contains(&name.as_str()) {
        return false;
    }
    let build = build.as_deref().unwrap_or_default();
    let is_cuda_s = [
        "cudatoolkit",
        "cuda-version",
        "pytorch-cuda",
        "cupy",
        "cudnn",
        "nccl",
    ];
    let is_built = build.contains("cuda") || build.contains("gpu");
    is_cuda_s.contains(&name.as_str())
        || name == "cuda"
        || name.starts_with("cuda-")
        || is_named_for_gpus(name)
        || is_built
}

/// Whether one of conda's packages asks for builds for CPUs, and which.
pub(super) fn conda_for_cpus(conda: &Conda) -> Option<(String, String)> {
    let mut builds = conda.builds().into_iter();
    let is_cpu_s = |(name, build, _): &(String, Option<String>, String)| {
        let is_built = build.as_deref().is_some_and(|build| build.contains("cpu"));
        OF_CPUS.contains(&name.as_str()) || is_built
    };
    let (name, _, origin) = builds.find(is_cpu_s)?;
    Some((name, origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_extras_and_builds_that_mean_a_gpu() {
        for name in [
            "faiss-gpu",
            "faiss-gpu-cu12",
            "cupy-cuda12x",
            "mxnet-cu112",
            "dgl-cu117",
            "nvidia-dali-cuda120",
            "jax-cuda12-plugin",
            "tensorflow-gpu",
            "paddlepaddle-gpu",
        ] {
            assert!(is_named_for_gpus(name), "{name}");
        }
        for name in [
            "nvidia-cublas-cu12",
            "numpy",
            "cuda",
            "cutlery",
            "gpustat",
            "gputil",
        ] {
            assert!(!is_named_for_gpus(name), "{name}");
        }
        for extra in [
            "cuda",
            "cuda12",
            "cuda12_pip",
            "cuda12-local",
            "and-cuda",
            "cu124",
            "gpu",
        ] {
            assert!(is_gpu_s(extra), "{extra}");
        }
        for extra in ["cpu", "tpu", "all", "cudf", "curl", "rocm", "cuber"] {
            assert!(!is_gpu_s(extra), "{extra}");
        }
        for build in [
            "==0.4.7+cuda11.cudnn86",
            "==2.1.0+cu118",
            "k2-1%2Bcuda11.7-cp310.whl",
        ] {
            assert!(is_of_cuda_build(build), "{build}");
        }
        for build in ["==2.1.0+cpu", "==1.0+custom", "==1.0+cudaless"] {
            assert!(!is_of_cuda_build(build), "{build}");
        }
    }

    #[test]
    fn conda_packages_that_mean_a_gpu() {
        let of = |name: &str, build: Option<&str>| {
            of_channels(&(name.to_owned(), build.map(str::to_owned), String::new()))
        };
        for (name, build) in [
            ("pytorch-cuda", None),
            ("pytorch-gpu", None),
            ("cudatoolkit", None),
            ("cupy", None),
            ("cuda-version", None),
            ("jaxlib", Some("*cuda*")),
            ("jaxlib", Some("cuda120py310h4008644_202")),
            ("tensorflow", Some("gpu_py37h0f4c8f5_0")),
        ] {
            assert!(of(name, build), "{name} {build:?}");
        }
        for (name, build) in [
            ("numpy", None),
            ("pytorch-cpu", None),
            ("cpuonly", None),
            ("pytorch", Some("cpu_py310h")),
            ("python", Some("h955ad1f_1_cpython")),
            ("gputil", None),
        ] {
            assert!(!of(name, build), "{name} {build:?}");
        }
    }
}
