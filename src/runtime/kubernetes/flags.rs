//! Each flag of `docker run`, at its place in the Job.

use k8s_openapi::api::core::v1::ContainerPort;

use super::job_builder::JobBuilder;
use super::names::{is_key, is_label_text, why_no_name};
use super::{quantity, resources, security, volumes};
use crate::runtime::options::Setting;
use crate::runtime::value::{Assignment, Publish, Value};

/// The client's own business: there is nothing in a Job to say it with, and nothing is lost.
pub(super) const CLIENTS: &[&str] = &[
    "detach",
    "quiet",
    "name",
    "disable-content-trust",
    "no-healthcheck",
];

/// Writes one flag into the builder, or names it as left out.
pub(super) fn apply(builder: &mut JobBuilder, setting: &Setting) {
    let name = setting.flag.name;
    match &setting.value {
        // A switch that is off is as if it weren't there.
        Value::Bool(false) if name != "sig-proxy" => {}
        Value::Bool(_) => switch(builder, name),
        Value::Volume(volume) => volumes::volume(builder, volume),
        Value::Mount(mount) => volumes::mount(builder, mount),
        Value::Device(device) => resources::device(builder, device),
        Value::Publish(port) => publish(builder, port),
        Value::Ulimit(limit) => builder.warn(
            format!("--ulimit {limit}"),
            "Kubernetes has no such limits; those of the node's runtime stand",
        ),
        Value::Assignment(assignment) => assigned(builder, setting, assignment),
        Value::Text(text) => said(builder, setting, text),
    }
}

fn switch(builder: &mut JobBuilder, name: &str) {
    match name {
        "privileged" => builder.security.privileged = Some(true),
        "read-only" => builder.security.read_only_root_filesystem = Some(true),
        "rm" => builder.remove = true,
        "interactive" | "tty" => {
            // Said once for `-it`.
            let why = "nothing can be typed into a Job; mlbuild bash opens a shell in it";
            if !builder.warnings.iter().any(|left| left.why == why) {
                builder.warn(if name == "tty" { "-t" } else { "-i" }, why);
            }
        }
        "publish-all" => builder.warn(
            "--publish-all",
            "no port of a node leads to a Job; --port-forward PORT does, while it is followed",
        ),
        "init" => builder.warn(
            "--init",
            "Kubernetes has no init to add; the image may hold one",
        ),
        "sig-proxy" => builder.warn(
            "--sig-proxy",
            "Ctrl-C ends the Job, and no signal is passed on",
        ),
        "oom-kill-disable" => builder.refuse(
            "--oom-kill-disable",
            "Kubernetes always ends what is over its memory",
        ),
        "use-api-socket" => builder.refuse("--use-api-socket", "there is no Docker on a node"),
        _ if CLIENTS.contains(&name) => {}
        _ => builder.refuse(format!("--{name}"), "Kubernetes has nothing like it"),
    }
}

fn assigned(builder: &mut JobBuilder, setting: &Setting, assignment: &Assignment) {
    let Assignment { name, value } = assignment;
    let value = value.clone().unwrap_or_default();
    match setting.flag.name {
        "label" if is_key(name) && is_label_text(&value) => drop(builder.labels.insert(name.clone(), value)),
        "label" => builder.refuse(
            setting.word(),
            "Kubernetes' labels are letters, digits, `-`, `_` and `.`, 63 at most; --annotation takes any text",
        ),
        "annotation" if is_key(name) => drop(builder.annotations.insert(name.clone(), value)),
        "annotation" => builder.refuse(setting.word(), "the name isn't one that Kubernetes takes: [PREFIX/]NAME"),
        "sysctl" => security::sysctl(builder, assignment),
        "storage-opt" if name == "size" => match quantity::bytes(&value) {
            Some(bytes) => drop(builder.limits.insert("ephemeral-storage".to_owned(), quantity::of_bytes(bytes))),
            None => builder.refuse(setting.word(), "not a size"),
        },
        "log-opt" => builder.warn("--log-opt", "the node's runtime keeps the log"),
        // Read before, with the host's values.
        "env" => {}
        _ => builder.refuse(setting.word(), "Kubernetes has nothing like it"),
    }
}

