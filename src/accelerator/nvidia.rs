//! NVIDIA GPUs: the driver, the devices, and NVIDIA's container toolkit.

use serde::Serialize;

use super::{
    CdiSpec, GpuRequest, Look, Runtime,
    driver_tool::output_of,
    pci::{Vendor, adapters},
};

const ALL: &str = "nvidia.com/gpu=all";
const SMI: [&str; 2] = ["/usr/bin/nvidia-smi", "/usr/lib/wsl/lib/nvidia-smi"];
const HOOK: [&str; 2] = [
    "/usr/bin/nvidia-container-runtime-hook",
    "/usr/local/bin/nvidia-container-runtime-hook",
];

/// NVIDIA's part of a host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Nvidia {
    /// Version of the kernel driver, such as `550.54.14`; `None`: hardware without a driver.
    pub driver: Option<String>,
    /// What kind of machine it is.
    pub platform: NvidiaPlatform,
    /// The GPUs that the driver knows.
    pub gpus: Vec<NvidiaGpu>,
    /// How a container gets them; `None`: not at all, see [`problems`](Self::problems).
    pub how: Option<GpuRequest>,
    /// What is wrong or will go wrong, each with what to do.
    pub problems: Vec<Problem>,
}

/// A kind of machine, by how its GPU is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NvidiaPlatform {
    /// A GPU with its own kernel driver.
    Native,
    /// Windows Subsystem for Linux 2: the driver is on the Windows side.
    Wsl2,
    /// A Tegra system on chip.
    Jetson,
}

/// One GPU.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NvidiaGpu {
    /// Model name.
    pub name: String,
    /// `GPU-…`.
    pub uuid: Option<String>,
    /// Memory in MiB.
    pub memory_mib: Option<u64>,
    /// Compute capability, such as `9.0`.
    pub compute_capability: Option<String>,
}

/// Something wrong with a GPU's set-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// What to type or change.
    pub fix: String,
}

pub(super) fn detect(look: &mut Look, runtime: &Runtime, specs: &[CdiSpec]) -> Option<Nvidia> {
    let platform = platform(look);
    let mut driver = module_version(look);
    let mut gpus = proc_gpus(look);
    let smi = query_smi(look);
    if let Some((version, found)) = smi {
        driver = driver.or(version);
        gpus = found;
    }
    let hardware = adapters(look, Vendor::Nvidia);
    if driver.is_none()
        && gpus.is_empty()
        && hardware.is_empty()
        && platform == NvidiaPlatform::Native
    {
        return None;
    }
    let mut nvidia = Nvidia {
        driver,
        platform,
        gpus,
        how: None,
        problems: Vec::new(),
    };
    // The iGPU driver of a Jetson isn't a PCI driver and may carry no version.
    if nvidia.driver.is_none() && platform == NvidiaPlatform::Native {
        nvidia.problem(
            &format!(
                "an NVIDIA adapter is there ({}) but no driver is loaded",
                hardware.join(", ")
            ),
            "sudo apt-get install nvidia-driver && sudo reboot    # or your distribution's way",
        );
        return Some(nvidia);
    }
    nvidia.how = how(look, runtime, specs, platform);
    if nvidia.how.is_none() {
        nvidia.problem(
            "the driver is there, but no container can be given the GPU: no CDI specification and no NVIDIA Container Toolkit",
            match runtime {
                Runtime::Docker(_) => "sudo apt-get install nvidia-container-toolkit && sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker",
                _ => "sudo apt-get install nvidia-container-toolkit && sudo nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml",
            },
        );
    }
    check_specs(&mut nvidia, specs);
    Some(nvidia)
}

impl Nvidia {
    fn problem(&mut self, what: &str, fix: &str) {
        self.problems.push(Problem {
            what: what.to_owned(),
            fix: fix.to_owned(),
        });
    }
}

fn platform(look: &mut Look) -> NvidiaPlatform {
    if look.exists("/dev/dxg") {
        return NvidiaPlatform::Wsl2;
    }
    let tegra = "/sys/firmware/devicetree/base/compatible";
    if look.exists("/etc/nv_tegra_release")
        || look.text(tegra).is_some_and(|t| t.contains("nvidia,tegra"))
    {
        return NvidiaPlatform::Jetson;
    }
    NvidiaPlatform::Native
}

