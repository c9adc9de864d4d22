//! Each test makes the files that such a host has in a folder and looks there.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
};

use serde_json::json;
use tempfile::TempDir;

use super::*;

struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn file(self, path: &str, text: &str) -> Self {
        let path = self.0.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn program(self, path: &str, text: &str) -> Self {
        let machine = self.file(path, text);
        let path = machine.0.path().join(path.trim_start_matches('/'));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        machine
    }

    fn nvidia(self, driver: &str) -> Self {
        self.file("/sys/module/nvidia/version", &format!("{driver}\n"))
            .file(
                "/proc/driver/nvidia/gpus/0000:19:00.0/information",
                "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 212\nGPU UUID: \t GPU-4d1f\nVideo BIOS: \t ??\n",
            )
            .file("/sys/bus/pci/devices/0000:19:00.0/vendor", "0x10de\n")
            .file("/sys/bus/pci/devices/0000:19:00.0/class", "0x030200\n")
    }

    fn cdi(self, path: &str, driver: &str) -> Self {
        let library = format!("/usr/lib/x86_64-linux-gnu/libcuda.so.{driver}");
        self.file(
            path,
            &format!(
                "---\ncdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: \"0\"\n  containerEdits:\n    deviceNodes:\n    - path: /dev/nvidia0\n- name: all\n  containerEdits:\n    deviceNodes:\n    - path: /dev/nvidia0\ncontainerEdits:\n  deviceNodes:\n  - path: /dev/nvidiactl\n  hooks:\n  - args: [nvidia-cdi-hook, update-ldcache]\n    hookName: createContainer\n    path: /usr/bin/nvidia-cdi-hook\n  mounts:\n  - containerPath: {library}\n    hostPath: {library}\n    options: [ro, nosuid]\n"
            ),
        )
        .file("/dev/nvidia0", "")
        .file("/dev/nvidiactl", "")
        .file(&library, "")
    }

    fn look(&self, runtime: Runtime) -> Accelerators {
        detect(&Host {
            root: self.0.path().to_owned(),
            runtime,
        })
    }
}

fn docker(info: serde_json::Value) -> Runtime {
    Runtime::Docker(Some(info))
}

fn args(found: &Accelerators) -> String {
    found.usable().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn a_host_without_gpus_says_where_it_looked() {
    let found = Machine::new().look(docker(json!({"Runtimes": {"runc": {}}})));
    assert_eq!(
        (found.nvidia.clone(), found.rocm.clone(), found.usable()),
        (None, None, None)
    );
    insta::assert_snapshot!(found.looked_at.join("\n"), @r"
    /etc/cdi: not there
    /var/run/cdi: not there
    /dev/dxg: not there
    /etc/nv_tegra_release: not there
    /sys/firmware/devicetree/base/compatible: not there
    /sys/module/nvidia/version: not there
    /proc/driver/nvidia/version: not there
    /proc/driver/nvidia/gpus: not there
    /usr/bin/nvidia-smi: not there
    /usr/lib/wsl/lib/nvidia-smi: not there
    /sys/bus/pci/devices: not there
    /sys/bus/pci/devices: not there
    /dev/kfd: not there
    ");
}

#[test]
fn docker_that_lists_devices_is_asked_by_cdi_name() {
    let info = json!({"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=all"}], "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"]});
    let found = Machine::new().nvidia("550.54.14").look(docker(info));
    assert_eq!(args(&found), "--device nvidia.com/gpu=all");
    let nvidia = found.nvidia.unwrap();
    assert_eq!(nvidia.driver.as_deref(), Some("550.54.14"));
    assert_eq!(nvidia.gpus[0].name, "NVIDIA H100 80GB HBM3");
    assert_eq!(nvidia.gpus[0].uuid.as_deref(), Some("GPU-4d1f"));
    assert_eq!(nvidia.problems, []);
}

#[test]
fn docker_with_cdi_folders_uses_a_specification_found_there() {
    let machine = Machine::new()
        .nvidia("550.54.14")
        .cdi("/var/run/cdi/nvidia.yaml", "550.54.14");
    let found = machine.look(docker(json!({"CDISpecDirs": ["/etc/cdi", "/var/run/cdi"]})));
    assert_eq!(args(&found), "--device nvidia.com/gpu=all");
    assert_eq!(found.nvidia.unwrap().problems, []);
    // Another folder than the daemon's doesn't count.
    let found = machine.look(docker(json!({"CDISpecDirs": ["/etc/other"]})));
    assert_eq!(args(&found), "");
}

