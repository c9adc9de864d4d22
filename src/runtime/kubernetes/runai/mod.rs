//! A [`RunSpec`] as a line of Run:ai's command-line tools that does the same: of the older one,
//! `runai submit`, or of the newer one, `runai training submit`.
//!
//! Flags are those of Run:ai's command references: of the last `runai submit`, and of the newest `runai
//! training submit`. What they have no word for is named, never dropped.

mod gpus;
mod line;
mod storage;

use self::gpus::Gpus;
use self::line::Line;
use super::job_kind::JobKind;
use super::submit_flags::{SubmitFlags, toleration_of};
use super::{flags, quantity, security};
use crate::runtime::options::Setting;
use crate::runtime::render::Rendered;
use crate::runtime::spec::RunSpec;
use crate::runtime::value::{Assignment, Value};

/// A command line of Run:ai.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunaiCli {
    /// The older tool: `runai submit`.
    Submit,
    /// The newer tool: `runai training submit`.
    TrainingSubmit,
}

impl RunaiCli {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Submit, Self::TrainingSubmit];

    /// The words that it begins with.
    fn command(self, workload: Workload) -> &'static str {
        match (self, workload) {
            (Self::Submit, Workload::Standard) => "runai submit",
            (Self::Submit, Workload::PyTorch) => "runai submit-dist pytorch",
            (Self::Submit, Workload::Mpi) => "runai submit-dist mpi",
            (Self::TrainingSubmit, Workload::Standard) => "runai training submit",
            (Self::TrainingSubmit, Workload::PyTorch) => "runai training pytorch submit",
            (Self::TrainingSubmit, Workload::Mpi) => "runai training mpi submit",
        }
    }
}

/// What Run:ai makes of a run: each has a command of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Workload {
    /// One pod.
    Standard,
    /// Several pods, as a PyTorchJob has them: a first one, and workers.
    PyTorch,
    /// A launcher, and workers on which it starts processes.
    Mpi,
}

impl Workload {
    fn of(own: &SubmitFlags) -> Self {
        match own.kind() {
            JobKind::MpiJob => Self::Mpi,
            _ if own.nodes() > 1 => Self::PyTorch,
            _ => Self::Standard,
        }
    }
}

/// What mlbuild itself, or docker's client, does with a flag: the workload is the same without it.
const OF_CLIENTS: [&str; 13] = [
    "name",
    "format",
    "dry-run",
    "output",
    "run-id",
    "trust",
    "help",
    "no-defaults",
    "no-record",
    "data",
    "data-hash",
    "sig-proxy",
    // Read before, into `env` and `label`.
    "env-file",
];

/// The words of the command. Variables have their values already; those without one are named.
pub fn runai(spec: &RunSpec, own: &SubmitFlags, cli: RunaiCli) -> Rendered<Vec<String>> {
    let mut line = Line::new(cli, Workload::of(own));
    match (spec.options.text("name"), cli) {
        (Some(name), RunaiCli::TrainingSubmit) => line.words.push(name.to_owned()),
        (Some(name), RunaiCli::Submit) => line.add("--name", name),
        // It takes no line without a name; with a prefix it counts.
        (None, RunaiCli::TrainingSubmit) => line.add("--name-prefix", &prefix(&spec.image)),
        (None, RunaiCli::Submit) => {}
    }
    line.add("--image", &spec.image);
    match line.workload {
        Workload::Standard => {}
        // The first pod isn't counted.
        Workload::PyTorch => line.add("--workers", &(own.nodes() - 1).to_string()),
        Workload::Mpi => line.add("--workers", &own.nodes().to_string()),
    }
    let mut gpus = Gpus::default();
    for setting in spec.options.iter().chain(own.options().iter()) {
        if !gpus.read(&mut line, setting) {
            apply(&mut line, setting);
        }
    }
    gpus.write(&mut line);
    line.finish(&spec.command)
}

