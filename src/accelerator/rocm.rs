//! AMD GPUs that ROCm can use.

use std::{collections::BTreeSet, os::unix::fs::MetadataExt as _};

use serde::Serialize;

use super::{
    CdiSpec, GpuRequest, Look, Runtime,
    pci::{Vendor, adapters},
};

const ALL: &str = "amd.com/gpu=all";
const NODES: &str = "/sys/class/kfd/kfd/topology/nodes";

/// AMD's part of a host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rocm {
    /// Version of the kernel driver where it has one of its own (not the kernel's).
    pub driver: Option<String>,
    /// The GPUs that ROCm's driver knows.
    pub gpus: Vec<RocmGpu>,
    /// How a container gets them.
    pub how: GpuRequest,
}

/// One GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RocmGpu {
    /// Instruction set, such as `gfx90a`.
    pub target: String,
}

pub(super) fn detect(look: &mut Look, runtime: &Runtime, specs: &[CdiSpec]) -> Option<Rocm> {
    let hardware = adapters(look, Vendor::Amd);
    if !look.exists("/dev/kfd") {
        return None;
    }
    let gpus = gpus(look);
    if gpus.is_empty() && hardware.is_empty() {
        return None;
    }
    let driver = look
        .text("/sys/module/amdgpu/version")
        .filter(|v| !v.is_empty());
    let how =
        if runtime.discovered(ALL) || (runtime.takes_cdi() && specs.iter().any(|s| s.has(ALL))) {
            GpuRequest::Cdi {
                device: ALL.to_owned(),
            }
        } else {
            GpuRequest::Devices {
                devices: vec!["/dev/kfd".into(), "/dev/dri".into()],
                groups: groups(look),
            }
        };
    Some(Rocm { driver, gpus, how })
}

/// What `rocm_agent_enumerator` reads: nodes with SIMD units are GPUs, the others are CPUs.
fn gpus(look: &mut Look) -> Vec<RocmGpu> {
    let mut gpus = Vec::new();
    for node in look.names(NODES) {
        let path = format!("{NODES}/{node}/properties");
        let Ok(text) = std::fs::read_to_string(look.at(&path)) else {
            continue;
        };
        let number = |name: &str| {
            let line = text
                .lines()
                .find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.trim().parse::<u32>().ok())
                .unwrap_or(0)
        };
        let target = number("gfx_target_version");
        if number("simd_count") > 0 && target > 0 {
            // 90010 is major 9, minor 0, stepping 10, which is written in hexadecimal: gfx90a.
            let (major, minor, stepping) = (target / 10_000, target / 100 % 100, target % 100);
            gpus.push(RocmGpu {
                target: format!("gfx{major}{minor:x}{stepping:x}"),
            });
        }
    }
    gpus
}

/// The numeric groups of the device nodes: names differ between the host and the image.
fn groups(look: &mut Look) -> Vec<u32> {
    let mut paths = vec!["/dev/kfd".to_owned()];
    let nodes = look.names("/dev/dri");
    let of_interest = |n: &String| n.starts_with("renderD") || n.starts_with("card");
    paths.extend(
        nodes
            .into_iter()
            .filter(of_interest)
            .map(|n| format!("/dev/dri/{n}")),
    );
    let gid = |path: &String| look.at(path).metadata().ok().map(|m| m.gid());
    let groups: BTreeSet<u32> = paths.iter().filter_map(gid).filter(|&g| g != 0).collect();
    groups.into_iter().collect()
}
