//! What machine learning usually needs of a container. Everything that is said by a flag or in
//! `mlbuild.toml` wins over it.

use std::path::Path;

use mlbuild_manifests::LockFile;
use rustix::process::{Resource, getrlimit};

use super::image::PinnedImage;
use super::runtime_cli::ContainerRuntime;
use crate::runtime::{Options, RunSpec, RuntimeCli};

/// Docker's 64 MiB are too little for the workers of PyTorch's DataLoader.
const SHM: &str = "1g";
/// Name, value, and the resource that not everybody may raise above their own limit.
const LIMITS: [(&str, i64, Resource); 2] = [
    ("memlock", -1, Resource::Memlock),
    ("stack", 64 << 20, Resource::Stack),
];
/// TensorFlow takes the whole GPU otherwise; XLA's auto-tuning otherwise takes memory beside it.
const TENSORFLOW: [(&str, &str); 2] = [
    ("TF_FORCE_GPU_ALLOW_GROWTH", "true"),
    ("XLA_FLAGS", "--xla_gpu_autotune_level=2"),
];

/// Everything that is added for this image.
pub(super) fn of(
    spec: &RunSpec,
    runtime: &ContainerRuntime,
    gpu: bool,
    image: &PinnedImage,
    folder: &Path,
) -> Options {
    let mut options = limits(spec, runtime.cli, runtime.may_raise_limits());
    if gpu && has_tensorflow(image, folder) {
        for (name, value) in TENSORFLOW {
            if !image.has_env(name) {
                options.add("env", &format!("{name}={value}"));
            }
        }
    }
    options
}

/// The size of /dev/shm, and limits of memory. Those that this machine doesn't let containers have
/// are left out; all of them with Podman there, which raises others as soon as one is given.
pub fn limits(spec: &RunSpec, cli: RuntimeCli, may_raise: bool) -> Options {
    let mut options = Options::default();
    // It sets none of them: /dev/shm is large there, and limits are the user's.
    if cli == RuntimeCli::Apptainer {
        return options;
    }
    // A /dev/shm that is shared has its size already.
    if matches!(
        spec.options.text("ipc"),
        None | Some("" | "private" | "shareable")
    ) {
        options.add("shm-size", SHM);
    }
    for (name, value, resource) in LIMITS {
        let may_have = cli != RuntimeCli::Podman && may_have(value, getrlimit(resource).maximum);
        if may_raise || may_have {
            options.add("ulimit", &format!("{name}={value}"));
        }
    }
    options
}

/// `None` is no limit.
fn may_have(wanted: i64, allowed: Option<u64>) -> bool {
    match (u64::try_from(wanted), allowed) {
        (_, None) => true,
        (Ok(wanted), Some(allowed)) => wanted <= allowed,
        (Err(_), Some(_)) => false,
    }
}

/// Whether the image holds TensorFlow, as far as its environment, its name or the lock tell.
fn has_tensorflow(image: &PinnedImage, folder: &Path) -> bool {
    let tells = |name: &str| name.starts_with("TF_") || name.contains("TENSORFLOW");
    if image.env_names().any(tells) || image.asked.contains("tensorflow") {
        return true;
    }
    let Ok(lock) = LockFile::load(&folder.join(mlbuild_manifests::lock::FILE_NAME)) else {
        return false;
    };
    let of_it = lock
        .images()
        .filter(|locked| image.is(&locked.name, locked.tag.as_deref()));
    of_it.flat_map(|locked| &locked.packages).any(|packages| {
        packages
            .python
            .iter()
            .any(|p| p.name.starts_with("tensorflow"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(line: &str) -> String {
        let spec = crate::runtime::parse(&shlex::split(line).unwrap())
            .unwrap()
            .spec;
        let options = spec
            .options
            .clone()
            .over(limits(&spec, RuntimeCli::Docker, true));
        let all = RunSpec { options, ..spec };
        all.argv(RuntimeCli::Docker).form[2..].join(" ")
    }

    #[test]
    fn any_flag_turns_its_default_off() {
        insta::assert_snapshot!(added("img"), @"--shm-size=1g --ulimit=memlock=-1 --ulimit=stack=67108864 img");
        insta::assert_snapshot!(added("--shm-size=8g img"), @"--ulimit=memlock=-1 --ulimit=stack=67108864 --shm-size=8g img");
        insta::assert_snapshot!(added("--ulimit stack=1 --ipc=host img"), @"--ulimit=memlock=-1 --ulimit=stack=1 --ipc=host img");
    }

    #[test]
    fn without_root_limits_stay_below_ones_own() {
        assert!(may_have(-1, None) && may_have(5, Some(5)));
        assert!(!may_have(-1, Some(1 << 40)) && !may_have(6, Some(5)));
    }

    #[test]
    fn podman_is_given_no_limits_where_none_can_be_raised() {
        let ulimits = |may_raise| {
            let options = limits(&RunSpec::default(), RuntimeCli::Podman, may_raise);
            options.all("ulimit").count()
        };
        assert_eq!((ulimits(true), ulimits(false)), (2, 0));
    }
}
