//! Each flag of `docker run`, at its place in the Job.

use k8s_openapi::api::core::v1::ContainerPort;

use super::draft::Draft;
use super::names::{is_key, is_label_text, why_no_name};
use super::{quantity, resources, security, volumes};
use crate::runtime::options::Setting;
use crate::runtime::render::word;
use crate::runtime::value::{Assignment, Publish, Value};

/// The client's own business: there is nothing in a Job to say it with, and nothing is lost.
pub(super) const CLIENTS: &[&str] = &[
    "detach",
    "quiet",
    "name",
    "disable-content-trust",
    "no-healthcheck",
];

/// Writes one flag into the draft, or names it as left out.
pub(super) fn apply(draft: &mut Draft, setting: &Setting) {
    let name = setting.flag.name;
    match &setting.value {
        // A switch that is off is as if it weren't there.
        Value::Bool(false) if name != "sig-proxy" => {}
        Value::Bool(_) => switch(draft, name),
        Value::Volume(volume) => volumes::volume(draft, volume),
        Value::Mount(mount) => volumes::mount(draft, mount),
        Value::Device(device) => resources::device(draft, device),
        Value::Publish(port) => publish(draft, port),
        Value::Ulimit(limit) => draft.warn(
            format!("--ulimit {limit}"),
            "Kubernetes has no such limits; those of the node's runtime stand",
        ),
        Value::Assignment(assignment) => assigned(draft, setting, assignment),
        Value::Text(text) => said(draft, setting, text),
    }
}

fn switch(draft: &mut Draft, name: &str) {
    match name {
        "privileged" => draft.security.privileged = Some(true),
        "read-only" => draft.security.read_only_root_filesystem = Some(true),
        "rm" => draft.remove = true,
        "interactive" | "tty" => {
            // Said once for `-it`.
            let why = "nothing can be typed into a Job; mlbuild bash opens a shell in it";
            if !draft.warnings.iter().any(|left| left.why == why) {
                draft.warn(if name == "tty" { "-t" } else { "-i" }, why);
            }
        }
        "publish-all" => draft.warn(
            "--publish-all",
            "no port of a node leads to a Job; kubectl port-forward job/NAME PORT",
        ),
        "init" => draft.warn(
            "--init",
            "Kubernetes has no init to add; the image may hold one",
        ),
        "sig-proxy" => draft.warn(
            "--sig-proxy",
            "Ctrl-C ends the Job, and no signal is passed on",
        ),
        "oom-kill-disable" => draft.refuse(
            "--oom-kill-disable",
            "Kubernetes always ends what is over its memory",
        ),
        "use-api-socket" => draft.refuse("--use-api-socket", "there is no Docker on a node"),
        _ if CLIENTS.contains(&name) => {}
        _ => draft.refuse(format!("--{name}"), "Kubernetes has nothing like it"),
    }
}

fn assigned(draft: &mut Draft, setting: &Setting, assignment: &Assignment) {
    let Assignment { name, value } = assignment;
    let value = value.clone().unwrap_or_default();
    match setting.flag.name {
        "label" if is_key(name) && is_label_text(&value) => drop(draft.labels.insert(name.clone(), value)),
        "label" => draft.refuse(
            word(setting),
            "Kubernetes' labels are letters, digits, `-`, `_` and `.`, 63 at most; --annotation takes any text",
        ),
        "annotation" if is_key(name) => drop(draft.annotations.insert(name.clone(), value)),
        "annotation" => draft.refuse(word(setting), "the name isn't one that Kubernetes takes: [PREFIX/]NAME"),
        "sysctl" => security::sysctl(draft, assignment),
        "storage-opt" if name == "size" => match quantity::bytes(&value) {
            Some(bytes) => drop(draft.limits.insert("ephemeral-storage".to_owned(), quantity::of_bytes(bytes))),
            None => draft.refuse(word(setting), "not a size"),
        },
        "log-opt" => draft.warn("--log-opt", "the node's runtime keeps the log"),
        // Read before, with the host's values.
        "env" => {}
        _ => draft.refuse(word(setting), "Kubernetes has nothing like it"),
    }
}

