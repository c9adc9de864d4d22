//! GPUs: what the host has, how a container gets them, and whether the CDI specification still
//! fits the driver.

use super::Finding;
use crate::accelerator::{Host, NvidiaGpu, NvidiaPlatform, detect};

const AREA: &str = "gpu";

/// What is said where the check itself failed.
pub(super) fn broken_off(error: &tokio::task::JoinError) -> Finding {
    Finding::fail(AREA, format!("the check broke off: {error}"), "nvidia-smi")
}

/// Looks for GPUs.
pub(super) fn check(host: &Host) -> Vec<Finding> {
    let found = detect(host);
    let mut findings = Vec::new();
    if let Some(nvidia) = &found.nvidia {
        if let Some(driver) = &nvidia.driver {
            let platform = match nvidia.platform {
                NvidiaPlatform::Native => "",
                NvidiaPlatform::Wsl2 => " (WSL 2)",
                NvidiaPlatform::Jetson => " (Jetson)",
            };
            let names: Vec<String> = nvidia.gpus.iter().map(name).collect();
            let names = if names.is_empty() {
                "no GPU listed".to_owned()
            } else {
                names.join(", ")
            };
            findings.push(Finding::ok(
                AREA,
                format!("NVIDIA driver {driver}{platform}: {names}"),
            ));
        }
        if let Some(how) = &nvidia.how {
            findings.push(Finding::ok(AREA, format!("containers get it by {how}")));
        }
        findings.extend(
            nvidia
                .problems
                .iter()
                .map(|p| Finding::warn(AREA, &p.what, &p.fix)),
        );
    }
    if let Some(rocm) = &found.rocm {
        let targets: Vec<&str> = rocm.gpus.iter().map(|g| g.target.as_str()).collect();
        let targets = if targets.is_empty() {
            "AMD GPU".to_owned()
        } else {
            targets.join(", ")
        };
        findings.push(Finding::ok(
            AREA,
            format!("ROCm: {targets}; containers get it by {}", rocm.how),
        ));
    }
    if findings.is_empty() {
        let places = found.looked_at.len();
        findings.push(Finding::ok(
            AREA,
            format!("no GPU found ({places} places looked at)"),
        ));
    }
    findings
}

fn name(gpu: &NvidiaGpu) -> String {
    let mut text = gpu.name.clone();
    if let Some(memory) = gpu.memory_mib {
        text += &format!(", {} GiB", memory.div_ceil(1024));
    }
    if let Some(compute) = &gpu.compute_capability {
        text += &format!(", compute {compute}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::text, *};
    use crate::accelerator::Runtime;

    #[test]
    fn a_host_with_a_driver_and_no_toolkit() {
        let root = tempfile::tempdir().unwrap();
        let module = root.path().join("sys/module/nvidia");
        std::fs::create_dir_all(&module).unwrap();
        std::fs::write(module.join("version"), "550.54.14\n").unwrap();
        let host = Host {
            root: root.path().to_owned(),
            runtime: Runtime::Docker(None),
        };
        insta::assert_snapshot!(text(&check(&host), false), @r"
        gpu  ok   NVIDIA driver 550.54.14: no GPU listed
             warn the driver is there, but no container can be given the GPU: no CDI specification and no NVIDIA Container Toolkit
                  → sudo apt-get install nvidia-container-toolkit && sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker
        ");
    }
}
