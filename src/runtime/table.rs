//! Every flag of `mlbuild run`: those of `docker run` (28.x), and mlbuild's own.

use super::flag::RuntimeCli::{Nerdctl, Podman};
use super::flag::{Flag, Kind};

const WORDS: Kind = Kind::Text;

/// The flags, mlbuild's own last.
pub static FLAGS: &[Flag] = &[
    Flag::list("add-host", WORDS, "HOST:IP", "Line in the container's /etc/hosts."),
    Flag::list("annotation", Kind::Assignment, "NAME=VALUE", "Annotation for the OCI runtime."),
    Flag::list("attach", WORDS, "STREAM", "Attach only this: stdin, stdout or stderr.").short('a'),
    Flag::one("blkio-weight", Kind::Integer, "WEIGHT", "Share of block I/O, 10 to 1000; 0: no share of its own."),
    Flag::list("blkio-weight-device", WORDS, "DEVICE:WEIGHT", "Share of one device's I/O.").unknown_to(&[Nerdctl]),
    Flag::list("cap-add", WORDS, "CAPABILITY", "Linux capability to add."),
    Flag::list("cap-drop", WORDS, "CAPABILITY", "Linux capability to take away."),
    Flag::one("cgroup-parent", WORDS, "CGROUP", "cgroup that the container's own is made in."),
    Flag::one("cgroupns", WORDS, "MODE", "cgroup namespace: host or private."),
    Flag::one("cidfile", WORDS, "FILE", "File for the container's id.").not_in_config(),
    Flag::one("cpu-count", Kind::Integer, "N", "Processors (Windows).").unknown_to(&[Podman, Nerdctl]),
    Flag::one("cpu-percent", Kind::Integer, "PERCENT", "Share of the processors (Windows).").unknown_to(&[Podman, Nerdctl]),
    Flag::one("cpu-period", Kind::Integer, "MICROSECONDS", "Period of the CFS quota."),
    Flag::one("cpu-quota", Kind::Integer, "MICROSECONDS", "CFS quota in each period."),
    Flag::one("cpu-rt-period", Kind::Integer, "MICROSECONDS", "Period of the real-time limit."),
    Flag::one("cpu-rt-runtime", Kind::Integer, "MICROSECONDS", "Real-time limit in each period."),
    Flag::one("cpu-shares", Kind::Integer, "SHARES", "Weight against other containers.").short('c'),
    Flag::one("cpus", Kind::Decimal, "N", "How many processors it may keep busy, such as 1.5."),
    Flag::one("cpuset-cpus", WORDS, "LIST", "Processors it may run on: 0-3 or 0,1."),
    Flag::one("cpuset-mems", WORDS, "LIST", "Memory nodes it may use: 0-3 or 0,1."),
    Flag::switch("detach", "Run in the background and print the container's id.").short('d'),
    Flag::one("detach-keys", WORDS, "KEYS", "Keys that leave the container running, such as ctrl-p,ctrl-q."),
    Flag::list("device", Kind::Device, "DEVICE", "Device of the host, or a CDI device such as nvidia.com/gpu=all."),
    Flag::list("device-cgroup-rule", WORDS, "RULE", "Rule of the device cgroup, such as `c 189:* rmw`."),
    Flag::list("device-read-bps", WORDS, "DEVICE:RATE", "Limit of bytes read in a second."),
    Flag::list("device-read-iops", WORDS, "DEVICE:RATE", "Limit of reads in a second."),
    Flag::list("device-write-bps", WORDS, "DEVICE:RATE", "Limit of bytes written in a second."),
    Flag::list("device-write-iops", WORDS, "DEVICE:RATE", "Limit of writes in a second."),
    Flag::switch("disable-content-trust", "Docker's older flag about signatures (default: true).").unknown_to(&[Nerdctl]),
    Flag::list("dns", WORDS, "ADDRESS", "DNS server."),
    Flag::list("dns-option", WORDS, "OPTION", "Option of the resolver.").alias("dns-opt"),
    Flag::list("dns-search", WORDS, "DOMAIN", "Domain that names are looked up in."),
    Flag::one("domainname", WORDS, "NAME", "NIS domain name.").unknown_to(&[Podman]),
    Flag::one("entrypoint", WORDS, "PROGRAM", "Program to start instead of the image's entry point."),
    Flag::list("env", Kind::Assignment, "NAME[=VALUE]", "Variable; a name alone takes the host's value.").short('e'),
    Flag::list("env-file", WORDS, "FILE", "File of variables, one in a line."),
    Flag::list("expose", WORDS, "PORT", "Port, or range of ports, that --publish-all publishes."),
    Flag::one("gpus", WORDS, "GPUS", "Docker's own request for GPUs, such as all; then mlbuild adds none."),
    Flag::list("group-add", WORDS, "GROUP", "Further group, by name or number."),
    Flag::one("health-cmd", WORDS, "COMMAND", "Command that tells whether it is well."),
    Flag::one("health-interval", Kind::Duration, "TIME", "Time between two checks, such as 30s."),
    Flag::one("health-retries", Kind::Integer, "N", "Failures in a row that make it unhealthy."),
    Flag::one("health-start-interval", Kind::Duration, "TIME", "Time between two checks while it starts.").unknown_to(&[Podman]),
    Flag::one("health-start-period", Kind::Duration, "TIME", "Time to start in, while failures don't count."),
    Flag::one("health-timeout", Kind::Duration, "TIME", "Longest time that a check may take."),
    Flag::one("hostname", WORDS, "NAME", "Host name in the container.").short('h'),
    Flag::switch("init", "Run an init that passes on signals and reaps processes."),
    Flag::switch("interactive", "Keep standard input open.").short('i'),
    Flag::one("io-maxbandwidth", Kind::Bytes, "RATE", "Limit of the system drive (Windows).").unknown_to(&[Podman, Nerdctl]),
    Flag::one("io-maxiops", Kind::Integer, "RATE", "Limit of the system drive (Windows).").unknown_to(&[Podman, Nerdctl]),
    Flag::one("ip", WORDS, "ADDRESS", "IPv4 address in its network."),
    Flag::one("ip6", WORDS, "ADDRESS", "IPv6 address in its network."),
    Flag::one("ipc", WORDS, "MODE", "IPC namespace: private, shareable, host, container:NAME."),
    Flag::one("isolation", WORDS, "KIND", "Kind of isolation (Windows).").unknown_to(&[Podman]),
    Flag::one("kernel-memory", Kind::Bytes, "SIZE", "Limit of kernel memory (no longer in use).").unknown_to(&[Podman]),
    Flag::list("label", Kind::Assignment, "NAME[=VALUE]", "Label of the container.").short('l'),
    Flag::list("label-file", WORDS, "FILE", "File of labels, one in a line."),
    Flag::list("link", WORDS, "CONTAINER[:ALIAS]", "Link to another container (older).").unknown_to(&[Podman, Nerdctl]),
    Flag::list("link-local-ip", WORDS, "ADDRESS", "Link-local address in its network.").unknown_to(&[Nerdctl]),
    Flag::one("log-driver", WORDS, "DRIVER", "Where its output is logged."),
    Flag::list("log-opt", Kind::Assignment, "NAME=VALUE", "Option of the log driver."),
    Flag::one("mac-address", WORDS, "ADDRESS", "MAC address."),
    Flag::one("memory", Kind::Bytes, "SIZE", "Limit of memory, such as 16g.").short('m'),
    Flag::one("memory-reservation", Kind::Bytes, "SIZE", "Memory it is held to when memory gets short."),
    Flag::one("memory-swap", Kind::Bytes, "SIZE", "Limit of memory and swap together; -1: none."),
    Flag::one("memory-swappiness", Kind::Integer, "N", "How readily it is swapped out, 0 to 100."),
    Flag::list("mount", Kind::Mount, "type=TYPE,source=SOURCE,target=DIR", "Mount of a folder (bind), a volume or memory (tmpfs)."),
    Flag::one("name", WORDS, "NAME", "Name of the container."),
    Flag::list("network", WORDS, "NETWORK", "Network to join: bridge, host, none, or a name.").alias("net"),
    Flag::list("network-alias", WORDS, "NAME", "Further name in its network.").alias("net-alias").unknown_to(&[Nerdctl]),
    Flag::switch("no-healthcheck", "Leave out the image's health check."),
    Flag::switch("oom-kill-disable", "Keep the kernel from ending it when memory is out."),
    Flag::one("oom-score-adj", Kind::Integer, "N", "How early it is ended when memory is out, -1000 to 1000."),
    Flag::one("pid", WORDS, "MODE", "PID namespace: host, container:NAME."),
    Flag::one("pids-limit", Kind::Integer, "N", "Limit of processes; -1: none."),
    Flag::one("platform", WORDS, "PLATFORM", "Platform of the image, such as linux/arm64."),
    Flag::switch("privileged", "Take all isolation of devices and capabilities away."),
    Flag::list("publish", Kind::Publish, "[[IP:]PORT:]PORT", "Port of the host that leads to one of the container.").short('p'),
    Flag::switch("publish-all", "Publish every exposed port on a free one.").short('P').unknown_to(&[Nerdctl]),
    Flag::one("pull", Kind::OneOf(&["always", "missing", "never"]), "always|missing|never", "When to pull the image."),
    Flag::switch("quiet", "Don't show how the pull goes.").short('q'),
    Flag::switch("read-only", "Mount the root file system read-only."),
    Flag::one("restart", WORDS, "POLICY", "When to start it again: no, on-failure[:N], always, unless-stopped."),
    Flag::switch("rm", "Remove the container and its anonymous volumes at its end."),
    Flag::one("runtime", WORDS, "RUNTIME", "OCI runtime, such as nvidia."),
    Flag::list("security-opt", WORDS, "OPTION", "Security option, such as no-new-privileges."),
    Flag::one("shm-size", Kind::Bytes, "SIZE", "Size of /dev/shm, such as 8g."),
    Flag::switch("sig-proxy", "Pass signals on to the process (default: true)."),
    Flag::one("stop-signal", WORDS, "SIGNAL", "Signal that stops it."),
    Flag::one("stop-timeout", Kind::Integer, "SECONDS", "Time to stop in before it is killed."),
    Flag::list("storage-opt", Kind::Assignment, "NAME=VALUE", "Option of the storage driver.").unknown_to(&[Podman, Nerdctl]),
    Flag::list("sysctl", Kind::Assignment, "NAME=VALUE", "Kernel parameter of its namespaces."),
    Flag::list("tmpfs", WORDS, "DIR[:OPTIONS]", "Folder in memory."),
    Flag::switch("tty", "Give it a terminal.").short('t'),
    Flag::list("ulimit", Kind::Ulimit, "NAME=SOFT[:HARD]", "Resource limit, such as memlock=-1."),
    Flag::switch("use-api-socket", "Mount Docker's socket and log-ins.").unknown_to(&[Podman, Nerdctl]),
    Flag::one("user", WORDS, "USER[:GROUP]", "User, and group, by name or number.").short('u'),
    Flag::one("userns", WORDS, "MODE", "User namespace, such as host."),
    Flag::one("uts", WORDS, "MODE", "UTS namespace, such as host."),
    Flag::list("volume", Kind::Volume, "[SOURCE:]DIR[:OPTIONS]", "Folder of the host, or volume, to mount.").short('v'),
    Flag::one("volume-driver", WORDS, "DRIVER", "Driver of its volumes.").unknown_to(&[Podman, Nerdctl]),
    Flag::list("volumes-from", WORDS, "CONTAINER", "Mount what another container has mounted."),
    Flag::one("workdir", WORDS, "DIR", "Working directory in the container.").short('w'),
    // mlbuild's own. None has a short form: those are docker's.
    Flag::one("gpu", WORDS, "auto|required|off|IDS", "GPUs: auto (default) takes all if there are any; required fails without; off; or numbers and UUIDs. --gpu alone is required.")
        .bare("required")
        .own(),
    Flag::one("runtime-cli", Kind::OneOf(&["docker", "podman", "nerdctl"]), "docker|podman|nerdctl", "What starts the container; by default the first that answers.").own(),
    Flag::switch("no-defaults", "Leave out what mlbuild adds for machine learning: /dev/shm of 1g, memlock and stack limits, TensorFlow's and XLA's variables, the tracker's key.").own(),
    Flag::switch("no-record", "Write no record of the run into mlbuild.runs.").own(),
    Flag::one("run-id", WORDS, "ID", "Id of the run; otherwise WANDB_RUN_ID, or a new one.").own().not_in_config(),
    Flag::switch("dry-run", "Print what would be started; no daemon is asked and the image keeps its tag.").own().not_in_config(),
    Flag::one("format", Kind::OneOf(&["text", "json", "devcontainer"]), "text|json|devcontainer", "How --dry-run prints: a command line, JSON, or a devcontainer.json.").own().not_in_config(),
    Flag::switch("help", "Print help.").own().not_in_config(),
];

/// The flag with this long name, or this older one.
pub fn find(name: &str) -> Option<&'static Flag> {
    FLAGS
        .iter()
        .find(|flag| flag.name == name || flag.alias == Some(name))
}

/// The flag with this short name.
pub(super) fn find_short(short: char) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.short == Some(short))
}

/// The long name nearest to one that is unknown.
pub fn nearest(name: &str) -> Option<&'static str> {
    let names = FLAGS.iter().map(|flag| flag.name);
    crate::nearest::nearest(name, names)
}
