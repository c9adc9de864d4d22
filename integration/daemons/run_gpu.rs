//! What a daemon receives where a GPU is asked for, on machines whose files say that they have one.
//!
//! The daemon is real, and so is what it makes of a request; the driver is files in a mount namespace
//! of mlbuild's own, and NVIDIA's hook a program that does nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mlbuild_manifests::RunRecord;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};
use crate::support::mounts::unmount_below;
use crate::support::wait;

/// As the NVIDIA Container Toolkit writes it, without what only the driver has.
const SPECIFICATION: &str = r#"{"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [
    {"name": "0", "containerEdits": {"env": ["GPU_0=given"]}},
    {"name": "1", "containerEdits": {"env": ["GPU_1=given"]}},
    {"name": "all", "containerEdits": {"env": ["GPU_ALL=given"]}}]}"#;

/// A Docker with NVIDIA's hook on its path and a folder for CDI specifications.
struct GpuDocker {
    engines: Engines,
    folder: TempDir,
    child: Child,
}

impl GpuDocker {
    fn start() -> Self {
        let engines = Engines::from_env();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("cdi")).unwrap();
        fs::create_dir(at("hook")).unwrap();
        let hook = at("hook/nvidia-container-runtime-hook");
        fs::write(&hook, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        let config = json!({
            "data-root": at("data"), "exec-root": at("exec"), "pidfile": at("pid"),
            "hosts": [format!("unix://{}", at("sock").display())],
            "bridge": "none", "iptables": false,
            "features": {"cdi": true}, "cdi-spec-dirs": [at("cdi")],
        });
        fs::write(at("daemon.json"), config.to_string()).unwrap();
        // Its own programs lie beside the client's.
        let client = fs::canonicalize(engines.bin.join("docker")).unwrap();
        let usr = client.ancestors().nth(2).unwrap();
        let path = std::env::var("PATH").unwrap();
        let path = format!(
            "{}:{}:{}:{}:{path}",
            at("hook").display(),
            usr.join("bin").display(),
            usr.join("sbin").display(),
            engines.bin.display()
        );
        let child = Command::new(usr.join("sbin/dockerd"))
            .arg("--config-file")
            .arg(at("daemon.json"))
            .env("PATH", path)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(at("log")).unwrap())
            .spawn()
            .unwrap();
        let own = Self {
            engines,
            folder,
            child,
        };
        let log = own.folder.path().join("log");
        wait::until(&format!("dockerd starts: {}", log.display()), || {
            let mut version = Command::new(own.engines.bin.join("docker"));
            let version = version.args(["--host", &own.host(), "version"]).output();
            version.unwrap().status.success()
        });
        own.docker(&["pull", "--quiet", &own.engines.base]);
        own
    }

    fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("sock").display())
    }

    fn docker(&self, args: &[&str]) -> String {
        self.engines.docker(&self.host(), args)
    }

    fn describe(&self) {
        fs::write(self.folder.path().join("cdi/nvidia.json"), SPECIFICATION).unwrap();
    }
}

impl Drop for GpuDocker {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        // So that its containerd goes with it.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
        unmount_below(self.folder.path());
    }
}