#[test]
fn docker_without_cdi_uses_gpus_where_the_toolkit_is() {
    let machine = Machine::new()
        .nvidia("535.161.08")
        .cdi("/etc/cdi/nvidia.yaml", "535.161.08");
    let found = machine.look(docker(
        json!({"CDISpecDirs": [], "Runtimes": {"runc": {}, "nvidia": {}}}),
    ));
    assert_eq!(args(&found), "--gpus all");
    let machine = machine.program("/usr/bin/nvidia-container-runtime-hook", "");
    assert_eq!(
        args(&machine.look(docker(json!({"Runtimes": {"runc": {}}})))),
        "--gpus all"
    );
}

#[test]
fn a_driver_without_a_toolkit_is_a_problem_with_a_fix() {
    let found = Machine::new()
        .nvidia("550.54.14")
        .look(docker(json!({"Runtimes": {"runc": {}}})));
    assert_eq!(args(&found), "");
    let problems = found.nvidia.unwrap().problems;
    assert!(
        problems[0].fix.contains("nvidia-container-toolkit"),
        "{problems:?}"
    );
}

#[test]
fn podman_takes_cdi_only() {
    let machine = Machine::new().nvidia("550.54.14");
    let found = machine.look(Runtime::Podman(Some("4.3.1".into())));
    assert_eq!(args(&found), "");
    assert!(
        found.nvidia.unwrap().problems[0]
            .fix
            .contains("nvidia-ctk cdi generate")
    );
    let machine = machine.cdi("/etc/cdi/nvidia.yaml", "550.54.14");
    assert_eq!(
        args(&machine.look(Runtime::Podman(Some("4.3.1".into())))),
        "--device nvidia.com/gpu=all"
    );
    assert_eq!(
        args(&machine.look(Runtime::Podman(Some("3.4.4".into())))),
        ""
    );
}

#[test]
fn a_specification_of_another_driver_is_stale() {
    let machine = Machine::new()
        .nvidia("570.86.15")
        .cdi("/etc/cdi/nvidia.yaml", "550.54.14");
    let found = machine.look(docker(json!({"CDISpecDirs": ["/etc/cdi"]})));
    let problem = &found.nvidia.as_ref().unwrap().problems[0];
    assert_eq!(
        problem.what,
        "/etc/cdi/nvidia.yaml is for driver 550.54.14, but 570.86.15 is loaded"
    );
    assert_eq!(
        problem.fix,
        "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
    );
}

#[test]
fn a_specification_that_names_missing_files_is_told() {
    let machine = Machine::new()
        .nvidia("550.54.14")
        .cdi("/etc/cdi/nvidia.yaml", "550.54.14");
    fs::remove_file(machine.0.path().join("dev/nvidia0")).unwrap();
    let found = machine.look(docker(json!({"CDISpecDirs": ["/etc/cdi"]})));
    assert_eq!(
        found.nvidia.unwrap().problems[0].what,
        "/etc/cdi/nvidia.yaml names /dev/nvidia0, not on this host"
    );
}

#[test]
fn json_specifications_are_read_and_others_are_noted() {
    let spec = json!({"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": [{"name": "all", "containerEdits": {}}]});
    let machine = Machine::new()
        .nvidia("550.54.14")
        .file("/etc/cdi/nvidia.json", &spec.to_string())
        .file("/etc/cdi/broken.yaml", "kind: [\n")
        .file("/etc/cdi/README", "not a specification");
    let found = machine.look(Runtime::Podman(None));
    assert_eq!(args(&found), "--device nvidia.com/gpu=all");
    assert!(
        found
            .looked_at
            .iter()
            .any(|l| l.starts_with("/etc/cdi/broken.yaml: not a CDI specification")),
        "{:?}",
        found.looked_at
    );
}

#[test]
fn nvidia_smi_tells_memory_and_capability() {
    let machine = Machine::new().nvidia("550.54.14").program(
        "/usr/bin/nvidia-smi",
        "#!/bin/sh\necho '550.54.14, NVIDIA H100 80GB HBM3, GPU-4d1f, 81559, 9.0'\necho '550.54.14, NVIDIA H100 80GB HBM3, GPU-4d20, [N/A], [N/A]'\n",
    );
    let gpus = machine.look(Runtime::Docker(None)).nvidia.unwrap().gpus;
    assert_eq!(gpus.len(), 2);
    assert_eq!(gpus[0].memory_mib, Some(81559));
    assert_eq!(gpus[0].compute_capability.as_deref(), Some("9.0"));
    assert_eq!(gpus[1].memory_mib, None);
    assert_eq!(gpus[1].compute_capability, None);
}

#[test]
fn a_broken_nvidia_smi_is_noted() {
    let machine = Machine::new().nvidia("550.54.14").program(
        "/usr/bin/nvidia-smi",
        "#!/bin/sh\necho 'Failed to initialize NVML: Driver/library version mismatch'\nexit 18\n",
    );
    let found = machine.look(Runtime::Docker(None));
    assert!(
        found
            .looked_at
            .iter()
            .any(|l| l.contains("Driver/library version mismatch"))
    );
    assert_eq!(found.nvidia.unwrap().gpus.len(), 1);
}

