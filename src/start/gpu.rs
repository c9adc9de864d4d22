//! Whether the container gets GPUs, and how they are asked for.

use super::error::StartError;
use super::runtime_cli::ContainerRuntime;
use crate::accelerator::{self, Accelerators, Host};
use crate::runtime::{Device, Options, RunSpec, RuntimeCli, Value};

/// The GPUs that a container gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpuSelection {
    /// All, if there are any.
    Auto,
    /// All; none is an error.
    Required,
    /// None.
    Off,
    /// These, by number or UUID.
    Ids(Vec<String>),
}

/// How the selected GPUs are asked for.
#[derive(Debug)]
pub(crate) enum GpuUse {
    /// None was wanted.
    Off,
    /// The flags of `docker run` ask for one themselves.
    ByFlags,
    /// There is none.
    NoneFound,
    /// These options ask for it.
    Given {
        options: Options,
        /// What this machine has; empty where the daemon is on another.
        accelerators: Box<Accelerators>,
    },
}

impl GpuUse {
    pub(crate) fn is_given(&self) -> bool {
        matches!(self, Self::Given { .. } | Self::ByFlags)
    }

    /// What is added to the flags.
    pub(super) fn options(&self) -> Options {
        match self {
            Self::Given { options, .. } => options.clone(),
            _ => Options::default(),
        }
    }

    /// The flags and the GPUs' names, where there are any.
    pub(super) fn describe(&self) -> Option<String> {
        let Self::Given {
            options,
            accelerators,
        } = self
        else {
            return None;
        };
        let how: Vec<_> = options
            .iter()
            .map(|s| format!("{}={}", s.flag, s.value))
            .collect();
        let names: Vec<&str> = match &accelerators.nvidia {
            Some(nvidia) => nvidia.gpus.iter().map(|gpu| gpu.name.as_str()).collect(),
            None => Vec::new(),
        };
        let names = if names.is_empty() {
            String::new()
        } else {
            format!(" ({})", names.join(", "))
        };
        Some(format!("GPU: {}{names}", how.join(" ")))
    }
}

/// Decides.
///
/// # Errors
/// Where a GPU is required and there is none, or some are asked for that can't be told apart.
pub(super) fn request(
    runtime: &ContainerRuntime,
    wanted: &GpuSelection,
    spec: &RunSpec,
) -> Result<GpuUse, StartError> {
    let by_flags = asks_itself(&spec.options);
    match wanted {
        GpuSelection::Off => return Ok(GpuUse::Off),
        GpuSelection::Auto if by_flags => {
            refuse_silence(runtime)?;
            return Ok(GpuUse::ByFlags);
        }
        _ if by_flags => {
            return Err(StartError::GpusTwice);
        }
        _ => {}
    }
    let known = runtime.accelerator();
    let (accelerators, how) = if runtime.is_local() {
        let accelerators = accelerator::detect(&Host::this(known));
        let how = accelerators.usable().cloned();
        (accelerators, how)
    } else {
        // This machine's files say nothing of the daemon's.
        (Accelerators::default(), known.told())
    };
    let Some(how) = how else {
        return match wanted {
            GpuSelection::Auto => Ok(GpuUse::NoneFound),
            _ => Err(none(&accelerators)),
        };
    };
    let ids = match wanted {
        GpuSelection::Ids(ids) => Some(ids.as_slice()),
        _ => None,
    };
    let words = how.args_for(ids).ok_or_else(|| StartError::SingleGpus {
        how: how.to_string(),
    })?;
    let mut options = runtime_options(&words);
    if runtime.cli == RuntimeCli::Podman && selinux_enforces() {
        options.add("security-opt", "label=disable");
    }
    Ok(GpuUse::Given {
        options,
        accelerators: Box::new(accelerators),
    })
}

/// Apptainer starts a container without GPUs, and says nothing, where there are none.
fn refuse_silence(runtime: &ContainerRuntime) -> Result<(), StartError> {
    if runtime.cli != RuntimeCli::Apptainer {
        return Ok(());
    }
    let found = accelerator::detect(&Host::this(runtime.accelerator()));
    match found.usable() {
        Some(_) => Ok(()),
        None => Err(none(&found)),
    }
}