/// The image's own name, as a workload may be called.
fn prefix(image: &str) -> String {
    let name = image.split('@').next().unwrap_or(image);
    let last = name.rsplit('/').next().unwrap_or(name);
    let plain: String = last
        .split(':')
        .next()
        .unwrap_or(last)
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(40)
        .collect();
    let plain = plain.trim_matches(|c: char| c == '-' || c.is_ascii_digit());
    if plain.is_empty() { "mlbuild" } else { plain }.to_owned()
}

fn apply(line: &mut Line, setting: &Setting) {
    let name = setting.flag.name;
    if OF_CLIENTS.contains(&name) || flags::CLIENTS.contains(&name) || name == "label-file" {
        return;
    }
    match &setting.value {
        Value::Bool(false) => {}
        Value::Bool(true) => switched_on(line, setting),
        Value::Assignment(assignment) => assigned(line, setting, assignment),
        Value::Volume(volume) => storage::volume(line, setting, volume),
        Value::Mount(mount) => storage::mount(line, setting, mount),
        Value::Publish(port) => {
            let ports = match &port.host {
                Some(host) => format!("{host}:{}", port.container),
                None => format!("{0}:{0}", port.container),
            };
            let forward = line.pick("runai port-forward", "runai training port-forward");
            let why = format!(
                "no port of a machine leads to a workload; once it runs: {forward} NAME --port {ports}"
            );
            line.leave_out(setting, why);
        }
        Value::Text(text) => said(line, setting, text),
        Value::Device(_) | Value::Ulimit(_) => line.no_such_flag(setting),
    }
}

fn switched_on(line: &mut Line, setting: &Setting) {
    match setting.flag.name {
        "interactive" | "tty" if line.is_mpi_training() => line.no_such_flag(setting),
        "interactive" => line.switch("--stdin"),
        "tty" => line.switch("--tty"),
        // Removed with its log at once, it would tell nobody how it ended.
        "rm" => {
            let flag = line.pick(
                "--ttl-after-finish",
                "--auto-deletion-time-after-completion",
            );
            line.add(flag, "1h");
        }
        "local-image" => line.pull = Some("Never"),
        "privileged" if line.cli == RunaiCli::TrainingSubmit => line.switch("--privileged"),
        _ => line.no_such_flag(setting),
    }
}

fn assigned(line: &mut Line, setting: &Setting, assignment: &Assignment) {
    let Assignment { name, value } = assignment;
    match (setting.flag.name, value) {
        ("env", Some(value)) => {
            // The newer tool's --environment names something else since 2.21; -e is the same in all.
            let flag = line.pick("--environment", "-e");
            line.add(flag, &format!("{name}={value}"));
        }
        ("env", None) => line.leave_out(setting, "it has no value here"),
        ("label" | "annotation", value) => {
            let value = value.as_deref().unwrap_or_default();
            line.add(&setting.flag.to_string(), &format!("{name}={value}"));
        }
        ("node-selector", Some(value)) if name == "run.ai/type" => line.add("--node-type", value),
        ("node-selector", _) => {
            line.leave_out(
                setting,
                "nodes are chosen by run.ai/type alone, or by --node-pools",
            );
        }
        ("resource", Some(number)) => {
            line.add("--extended-resource", &format!("{name}={number}"));
        }
        ("secret-env", Some(place)) => secret_variable(line, setting, name, place),
        _ => line.no_such_flag(setting),
    }
}

/// `--secret-env NAME=SECRET[:KEY]`.
fn secret_variable(line: &mut Line, setting: &Setting, name: &str, place: &str) {
    let (secret, key) = place.split_once(':').unwrap_or((place, name));
    if secret.contains(',') || key.contains(',') {
        return line.leave_out(setting, "no Secret and no key has a `,` in its name");
    }
    match line.cli {
        RunaiCli::Submit => line.add("--environment", &format!("{name}=SECRET:{secret},{key}")),
        RunaiCli::TrainingSubmit => {
            line.add("--env-secret", &format!("{name}={secret},key={key}"));
        }
    }
}