fn module_version(look: &mut Look) -> Option<String> {
    if let Some(version) = look
        .text("/sys/module/nvidia/version")
        .filter(|v| !v.is_empty())
    {
        return Some(version);
    }
    // `NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 …`, and with the open
    // modules `NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build …`.
    let text = look.text("/proc/driver/nvidia/version")?;
    let line = text.lines().find(|l| l.starts_with("NVRM version:"))?;
    let is_version = |word: &&str| {
        word.contains('.')
            && word
                .split('.')
                .all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
    };
    line.split_whitespace().find(is_version).map(str::to_owned)
}

fn proc_gpus(look: &mut Look) -> Vec<NvidiaGpu> {
    const FOLDER: &str = "/proc/driver/nvidia/gpus";
    let mut gpus = Vec::new();
    for address in look.names(FOLDER) {
        let Some(text) = look.text(&format!("{FOLDER}/{address}/information")) else {
            continue;
        };
        let field = |name: &str| {
            let line = text
                .lines()
                .find_map(|l| l.strip_prefix(name)?.trim_start().strip_prefix(':'));
            line.map(|value| value.trim().to_owned())
        };
        gpus.push(NvidiaGpu {
            name: field("Model").unwrap_or_else(|| "NVIDIA GPU".to_owned()),
            // Without permission the driver shows question marks.
            uuid: field("GPU UUID").filter(|u| !u.contains('?')),
            ..Default::default()
        });
    }
    gpus
}

/// Driver version and GPUs, from `nvidia-smi`.
fn query_smi(look: &mut Look) -> Option<(Option<String>, Vec<NvidiaGpu>)> {
    let program = SMI.into_iter().find(|path| look.exists(path))?;
    let query = "--query-gpu=driver_version,name,uuid,memory.total,compute_cap";
    let answer = output_of(&look.at(program), &[query, "--format=csv,noheader,nounits"]);
    let text = match answer {
        Ok(text) => text,
        Err(reason) => {
            look.note(program, &reason);
            return None;
        }
    };
    let mut version = None;
    let mut gpus = Vec::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let &[driver, name, uuid, memory, compute, ..] = fields.as_slice() else {
            continue;
        };
        let known =
            |value: &str| (!value.starts_with('[') && !value.is_empty()).then(|| value.to_owned());
        version = version.or(known(driver));
        gpus.push(NvidiaGpu {
            name: name.to_owned(),
            uuid: known(uuid),
            memory_mib: memory.parse().ok(),
            compute_capability: known(compute),
        });
    }
    look.note(program, &format!("{} GPUs", gpus.len()));
    Some((version, gpus))
}

/// CDI first: `systemctl daemon-reload` takes GPUs away from containers that got them by the hook.
fn how(
    look: &mut Look,
    runtime: &Runtime,
    specs: &[CdiSpec],
    platform: NvidiaPlatform,
) -> Option<GpuRequest> {
    let described = specs.iter().any(|s| s.has(ALL));
    if runtime.discovered(ALL) || (described && runtime.takes_cdi()) {
        return Some(GpuRequest::Cdi {
            device: ALL.to_owned(),
        });
    }
    match runtime {
        Runtime::Podman(_) => return None,
        // `--nv` needs nothing but the driver.
        Runtime::Apptainer => return Some(GpuRequest::Gpus),
        _ => {}
    }
    let configured = runtime.has_oci_runtime("nvidia");
    if platform == NvidiaPlatform::Jetson {
        return configured.then_some(GpuRequest::OciRuntime);
    }
    // Docker serves --gpus by this program, whether or not an OCI runtime is configured.
    let hook = HOOK.into_iter().any(|path| look.exists(path));
    (hook || configured).then_some(GpuRequest::Gpus)
}

/// A specification is a snapshot of the driver: it grows stale when the driver changes.
fn check_specs(nvidia: &mut Nvidia, specs: &[CdiSpec]) {
    for spec in specs.iter().filter(|s| s.kind == "nvidia.com/gpu") {
        let renew = format!(
            "sudo nvidia-ctk cdi generate --output={}",
            crate::shell::word(&spec.path)
        );
        let other = spec
            .driver_versions
            .iter()
            .find(|v| nvidia.driver.as_ref() != Some(v));
        if let (Some(version), Some(driver)) = (other, nvidia.driver.clone()) {
            nvidia.problem(
                &format!(
                    "{} is for driver {version}, but {driver} is loaded",
                    spec.path
                ),
                &renew,
            );
        } else if let Some(first) = spec.missing.first() {
            let more = match spec.missing.len() {
                1 => String::new(),
                n => format!(" and {} more", n - 1),
            };
            nvidia.problem(
                &format!("{} names {first}{more}, not on this host", spec.path),
                &renew,
            );
        }
    }
}