fn runtime_options(words: &[String]) -> Options {
    let line: Vec<&str> = words.iter().map(String::as_str).chain(["image"]).collect();
    let parsed = crate::runtime::parse(&line).expect("the arguments of a GPU request are flags");
    parsed.spec.options
}

fn none(found: &Accelerators) -> StartError {
    let mut problems = found.nvidia.iter().flat_map(|nvidia| &nvidia.problems);
    match problems.next() {
        Some(problem) => StartError::GpuProblem {
            what: problem.what.to_string(),
            fix: problem.fix.to_string(),
        },
        None => StartError::NoGpu {
            looked_at: found.looked_at.clone(),
        },
    }
}

/// Whether the flags ask for a GPU without mlbuild.
fn asks_itself(options: &Options) -> bool {
    const NODES: [&str; 4] = ["/dev/nvidia", "/dev/kfd", "/dev/dri", "/dev/dxg"];
    options
        .iter()
        .any(|setting| match (setting.flag.name, &setting.value) {
            ("gpus", _) => true,
            ("runtime", Value::Text(runtime)) => runtime == "nvidia",
            ("device", Value::Device(device @ Device::Cdi(_))) => device.is_gpu(),
            ("device", Value::Device(Device::Path { host, .. })) => {
                NODES.iter().any(|node| host.starts_with(node))
            }
            ("env", Value::Assignment(variable)) => variable.name == "NVIDIA_VISIBLE_DEVICES",
            _ => false,
        })
}

/// Whether this machine keeps containers from files that weren't labelled for them.
pub(crate) fn selinux_enforces() -> bool {
    std::fs::read_to_string("/sys/fs/selinux/enforce").is_ok_and(|text| text.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accelerator::GpuRequest;

    #[test]
    fn dockers_own_flags_are_seen() {
        let asks = |line: &str| {
            let words = shlex::split(line).unwrap();
            asks_itself(&crate::runtime::parse(&words).unwrap().spec.options)
        };
        for line in [
            "--gpus all img",
            "--runtime=nvidia img",
            "--device nvidia.com/gpu=0 img",
            "--device /dev/kfd --device /dev/dri img",
            "-e NVIDIA_VISIBLE_DEVICES=0 img",
        ] {
            assert!(asks(line), "{line}");
        }
        for line in [
            "img",
            "--runtime=runc img",
            "--device /dev/video0 img",
            "-e A=1 img",
        ] {
            assert!(!asks(line), "{line}");
        }
    }

    #[test]
    fn a_request_becomes_options() {
        let text = |request: GpuRequest, ids: Option<&[&str]>| {
            let ids: Option<Vec<String>> =
                ids.map(|ids| ids.iter().map(|id| (*id).into()).collect());
            let words = request.args_for(ids.as_deref()).unwrap();
            let options = runtime_options(&words);
            let shown: Vec<_> = options
                .iter()
                .map(|s| format!("{}={}", s.flag, s.value))
                .collect();
            shown.join(" ")
        };
        let cdi = GpuRequest::Cdi {
            device: "nvidia.com/gpu=all".into(),
        };
        insta::assert_snapshot!(text(cdi.clone(), None), @"--device=nvidia.com/gpu=all");
        insta::assert_snapshot!(text(cdi, Some(&["0", "1"])), @"--device=nvidia.com/gpu=0 --device=nvidia.com/gpu=1");
        insta::assert_snapshot!(text(GpuRequest::Gpus, Some(&["0", "1"])), @r#"--gpus="device=0,1""#);
        insta::assert_snapshot!(text(GpuRequest::OciRuntime, Some(&["0"])), @"--runtime=nvidia --env=NVIDIA_VISIBLE_DEVICES=0");
        let nodes = GpuRequest::Devices {
            devices: vec!["/dev/kfd".into()],
            groups: vec![44],
        };
        insta::assert_snapshot!(text(nodes.clone(), None), @"--device=/dev/kfd --group-add=44");
        assert_eq!(nodes.args_for(Some(&["0".into()])), None);
    }
}