fn said(draft: &mut Draft, setting: &Setting, text: &str) {
    let limit = |draft: &mut Draft, limits: bool, key: &str| {
        let map = if limits {
            &mut draft.limits
        } else {
            &mut draft.requests
        };
        if let Some(bytes) = quantity::bytes(text).filter(|bytes| *bytes > 0) {
            map.insert(key.to_owned(), quantity::of_bytes(bytes));
        }
    };
    let number = text.parse::<i64>().ok();
    match setting.flag.name {
        "entrypoint" if text.is_empty() => draft.refuse(
            "--entrypoint",
            "Kubernetes can't take an image's entry point away; write the program: --entrypoint PROGRAM",
        ),
        "entrypoint" => draft.container.command = Some(vec![text.to_owned()]),
        "workdir" => draft.container.working_dir = Some(text.to_owned()),
        "user" => security::user(draft, text),
        "group-add" => security::group(draft, text),
        "cap-add" => security::capability(draft, true, text),
        "cap-drop" => security::capability(draft, false, text),
        "security-opt" => security::option(draft, text),
        "hostname" => match why_no_name(text) {
            None => draft.pod.hostname = Some(text.to_owned()),
            Some(_) => draft.refuse("--hostname", format!("`{text}` isn't a-z, 0-9 and `-`, 63 at most")),
        },
        "gpus" => resources::gpus(draft, text),
        "runtime" => resources::runtime(draft, text),
        "shm-size" => volumes::shm(draft, text),
        "tmpfs" => volumes::tmpfs(draft, text),
        "memory" => limit(draft, true, "memory"),
        "memory-reservation" => limit(draft, false, "memory"),
        "cpus" => {
            let number = quantity::of_processors(text.parse().unwrap_or_default());
            draft.limits.insert("cpu".to_owned(), number);
        }
        // 1024 shares are one processor, as the kubelet has it.
        "cpu-shares" => {
            let number = text.parse::<f64>().unwrap_or_default() / 1024.0;
            draft.requests.insert("cpu".to_owned(), quantity::of_processors(number));
        }
        "cpu-quota" => draft.cpu_quota = number,
        "cpu-period" => draft.cpu_period = number,
        "dns" => draft.dns().nameservers.get_or_insert_default().push(text.to_owned()),
        "dns-search" => draft.dns().searches.get_or_insert_default().push(text.to_owned()),
        "dns-option" => dns_option(draft, text),
        "add-host" => add_host(draft, text),
        "expose" => match text.parse::<Publish>() {
            Ok(port) => ports(draft, &port),
            Err(why) => draft.refuse(format!("--expose {text}"), why),
        },
        "network" | "ipc" | "pid" | "uts" | "userns" | "cgroupns" => namespace(draft, setting.flag.name, text),
        "platform" => platform(draft, text),
        "pull" => {
            let policy = match text {
                "always" => "Always",
                "never" => "Never",
                _ => "IfNotPresent",
            };
            draft.container.image_pull_policy = Some(policy.to_owned());
        }
        "restart" => restart(draft, text),
        "stop-timeout" => draft.pod.termination_grace_period_seconds = number.filter(|n| *n >= 0),
        "memory-swap" | "memory-swappiness" | "kernel-memory" => draft.warn(word(setting), "swap is the node's matter"),
        "oom-score-adj" => draft.warn(word(setting), "the kubelet sets it, by what a pod asks for"),
        "pids-limit" => draft.warn(word(setting), "the kubelet sets it, the same for all pods"),
        "log-driver" => draft.warn(word(setting), "the node's runtime keeps the log"),
        "attach" | "detach-keys" => draft.warn(word(setting), "a Job's output is shown as its log"),
        "blkio-weight" | "blkio-weight-device" => draft.warn(word(setting), "Kubernetes has no shares of I/O"),
        name if name.starts_with("health-") => draft.warn(
            format!("--{name}"),
            "a Job ends when its program does; it has no health",
        ),
        "env-file" | "label-file" => {}
        _ if CLIENTS.contains(&setting.flag.name) => {}
        "cidfile" => draft.refuse("--cidfile", "a Job has no container's id; --output json prints its name"),
        _ => draft.refuse(word(setting), "Kubernetes has nothing like it"),
    }
}