/// Flags whose value is passed on as it is: docker's, `runai submit`'s, `runai training submit`'s.
const PASSED_ON: [(&str, &str, &str); 3] = [
    ("workdir", "--working-dir", "--working-dir"),
    ("cpus", "--cpu-limit", "--cpu-core-limit"),
    ("namespace", "--project", "--project"),
];

fn said(line: &mut Line, setting: &Setting, text: &str) {
    let name = setting.flag.name;
    if let Some((_, submit, training)) = PASSED_ON.iter().find(|(flag, ..)| *flag == name) {
        let flag = line.pick(submit, training);
        // Run:ai's namespaces are its projects' names with this before them.
        let text = match name {
            "namespace" => text.strip_prefix("runai-").unwrap_or(text),
            _ => text,
        };
        return line.add(flag, text);
    }
    match name {
        "shm-size" => {
            line.switch("--large-shm");
            line.note(
                setting,
                "--large-shm has no size: it may grow to what the node has",
            );
        }
        "ipc" | "network" if text == "host" => line.switch(&format!("--host-{name}")),
        "network" if matches!(text, "bridge" | "default") => {}
        "ipc" | "cgroupns" if matches!(text, "" | "private" | "shareable") => {}
        "user" => user(line, setting, text),
        "group-add" => match (text.parse::<u32>(), line.cli) {
            (Ok(group), RunaiCli::TrainingSubmit) => line.groups.push(group),
            (Err(_), RunaiCli::TrainingSubmit) => {
                line.leave_out(setting, "groups are numbers there")
            }
            _ => line.no_such_flag(setting),
        },
        "cap-add" => {
            let flag = line.pick("--add-capability", "--capability");
            line.add(flag, &security::capability_name(text));
        }
        "security-opt" => security_option(line, setting, text),
        "nfs" => storage::nfs(line, setting, text),
        "entrypoint" if !text.is_empty() => line.entrypoint = Some(text.to_owned()),
        "entrypoint" => line.leave_out(setting, "an image's entry point can't be taken away"),
        "cpu-quota" => line.cpu_quota = text.parse().ok(),
        "cpu-period" => line.cpu_period = text.parse().ok(),
        // 1024 shares are one processor, as the kubelet has it.
        "cpu-shares" => {
            let cores = text.parse::<f64>().unwrap_or_default() / 1024.0;
            line.cores(line.pick("--cpu", "--cpu-core-request"), cores);
        }
        "memory" => line.size(
            setting,
            line.pick("--memory-limit", "--cpu-memory-limit"),
            text,
        ),
        "memory-reservation" => {
            line.size(setting, line.pick("--memory", "--cpu-memory-request"), text)
        }
        "pull" => {
            line.pull.get_or_insert(match text {
                "always" => "Always",
                "never" => "Never",
                _ => "IfNotPresent",
            });
        }
        "restart" => restart(line, setting, text),
        "stop-timeout" if line.cli == RunaiCli::TrainingSubmit && !text.starts_with(['-', '0']) => {
            line.add("--termination-grace-period", &format!("{text}s"));
        }
        // It is in the number of workers.
        "nodes" => {}
        "kind" => kind(line, setting, text),
        "port-forward" => {
            let forward = line.pick("runai port-forward", "runai training port-forward");
            line.leave_out(
                setting,
                format!("once it runs: {forward} NAME --port {text}"),
            );
        }
        "code" => line.leave_out(
            setting,
            "Run:ai takes no code from here: put it into an image, or use its --git-sync",
        ),
        "idle-stop" => line.leave_out(
            setting,
            "Run:ai's administrators set how long a project's workloads may be idle",
        ),
        "array" | "parallelism" => line.leave_out(
            setting,
            "a line of Run:ai's is one workload: write one for each point, with its values",
        ),
        "nproc-per-node" if line.workload == Workload::Mpi && text.parse::<u32>().is_ok() => {
            line.add("--slots-per-worker", text);
        }
        "ttl" => {
            let flag = line.pick(
                "--ttl-after-finish",
                "--auto-deletion-time-after-completion",
            );
            line.add(flag, text);
        }
        "node-pool" => line.add("--node-pools", text),
        "launcher" if text == "none" => {}
        "launcher" => line.leave_out(setting, format!("write {text} before the command")),
        "toleration" => toleration(line, setting, text),
        "tmpfs" => storage::tmpfs(line, setting, text),
        "priority-class" => priority(line, setting, text),
        "context" | "kubeconfig" => {
            line.leave_out(setting, "runai has its own log-in: runai login")
        }
        "queue" => line.leave_out(
            setting,
            "Run:ai has projects for Kueue's queues: --namespace runai-PROJECT",
        ),
        _ => line.no_such_flag(setting),
    }
}