fn said(builder: &mut JobBuilder, setting: &Setting, text: &str) {
    let limit = |builder: &mut JobBuilder, limits: bool, key: &str| {
        let map = if limits {
            &mut builder.limits
        } else {
            &mut builder.requests
        };
        if let Some(bytes) = quantity::bytes(text).filter(|bytes| *bytes > 0) {
            map.insert(key.to_owned(), quantity::of_bytes(bytes));
        }
    };
    if let Some(why) = no_effect(setting.flag.name) {
        return builder.warn(setting.word(), why);
    }
    let number = text.parse::<i64>().ok();
    match setting.flag.name {
        "entrypoint" if text.is_empty() => builder.refuse(
            "--entrypoint",
            "Kubernetes can't take an image's entry point away; write the program: --entrypoint PROGRAM",
        ),
        "entrypoint" => builder.container.command = Some(vec![text.to_owned()]),
        "workdir" => builder.container.working_dir = Some(text.to_owned()),
        "user" => security::user(builder, text),
        "group-add" => security::group(builder, text),
        "cap-add" => security::capability(builder, true, text),
        "cap-drop" => security::capability(builder, false, text),
        "security-opt" => security::option(builder, text),
        "hostname" => match why_no_name(text) {
            None => builder.pod.hostname = Some(text.to_owned()),
            Some(_) => builder.refuse("--hostname", format!("`{text}` isn't a-z, 0-9 and `-`, 63 at most")),
        },
        "gpus" => resources::gpus(builder, text),
        "runtime" => resources::runtime(builder, text),
        "shm-size" => volumes::shm(builder, text),
        "tmpfs" => volumes::tmpfs(builder, text),
        "memory" => limit(builder, true, "memory"),
        "memory-reservation" => limit(builder, false, "memory"),
        "cpus" => {
            let number = quantity::of_processors(text.parse().unwrap_or_default());
            builder.limits.insert("cpu".to_owned(), number);
        }
        // 1024 shares are one processor, as the kubelet has it.
        "cpu-shares" => {
            let number = text.parse::<f64>().unwrap_or_default() / 1024.0;
            builder.requests.insert("cpu".to_owned(), quantity::of_processors(number));
        }
        "cpu-quota" => builder.cpu_quota = number,
        "cpu-period" => builder.cpu_period = number,
        "dns" => builder.dns().nameservers.get_or_insert_default().push(text.to_owned()),
        "dns-search" => builder.dns().searches.get_or_insert_default().push(text.to_owned()),
        "dns-option" => dns_option(builder, text),
        "add-host" => add_host(builder, text),
        "expose" => match text.parse::<Publish>() {
            Ok(port) => ports(builder, &port),
            Err(why) => builder.refuse(format!("--expose {text}"), why),
        },
        "network" | "ipc" | "pid" | "uts" | "userns" | "cgroupns" => namespace(builder, setting.flag.name, text),
        "platform" => platform(builder, text),
        "pull" => {
            let policy = match text {
                "always" => "Always",
                "never" => "Never",
                _ => "IfNotPresent",
            };
            builder.container.image_pull_policy = Some(policy.to_owned());
        }
        "restart" => restart(builder, text),
        "stop-timeout" => builder.pod.termination_grace_period_seconds = number.filter(|n| *n >= 0),
        name if name.starts_with("health-") => builder.warn(
            format!("--{name}"),
            "a Job ends when its program does; it has no health",
        ),
        "env-file" | "label-file" => {}
        _ if CLIENTS.contains(&setting.flag.name) => {}
        "cidfile" => builder.refuse("--cidfile", "a Job has no container's id; --output json prints its name"),
        _ => builder.refuse(setting.word(), "Kubernetes has nothing like it"),
    }
}