#[test]
fn the_version_is_read_from_proc_where_sys_has_none() {
    for line in [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.14  Release Build  (dvs-builder@U22)",
    ] {
        let text = format!("{line}\nGCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n");
        let found = Machine::new()
            .file("/proc/driver/nvidia/version", &text)
            .look(Runtime::Docker(None));
        assert_eq!(
            found.nvidia.unwrap().driver.as_deref(),
            Some("550.54.14"),
            "{line}"
        );
    }
}

#[test]
fn hardware_without_a_driver_is_told() {
    let machine = Machine::new()
        .file("/sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n")
        .file("/sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n")
        // Its sound device is none.
        .file("/sys/bus/pci/devices/0000:01:00.1/vendor", "0x10de\n")
        .file("/sys/bus/pci/devices/0000:01:00.1/class", "0x040300\n");
    let found = machine.look(Runtime::Docker(None));
    assert_eq!(found.usable(), None);
    let problem = &found.nvidia.unwrap().problems[0];
    assert_eq!(
        problem.what,
        "an NVIDIA adapter is there (0000:01:00.0) but no driver is loaded"
    );
}

#[test]
fn wsl_has_its_driver_on_the_other_side() {
    let machine = Machine::new().file("/dev/dxg", "").program(
        "/usr/lib/wsl/lib/nvidia-smi",
        "#!/bin/sh\necho '551.61, NVIDIA RTX A2000, GPU-1, 4096, 8.6'\n",
    );
    let found = machine.look(docker(json!({"Runtimes": {"nvidia": {}}})));
    assert_eq!(args(&found), "--gpus all");
    let nvidia = found.nvidia.unwrap();
    assert_eq!(nvidia.platform, NvidiaPlatform::Wsl2);
    assert_eq!(nvidia.driver.as_deref(), Some("551.61"));
}

#[test]
fn a_jetson_is_asked_by_oci_runtime() {
    let machine = Machine::new().file("/etc/nv_tegra_release", "# R36 (release), REVISION: 3.0\n");
    let found = machine.look(docker(json!({"Runtimes": {"nvidia": {}}})));
    assert_eq!(
        args(&found),
        "--runtime=nvidia -e NVIDIA_VISIBLE_DEVICES=all"
    );
    assert_eq!(found.nvidia.unwrap().platform, NvidiaPlatform::Jetson);
}

#[test]
fn rocm_is_asked_by_devices_and_numeric_groups() {
    let node = "cpu_cores_count 0\nsimd_count 440\nvendor_id 4098\ngfx_target_version 90010\n";
    let machine = Machine::new()
        .file("/dev/kfd", "")
        .file("/dev/dri/card0", "")
        .file("/dev/dri/renderD128", "")
        .file(
            "/sys/class/kfd/kfd/topology/nodes/0/properties",
            "cpu_cores_count 64\nsimd_count 0\n",
        )
        .file("/sys/class/kfd/kfd/topology/nodes/1/properties", node)
        .file(
            "/sys/class/kfd/kfd/topology/nodes/2/properties",
            &node.replace("90010", "110003"),
        )
        .file("/sys/module/amdgpu/version", "6.7.0\n")
        .file("/sys/bus/pci/devices/0000:c1:00.0/vendor", "0x1002\n")
        .file("/sys/bus/pci/devices/0000:c1:00.0/class", "0x038000\n");
    // An ordinary user can't give files to other groups; the groups are then this user's own.
    let dev = machine.0.path().join("dev");
    let owned = chown(dev.join("kfd"), None, Some(110)).is_ok()
        && chown(dev.join("dri/renderD128"), None, Some(110)).is_ok()
        && chown(dev.join("dri/card0"), None, Some(44)).is_ok();
    let found = machine.look(Runtime::Docker(None));
    let rocm = found.rocm.clone().unwrap();
    let targets: Vec<_> = rocm.gpus.iter().map(|g| g.target.as_str()).collect();
    assert_eq!(targets, ["gfx90a", "gfx1103"]);
    if owned {
        assert_eq!(
            args(&found),
            "--device /dev/kfd --device /dev/dri --group-add 44 --group-add 110"
        );
    } else {
        assert!(args(&found).starts_with("--device /dev/kfd --device /dev/dri --group-add "));
    }
    let spec =
        "cdiVersion: 0.6.0\nkind: amd.com/gpu\ndevices:\n- name: all\n  containerEdits: {}\n";
    let machine = machine.file("/etc/cdi/amd.yaml", spec);
    assert_eq!(
        args(&machine.look(Runtime::Podman(None))),
        "--device amd.com/gpu=all"
    );
    assert!(
        args(&machine.look(docker(json!({"CDISpecDirs": []})))).starts_with("--device /dev/kfd")
    );
}
