//! What becomes of each flag of `docker run`, with each container runtime.

use super::ContainerRuntime;
use super::flags::is_plain;
use crate::runtime::carried::{Carried, of_apptainer, of_own_process, only_folders};
use crate::runtime::flag::RuntimeCli;
use crate::runtime::kubernetes::bytes;
use crate::runtime::options::Setting;
use crate::runtime::render::words;
use crate::runtime::value::{Device, Mount, Value};

/// The client's own business, or read before: there is nothing in a script to say it with, and nothing is lost.
pub(super) const SILENT: &[&str] = &[
    "detach",
    "quiet",
    "rm",
    "disable-content-trust",
    "no-healthcheck",
    "env",
    "env-file",
    "label-file",
    // They are in the command, or in how the script waits.
    "entrypoint",
    "pull",
    "stop-timeout",
];

/// What Podman takes as docker does.
const PODMANS: &[&str] = &[
    "add-host",
    "annotation",
    "cap-add",
    "cap-drop",
    "device",
    "device-cgroup-rule",
    "dns",
    "dns-option",
    "dns-search",
    "entrypoint",
    "group-add",
    "hostname",
    "init",
    "ipc",
    "label",
    "mount",
    "network",
    "pid",
    "pids-limit",
    "privileged",
    "read-only",
    "security-opt",
    "shm-size",
    "stop-signal",
    "sysctl",
    "tmpfs",
    "ulimit",
    "user",
    "userns",
    "uts",
    "volume",
    "workdir",
];

/// What becomes of one flag.
pub(super) fn carried(setting: &Setting, runtime: ContainerRuntime) -> Carried {
    let name = setting.flag.name;
    // A switch that is off is as if it weren't there.
    if setting.value == Value::Bool(false) || SILENT.contains(&name) {
        return Carried::Nothing;
    }
    if let Some(carried) = of_slurm(setting) {
        return carried;
    }
    match runtime {
        ContainerRuntime::Podman if PODMANS.contains(&name) => podman(setting),
        ContainerRuntime::Apptainer => of_job(setting).unwrap_or_else(|| of_apptainer(setting)),
        ContainerRuntime::Pyxis => pyxis(setting),
        ContainerRuntime::Podman => nothing_like_it(),
    }
}

fn nothing_like_it() -> Carried {
    Carried::Refused("a job of Slurm has nothing like it".to_owned())
}

/// What is the same whatever starts the container; `None` for the rest.
fn of_slurm(setting: &Setting) -> Option<Carried> {
    use Carried::{Noted, Nothing};
    let refused = |why: &str| Carried::Refused(why.to_owned());
    let text = match &setting.value {
        Value::Text(text) => text.as_str(),
        Value::Device(device) if device.is_gpu() => {
            return Some(refused("write how many GPUs: --gpus N"));
        }
        _ => "",
    };
    Some(match setting.flag.name {
        "name" if is_plain(text) && !text.contains(['%', '/']) => {
            Carried::Directive(format!("--job-name={text}"))
        }
        "name" => refused("write a name of letters, digits, `-`, `_` and `.`"),
        "gpus" => gpus(text),
        "memory" => match bytes(text) {
            Some(bytes) if bytes > 0 => {
                Carried::Directive(format!("--mem={}M", bytes.div_ceil(1 << 20)))
            }
            _ => Nothing,
        },
        "cpus" => match text.parse::<f64>() {
            // Slurm hands out whole ones.
            Ok(cpus) if cpus > 0.0 => {
                Carried::Directive(format!("--cpus-per-task={}", cpus.ceil()))
            }
            _ => Nothing,
        },
        "memory-reservation" | "memory-swap" | "memory-swappiness" | "kernel-memory"
        | "oom-kill-disable" | "oom-score-adj" => Noted("Slurm holds the job to its memory: -m"),
        "cpu-shares" | "cpu-period" | "cpu-quota" | "cpu-rt-period" | "cpu-rt-runtime"
        | "cpuset-cpus" | "cpuset-mems" => Noted("Slurm gives the job its processors: --cpus N"),
        "blkio-weight"
        | "blkio-weight-device"
        | "device-read-bps"
        | "device-read-iops"
        | "device-write-bps"
        | "device-write-iops" => Noted("Slurm has no shares of I/O"),
        "interactive" | "tty" => {
            Noted("nothing can be typed into a job; mlbuild bash opens a shell beside it")
        }
        "attach" | "detach-keys" => Noted("a job's output is a file, which is shown"),
        "sig-proxy" => Noted("Ctrl-C ends the job, and no signal is passed on"),
        "log-driver" | "log-opt" => Noted("a job's output is a file of its folder"),
        "platform" => Noted("the nodes pull the image for the platform that they have"),
        "expose" => Noted("a job has its node's network"),
        "publish" | "publish-all" => {
            refused("a job has its node's network: connect to the node's own port")
        }
        "restart" if matches!(text, "no" | "") => Nothing,
        "restart" => {
            refused("a job ends; --requeue starts it again where it was preempted or lost its node")
        }
        "network" => return network(text),
        "runtime" if text == "nvidia" => refused("write how many GPUs: --gpus N"),
        name if name.starts_with("health-") => {
            Noted("a job ends when its program does; it has no health")
        }
        _ => return None,
    })
}

