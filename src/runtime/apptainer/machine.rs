//! What becomes of docker's flags where a container of Apptainer's has this machine's network, limits and terminal.

use crate::runtime::carried::Carried;
use crate::runtime::options::Setting;
use crate::runtime::value::{Publish, Value};

/// What is read elsewhere, or is how things are anyway.
pub(super) const SILENT: [&str; 8] = [
    "entrypoint",
    "env",
    "env-file",
    "interactive",
    "platform",
    "pull",
    "quiet",
    "tty",
];

/// What is so for a container on this machine; `None` for what every container of Apptainer's has.
pub(super) fn of_this_machine(setting: &Setting) -> Option<Carried> {
    use Carried::{Noted, Nothing};
    let refused = |why: &str| Carried::refused(why);
    let text = match &setting.value {
        Value::Text(text) => text.as_str(),
        Value::Bool(false) if setting.flag.name == "sig-proxy" => {
            return Some(Noted("signals are passed on to the program"));
        }
        // A switch that is off is as if it weren't there.
        Value::Bool(false) => return Some(Nothing),
        _ => "",
    };
    Some(match setting.flag.name {
        name if SILENT.contains(&name) => Nothing,
        "rm" | "no-healthcheck" | "disable-content-trust" | "init" | "sig-proxy" => Nothing,
        "detach" => refused(
            "apptainer keeps no container in the background: leave -d out, and let your shell, tmux or \
             a job of the cluster's keep the command (mlbuild submit --slurm)",
        ),
        "attach" | "detach-keys" => Noted("the program has this terminal"),
        "name" => Noted("its containers have no names"),
        "log-driver" | "log-opt" => {
            Noted("what the program prints is printed here, and kept nowhere")
        }
        "stop-signal" | "stop-timeout" => {
            Noted("the program gets the signals that are sent to mlbuild")
        }
        "memory" | "memory-reservation" | "memory-swap" | "memory-swappiness" | "kernel-memory"
        | "oom-kill-disable" | "oom-score-adj" => {
            Noted("the memory is what you may have: ulimit -v, or the job's own limit")
        }
        "cpus" | "cpu-shares" | "cpu-period" | "cpu-quota" | "cpu-rt-period" | "cpu-rt-runtime"
        | "cpuset-cpus" | "cpuset-mems" => {
            Noted("the processors are those that you may have: taskset, or the job's own limit")
        }
        "blkio-weight"
        | "blkio-weight-device"
        | "device-read-bps"
        | "device-read-iops"
        | "device-write-bps"
        | "device-write-iops" => Noted("there are no shares of I/O"),
        "ulimit" => Noted("the limits are those of your shell: ulimit"),
        "expose" => Noted("the container has this machine's network"),
        "publish" => return Some(publish(setting)),
        "publish-all" => Noted("the program's ports are this machine's"),
        "restart" if matches!(text, "no" | "") => Nothing,
        "restart" => refused("nobody is there to start it again: a loop of your shell, or a job"),
        "network" => match text {
            "host" => Nothing,
            "bridge" | "default" => Noted("the container has this machine's network"),
            "none" => return None,
            _ => refused("the container has this machine's network, or none: --network none"),
        },
        "ipc" => match text {
            "" | "private" => Carried::Words(vec!["--ipc".to_owned()]),
            "host" => Noted("its /dev/shm is its own, and has half of the machine's memory"),
            _ => return None,
        },
        "user" if is_own(text) => Nothing,
        "security-opt" if text.starts_with("label=") => Nothing,
        "tmpfs" => Carried::word("--scratch", text.split(':').next().unwrap_or(text)),
        name if name.starts_with("health-") => Noted("nobody asks after its health"),
        _ => return None,
    })
}

/// The container has the machine's network, where a port has one number.
fn publish(setting: &Setting) -> Carried {
    let is_as_it_is = |port: &Publish| {
        port.address.is_none()
            && port
                .host
                .as_ref()
                .is_none_or(|host| *host == port.container)
    };
    match &setting.value {
        Value::Publish(port) if is_as_it_is(port) => Carried::Nothing,
        _ => Carried::refused(
            "the container has this machine's network: the program's port is the machine's, under its own number",
        ),
    }
}

/// Whether a user is the one that starts it.
fn is_own(user: &str) -> bool {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let uid = uid.as_raw().to_string();
    user == uid || user == format!("{uid}:{}", gid.as_raw())
}