fn namespace(draft: &mut Draft, flag: &str, mode: &str) {
    match (flag, mode) {
        ("network", "host") => {
            draft.pod.host_network = Some(true);
            draft.pod.dns_policy = Some("ClusterFirstWithHostNet".to_owned());
        }
        ("network", "bridge" | "default")
        | ("ipc", "private" | "shareable" | "")
        | ("cgroupns", "private") => {}
        ("ipc", "host") => draft.pod.host_ipc = Some(true),
        ("pid", "host") => draft.pod.host_pid = Some(true),
        ("userns", "host") => draft.pod.host_users = Some(true),
        _ => draft.refuse(
            format!("--{flag} {mode}"),
            "a pod has its own, or the host's where Kubernetes lets it",
        ),
    }
}

fn publish(draft: &mut Draft, port: &Publish) {
    if let Some(host) = &port.host {
        draft.warn(
            format!("--publish {port}"),
            format!(
                "no port of a node leads to a Job; kubectl port-forward job/NAME {host}:{}",
                port.container
            ),
        );
    }
    ports(draft, port);
}

fn ports(draft: &mut Draft, port: &Publish) {
    let (first, last) = port
        .container
        .split_once('-')
        .unwrap_or((&port.container, &port.container));
    let number = |text: &str| text.parse::<i32>().unwrap_or_default();
    let protocol = port.protocol.as_deref().map(str::to_ascii_uppercase);
    let list = draft.container.ports.get_or_insert_default();
    for container_port in number(first)..=number(last) {
        let protocol = protocol.clone();
        let port = ContainerPort {
            container_port,
            protocol,
            ..ContainerPort::default()
        };
        if !list.contains(&port) {
            list.push(port);
        }
    }
}

fn dns_option(draft: &mut Draft, text: &str) {
    let (name, value) = match text.split_once(':') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    let option = k8s_openapi::api::core::v1::PodDNSConfigOption {
        name: Some(name.to_owned()),
        value,
    };
    draft.dns().options.get_or_insert_default().push(option);
}

fn add_host(draft: &mut Draft, text: &str) {
    match text.split_once([':', '=']) {
        Some((_, "host-gateway")) => draft.refuse(
            format!("--add-host {text}"),
            "a pod knows its node's address by downward API only",
        ),
        Some((name, ip)) => draft.add_host(ip.trim_matches(['[', ']']), name),
        None => draft.refuse(format!("--add-host {text}"), "write HOST:IP"),
    }
}

fn platform(draft: &mut Draft, text: &str) {
    let mut parts = text.split('/');
    let (system, machine) = (parts.next(), parts.next());
    let selector = draft.pod.node_selector.get_or_insert_default();
    for (key, value) in [
        ("kubernetes.io/os", system),
        ("kubernetes.io/arch", machine),
    ] {
        if let Some(value) = value {
            selector.insert(key.to_owned(), value.to_owned());
        }
    }
    if let Some(variant) = parts.next() {
        draft.warn(
            format!("--platform {text}"),
            format!("nodes don't say their variant, `{variant}`"),
        );
    }
}

fn restart(draft: &mut Draft, policy: &str) {
    match policy.split_once(':') {
        _ if policy == "no" || policy.is_empty() => {}
        Some(("on-failure", times)) => match times.parse() {
            Ok(times) => draft.retries = times,
            Err(_) => draft.refuse(format!("--restart {policy}"), "write on-failure:N"),
        },
        _ if policy == "on-failure" => {
            draft.retries = 6;
            draft.warn(
                "--restart on-failure",
                "a Job gives up some time: it is started 6 times more",
            );
        }
        _ => draft.refuse(
            format!("--restart {policy}"),
            "a Job ends; what is to run for ever is a Deployment",
        ),
    }
}