/// What Slurm decides for a container that is a process of the user's.
fn of_job(setting: &Setting) -> Option<Carried> {
    Some(Carried::Noted(match setting.flag.name {
        "ulimit" => "the limits are those of the submitting shell: --sbatch=--propagate",
        "stop-signal" => "Slurm sends SIGTERM, and before the time limit what --signal says",
        _ => return None,
    }))
}

/// The node's own network is what every job has.
fn network(mode: &str) -> Option<Carried> {
    match mode {
        "host" => Some(Carried::Nothing),
        "bridge" | "default" => Some(Carried::Noted("a job has its node's network")),
        "none" => None,
        _ => Some(Carried::Refused(
            "a job has its node's network, or none: --network none".to_owned(),
        )),
    }
}

fn gpus(text: &str) -> Carried {
    let number = text.trim_matches('"');
    match number
        .strip_prefix("count=")
        .unwrap_or(number)
        .parse::<u32>()
    {
        Ok(number) => Carried::Directive(format!("--gpus-per-node={number}")),
        Err(_) => Carried::Refused(
            "a job says how many GPUs of each node it gets, because nodes differ; write --gpus N"
                .to_owned(),
        ),
    }
}

fn podman(setting: &Setting) -> Carried {
    if let Value::Volume(volume) = &setting.value
        && let Some(source) = &volume.source
        && !source.starts_with('/')
        && source.contains(['/', '~', '$'])
    {
        return Carried::Refused(
            "write the folder's whole path: it is one of the nodes".to_owned(),
        );
    }
    match words(setting, RuntimeCli::Podman) {
        Ok(words) => Carried::Words(words),
        Err(why) => Carried::Refused(why),
    }
}

fn pyxis(setting: &Setting) -> Carried {
    let word = |flag: &str, value: &str| Carried::Words(vec![format!("{flag}={value}")]);
    match (setting.flag.name, &setting.value) {
        (_, Value::Volume(volume)) => match volume.as_mount() {
            Some(mount) => pyxis_mount(&mount),
            None => {
                Carried::Refused("pyxis mounts with `ro` or nothing after the folder".to_owned())
            }
        },
        (_, Value::Mount(mount)) => pyxis_mount(mount),
        (_, Value::Device(Device::Path { .. })) => {
            Carried::Noted("enroot gives a container the node's own /dev")
        }
        ("workdir", Value::Text(folder)) => word("--container-workdir", folder),
        ("user", Value::Text(user)) => match user.as_str() {
            "root" | "0" | "0:0" | "root:root" => {
                Carried::Words(vec!["--container-remap-root".to_owned()])
            }
            _ => Carried::Refused(
                "pyxis runs a container as you; -u 0 makes you root in there".to_owned(),
            ),
        },
        ("read-only", _) => Carried::Words(vec!["--container-readonly".to_owned()]),
        ("ipc" | "pid" | "uts" | "userns", Value::Text(mode)) if mode == "host" => Carried::Nothing,
        _ => of_job(setting).unwrap_or_else(|| of_own_process(setting)),
    }
}

fn pyxis_mount(mount: &Mount) -> Carried {
    let Some(source) = mount.source.as_deref().filter(|_| mount.kind == "bind") else {
        return only_folders();
    };
    let read_only = if mount.readonly { ":ro" } else { "" };
    if !mount.options.is_empty()
        || [source, &mount.target]
            .iter()
            .any(|path| path.contains([',', ':']))
    {
        return Carried::Refused(
            "pyxis mounts no path with `,` or `:` in it, and with no option but `ro`".to_owned(),
        );
    }
    Carried::Words(vec![format!(
        "--container-mounts={source}:{}{read_only}",
        mount.target
    )])
}