/// Why a flag changes nothing in a cluster, where it may be left aside.
fn no_effect(flag: &str) -> Option<&'static str> {
    Some(match flag {
        "memory-swap" | "memory-swappiness" | "kernel-memory" => "swap is the node's matter",
        "oom-score-adj" => "the kubelet sets it, by what a pod asks for",
        "pids-limit" => "the kubelet sets it, the same for all pods",
        "log-driver" => "the node's runtime keeps the log",
        "attach" | "detach-keys" => "a Job's output is shown as its log",
        "blkio-weight" | "blkio-weight-device" => "Kubernetes has no shares of I/O",
        _ => return None,
    })
}

fn namespace(builder: &mut JobBuilder, flag: &str, mode: &str) {
    match (flag, mode) {
        ("network", "host") => {
            builder.pod.host_network = Some(true);
            builder.pod.dns_policy = Some("ClusterFirstWithHostNet".to_owned());
        }
        ("network", "bridge" | "default")
        | ("ipc", "private" | "shareable" | "")
        | ("cgroupns", "private") => {}
        ("ipc", "host") => builder.pod.host_ipc = Some(true),
        ("pid", "host") => builder.pod.host_pid = Some(true),
        ("userns", "host") => builder.pod.host_users = Some(true),
        _ => builder.refuse(
            format!("--{flag} {mode}"),
            "a pod has its own, or the host's where Kubernetes lets it",
        ),
    }
}

fn publish(builder: &mut JobBuilder, port: &Publish) {
    if let Some(host) = &port.host {
        builder.warn(
            format!("--publish {port}"),
            format!(
                "no port of a node leads to a Job; --port-forward {host}:{} does, while it is followed",
                port.container
            ),
        );
    }
    ports(builder, port);
}

fn ports(builder: &mut JobBuilder, port: &Publish) {
    let (first, last) = port
        .container
        .split_once('-')
        .unwrap_or((&port.container, &port.container));
    let number = |text: &str| text.parse::<i32>().unwrap_or_default();
    let protocol = port.protocol.as_deref().map(str::to_ascii_uppercase);
    let list = builder.container.ports.get_or_insert_default();
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

fn dns_option(builder: &mut JobBuilder, text: &str) {
    let (name, value) = match text.split_once(':') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    let option = k8s_openapi::api::core::v1::PodDNSConfigOption {
        name: Some(name.to_owned()),
        value,
    };
    builder.dns().options.get_or_insert_default().push(option);
}

fn add_host(builder: &mut JobBuilder, text: &str) {
    match text.split_once([':', '=']) {
        Some((_, "host-gateway")) => builder.refuse(
            format!("--add-host {text}"),
            "a pod knows its node's address by downward API only",
        ),
        Some((name, ip)) => builder.add_host(ip.trim_matches(['[', ']']), name),
        None => builder.refuse(format!("--add-host {text}"), "write HOST:IP"),
    }
}

fn platform(builder: &mut JobBuilder, text: &str) {
    let mut parts = text.split('/');
    let (system, machine) = (parts.next(), parts.next());
    let selector = builder.pod.node_selector.get_or_insert_default();
    for (key, value) in [
        ("kubernetes.io/os", system),
        ("kubernetes.io/arch", machine),
    ] {
        if let Some(value) = value {
            selector.insert(key.to_owned(), value.to_owned());
        }
    }
    if let Some(variant) = parts.next() {
        builder.warn(
            format!("--platform {text}"),
            format!("nodes don't say their variant, `{variant}`"),
        );
    }
}

fn restart(builder: &mut JobBuilder, policy: &str) {
    match policy.split_once(':') {
        _ if policy == "no" || policy.is_empty() => {}
        Some(("on-failure", times)) => match times.parse() {
            Ok(times) => builder.retries = times,
            Err(_) => builder.refuse(format!("--restart {policy}"), "write on-failure:N"),
        },
        _ if policy == "on-failure" => {
            builder.retries = 6;
            builder.warn(
                "--restart on-failure",
                "a Job gives up some time: it is started 6 times more",
            );
        }
        _ => builder.refuse(
            format!("--restart {policy}"),
            "a Job ends; what is to run for ever is a Deployment",
        ),
    }
}