/// `--kind`, which has chosen the command.
fn kind(line: &mut Line, setting: &Setting, text: &str) {
    match (text, line.workload) {
        ("jobset", _) => line.leave_out(
            setting,
            "Run:ai has no JobSets; several nodes are a PyTorch workload there",
        ),
        ("pytorchjob", Workload::Standard) => {
            line.leave_out(setting, "one node is a standard workload there");
        }
        _ => {}
    }
}

fn user(line: &mut Line, setting: &Setting, text: &str) {
    if line.cli == RunaiCli::Submit {
        return line.leave_out(
            setting,
            "runai submit runs as root or, with --run-as-user, as who submits: add it where that is meant",
        );
    }
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    if !is_number(user) || !group.is_none_or(is_number) {
        return line.leave_out(setting, "users and groups are numbers there: -u 1000:1000");
    }
    line.add("--run-as-uid", user);
    if let Some(group) = group {
        line.add("--run-as-gid", group);
    }
}

fn security_option(line: &mut Line, setting: &Setting, text: &str) {
    let (key, value) = text.split_once(['=', ':']).unwrap_or((text, ""));
    match (key, value, line.cli) {
        ("no-new-privileges", "false", _) => line.switch("--allow-privilege-escalation"),
        ("no-new-privileges", ..) => line.note(
            setting,
            "the line has no --allow-privilege-escalation; beyond that the project's policy decides",
        ),
        ("seccomp", "unconfined", RunaiCli::TrainingSubmit) => line.add("--seccomp-profile", "Unconfined"),
        ("seccomp", "builtin", RunaiCli::TrainingSubmit) => line.add("--seccomp-profile", "RuntimeDefault"),
        _ => line.no_such_flag(setting),
    }
}

fn restart(line: &mut Line, setting: &Setting, policy: &str) {
    match policy.split_once(':') {
        // Run:ai's own default is six times.
        _ if policy == "on-failure" => line.add("--backoff-limit", "6"),
        _ if matches!(policy, "no" | "") => {}
        Some(("on-failure", times)) if times.parse::<u32>().is_ok() => {
            line.add("--backoff-limit", times);
        }
        _ => line.leave_out(setting, "a training workload ends"),
    }
}

/// Run:ai has priorities of its own, by these names.
const PRIORITIES: [&str; 7] = [
    "very-low",
    "low",
    "medium-low",
    "medium",
    "medium-high",
    "high",
    "very-high",
];

fn priority(line: &mut Line, setting: &Setting, text: &str) {
    match line.cli {
        RunaiCli::Submit => line.no_such_flag(setting),
        RunaiCli::TrainingSubmit if PRIORITIES.contains(&text) => line.add("--priority", text),
        RunaiCli::TrainingSubmit => {
            let why = format!("Run:ai's priorities are {}", PRIORITIES.join(", "));
            line.leave_out(setting, why);
        }
    }
}

fn toleration(line: &mut Line, setting: &Setting, text: &str) {
    let Some(taint) = toleration_of(text) else {
        return line.leave_out(setting, "write KEY=VALUE:EFFECT");
    };
    let parts = [
        ("operator", taint.operator),
        ("key", taint.key),
        ("value", taint.value),
        ("effect", taint.effect),
    ];
    let parts = parts
        .into_iter()
        .filter_map(|(key, part)| Some(format!("{key}={}", part?)));
    let parts: Vec<String> = parts.collect();
    line.add("--toleration", &parts.join(","));
}

#[cfg(test)]
mod tests;
