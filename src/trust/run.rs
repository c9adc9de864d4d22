//! What `[run]` reaches outside the project's folder and the container.

use std::path::Path;

use super::outside::outside;
use crate::runtime::{Options, Owner, Setting, Value};

/// Options that say what happens inside the container, or hold it in bounds. All others, also those
/// that are added to the table later, are asked for.
const INSIDE: [&str; 62] = [
    "annotation",
    "attach",
    "blkio-weight",
    "cpu-count",
    "cpu-percent",
    "cpu-period",
    "cpu-quota",
    "cpu-rt-period",
    "cpu-rt-runtime",
    "cpu-shares",
    "cpus",
    "cpuset-cpus",
    "cpuset-mems",
    "detach",
    "detach-keys",
    "device-read-bps",
    "device-read-iops",
    "device-write-bps",
    "device-write-iops",
    "disable-content-trust",
    "domainname",
    "entrypoint",
    "expose",
    "gpus",
    "health-cmd",
    "health-interval",
    "health-retries",
    "health-start-interval",
    "health-start-period",
    "health-timeout",
    "hostname",
    "init",
    "interactive",
    "ip",
    "ip6",
    "kernel-memory",
    "label",
    "mac-address",
    "memory",
    "memory-reservation",
    "memory-swap",
    "memory-swappiness",
    "name",
    "network-alias",
    "no-healthcheck",
    "pids-limit",
    "platform",
    "publish",
    "publish-all",
    "pull",
    "quiet",
    "read-only",
    "restart",
    "rm",
    "shm-size",
    "sig-proxy",
    "stop-signal",
    "stop-timeout",
    "tmpfs",
    "tty",
    "ulimit",
    "workdir",
];

/// mlbuild's own that are of no harm.
const OWN: [&str; 4] = ["gpu", "runtime-cli", "no-defaults", "no-record"];

pub(super) fn wishes(options: &Options, project: &Path) -> Vec<String> {
    let wishes = of_options(options, project).into_iter();
    wishes.map(|wish| format!("{wish} ([run])")).collect()
}

/// The same for options from elsewhere.
pub(super) fn of_options(options: &Options, project: &Path) -> Vec<String> {
    let wishes = options.iter().filter_map(|setting| wish(setting, project));
    wishes.collect()
}

/// True for a setting that reaches nothing outside the container, whatever the machine.
pub fn stays_inside(setting: &Setting) -> bool {
    let name = setting.flag.name;
    if matches!(setting.value, Value::Bool(false)) || INSIDE.contains(&name) || name == "user" {
        return true;
    }
    if setting.flag.owner != Owner::Docker && OWN.contains(&name) {
        return true;
    }
    match (name, &setting.value) {
        ("env", Value::Assignment(variable)) => variable.value.is_some(),
        ("volume", Value::Volume(volume)) => volume.source.is_none(),
        ("mount", Value::Mount(mount)) => mount.kind == "tmpfs",
        ("device", Value::Device(device)) => device.is_gpu(),
        ("network" | "ipc" | "pid" | "uts" | "userns" | "cgroupns", Value::Text(mode)) => {
            ["none", "bridge", "private", "shareable", "default"].contains(&mode.as_str())
        }
        ("runtime", Value::Text(runtime)) => runtime == "nvidia",
        _ => false,
    }
}

fn wish(setting: &Setting, project: &Path) -> Option<String> {
    if stays_inside(setting) {
        return None;
    }
    let name = setting.flag.name;
    let plain = || Some(format!("starts containers with {}", shown(setting)));
    match (name, &setting.value) {
        ("env", Value::Assignment(variable)) => Some(format!(
            "hands the variable {} of your environment to containers",
            variable.name
        )),
        ("volume", Value::Volume(volume)) => {
            mount(volume.source.as_deref()?, &volume.to_string(), project)
        }
        ("mount", Value::Mount(mount)) if mount.kind == "bind" => {
            self::mount(mount.source.as_deref()?, &mount.as_volume(), project)
        }
        ("mount", Value::Mount(mount)) if mount.kind == "volume" && mount.options.is_empty() => {
            self::mount(mount.source.as_deref()?, &mount.as_volume(), project)
        }
        ("env-file" | "label-file", Value::Text(file)) => {
            let place = outside(project, Path::new(file))?;
            Some(format!("reads {} (--{name})", place.display()))
        }
        _ => plain(),
    }
}

fn shown(setting: &Setting) -> String {
    match &setting.value {
        Value::Bool(_) => format!("--{}", setting.flag.name),
        value => mlbuild_secrets::redact(&format!("--{}={value}", setting.flag.name)).into_owned(),
    }
}

/// A folder of this machine, or a volume by name, which may hold another project's data.
fn mount(source: &str, shown: &str, project: &Path) -> Option<String> {
    let is_path = source.starts_with(['/', '.', '~']);
    if !is_path {
        return Some(format!("mounts the volume {source}: {shown}"));
    }
    let place = outside(project, Path::new(source))?;
    Some(format!("mounts {}: {shown}", place.display()))
}