/// A machine with a driver, and perhaps NVIDIA's hook, as mlbuild sees it.
struct Machine {
    project: Project,
    driver: PathBuf,
    programs: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let project = Project::new(&[]);
        let (driver, programs) = (
            project.outside().join("driver"),
            project.outside().join("programs"),
        );
        let gpu = driver.join("nvidia/gpus/0000:01:00.0");
        fs::create_dir_all(&gpu).unwrap();
        fs::create_dir_all(&programs).unwrap();
        let version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\n";
        fs::write(driver.join("nvidia/version"), version).unwrap();
        fs::write(gpu.join("information"), "Model: \t\t NVIDIA H100\n").unwrap();
        Self {
            project,
            driver,
            programs,
        }
    }

    fn with_hook(self) -> Self {
        let hook = self.programs.join("nvidia-container-runtime-hook");
        fs::write(hook, "#!/bin/sh\n").unwrap();
        self
    }

    /// `mlbuild run` with arguments on this machine.
    fn run(&self, docker: &GpuDocker, args: &[&str]) -> Ran {
        let inner = self.project.command([&["run"], args].concat());
        let show = |path: &Path| path.display().to_string();
        let script = format!(
            "mount --bind {} /proc/driver && mount -t overlay overlay -o lowerdir={}:/usr/bin /usr/bin && exec \"$@\"",
            show(&self.driver),
            show(&self.programs)
        );
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                &script,
                "sh",
            ])
            .arg(inner.get_program())
            .args(inner.get_args())
            .env_clear()
            .current_dir(self.project.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in inner.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let path = std::env::var("PATH").unwrap();
        command
            .env("PATH", format!("{}:{path}", docker.engines.bin.display()))
            .env("DOCKER_HOST", docker.host());
        Ran::of(&mut command)
    }

    /// What the daemon was asked for by a line, and what the container's program sees of it.
    #[track_caller]
    fn asks(&self, docker: &GpuDocker, flags: &[&str]) -> (Value, String) {
        let see = "env | grep -E '^(GPU_|NVIDIA_VISIBLE)' | sort | tr '\\n' ' '; echo END";
        let tail = [docker.engines.base.as_str(), "sh", "-c", see];
        let ran = self.run(docker, &[&["--network=none", "-d"], flags, &tail].concat());
        let id = ran.answer();
        docker.docker(&["wait", id]);
        let request = docker.docker(&[
            "inspect",
            "--format",
            "{{json .HostConfig.DeviceRequests}}",
            id,
        ]);
        // The daemon writes down what a program said after it has said that it ended.
        let mut seen = String::new();
        wait::until("the program's last line", || {
            seen = docker.docker(&["logs", id]);
            seen.ends_with("END")
        });
        let seen = seen.trim_end_matches("END").trim_end().to_owned();
        docker.docker(&["rm", id]);
        (serde_json::from_str(&request).unwrap(), seen)
    }
}

#[test]
fn the_daemon_gets_the_request_that_fits_it() {
    let docker = GpuDocker::start();
    let machine = Machine::new();
    let base = docker.engines.base.clone();

    // A driver, and no way to give it to a container.
    let refused = machine.run(
        &docker,
        &["--network=none", "--gpu=required", &base, "true"],
    );
    let told = refused.refusal(3);
    assert!(
        told.contains("no CDI specification and no NVIDIA Container Toolkit")
            && told.contains("nvidia-ctk runtime configure"),
        "{told}"
    );
    assert_eq!(machine.asks(&docker, &[]), (Value::Null, String::new()));

    // NVIDIA's hook.
    let machine = machine.with_hook();
    let of_hook = |count: i64, ids: Value| json!([{"Driver": "", "Count": count, "DeviceIDs": ids, "Capabilities": [["gpu"]], "Options": {}}]);
    let all = (
        of_hook(-1, Value::Null),
        "NVIDIA_VISIBLE_DEVICES=all".to_owned(),
    );
    for flags in [&["--gpu=required"][..], &["--gpu=auto"], &[]] {
        assert_eq!(machine.asks(&docker, flags), all, "{flags:?}");
    }
    let two = (
        of_hook(0, json!(["0", "1"])),
        "NVIDIA_VISIBLE_DEVICES=0,1".to_owned(),
    );
    assert_eq!(machine.asks(&docker, &["--gpu=0,1"]), two);
    assert_eq!(
        machine.asks(&docker, &["--gpu=off"]),
        (Value::Null, String::new())
    );

    // CDI goes before it.
    docker.describe();
    let of_cdi = |ids: Value| json!([{"Driver": "cdi", "Count": 0, "DeviceIDs": ids, "Capabilities": null, "Options": null}]);
    let all = (
        of_cdi(json!(["nvidia.com/gpu=all"])),
        "GPU_ALL=given".to_owned(),
    );
    assert_eq!(machine.asks(&docker, &[]), all);
    let two = of_cdi(json!(["nvidia.com/gpu=0", "nvidia.com/gpu=1"]));
    assert_eq!(
        machine.asks(&docker, &["--gpu=0,1"]),
        (two, "GPU_0=given GPU_1=given".to_owned())
    );

    // It is written down.
    let name = machine.project.runs().pop().unwrap();
    let record = RunRecord::load(&machine.project.path(&format!("mlbuild.runs/{name}"))).unwrap();
    let host = record.host.unwrap();
    assert_eq!(host.driver.as_deref(), Some("550.54.14"));
    assert_eq!(host.devices, ["NVIDIA H100"]);
}
