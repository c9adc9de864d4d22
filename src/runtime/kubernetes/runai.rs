//! A [`RunSpec`] as the line of `runai submit` that does the same, for clusters with Run:ai.

use super::quantity;
use super::submit_flags::SubmitFlags;
use crate::runtime::options::Setting;
use crate::runtime::render::{LeftOut, Rendered};
use crate::runtime::spec::RunSpec;
use crate::runtime::value::{Assignment, Device, Mount, Value, Volume};

/// The words of the command.
pub fn runai(spec: &RunSpec, flags: &SubmitFlags, name: Option<&str>) -> Rendered<Vec<String>> {
    let mut line = Line::default();
    line.words.extend(["runai", "submit"].map(str::to_owned));
    if let Some(name) = name {
        line.words.push(name.to_owned());
    }
    line.add("--image", &spec.image);
    for setting in spec.options.iter().chain(flags.options().iter()) {
        line.flag(setting);
    }
    match (line.entrypoint.take(), spec.command.is_empty()) {
        (Some(program), _) => {
            line.words.extend(["--command", "--"].map(str::to_owned));
            line.words.push(program);
        }
        (None, false) => line.words.push("--".to_owned()),
        (None, true) => {}
    }
    line.words.extend(spec.command.iter().cloned());
    Rendered {
        form: line.words,
        left_out: line.left_out,
    }
}

#[derive(Default)]
struct Line {
    words: Vec<String>,
    entrypoint: Option<String>,
    has_gpus: bool,
    left_out: Vec<LeftOut>,
}

impl Line {
    fn add(&mut self, flag: &str, value: &str) {
        self.words.extend([flag.to_owned(), value.to_owned()]);
    }

    fn switch(&mut self, flag: &str) {
        if !self.words.iter().any(|word| word == flag) {
            self.words.push(flag.to_owned());
        }
    }

    fn leave_out(&mut self, setting: &Setting, why: &str) {
        self.left_out.push(LeftOut {
            what: setting.word(),
            why: why.to_owned(),
        });
    }

    fn gpus(&mut self, number: usize) {
        if !self.has_gpus {
            self.has_gpus = true;
            self.add("--gpu", &number.to_string());
        }
    }

    fn flag(&mut self, setting: &Setting) {
        match &setting.value {
            Value::Bool(false) => {}
            Value::Bool(true) => self.on(setting),
            Value::Assignment(assignment) => self.assigned(setting, assignment),
            Value::Volume(volume) => self.volume(setting, volume),
            Value::Mount(mount) => self.mount(setting, mount),
            Value::Device(device) if device.is_gpu() => {
                let all = matches!(device, Device::Cdi(name) if name.ends_with("=all"));
                if all {
                    self.leave_out(setting, "say how many GPUs: --gpus N")
                } else {
                    self.gpus(1)
                }
            }
            Value::Publish(port) => match &port.host {
                Some(host) => {
                    let ports = format!("{host}:{}", port.container);
                    self.add("--port", &ports);
                }
                None => self.add("--port", &port.container),
            },
            Value::Text(text) => self.said(setting, text),
            _ => self.leave_out(setting, "runai submit has no such flag"),
        }
    }

    fn on(&mut self, setting: &Setting) {
        match setting.flag.name {
            "interactive" | "tty" => self.switch("--interactive"),
            "local-image" => self.switch("--local-image"),
            // How mlbuild is told to print this line, and what the client alone does.
            "rm" | "detach" | "quiet" | "no-defaults" | "no-record" => {}
            _ => self.leave_out(setting, "runai submit has no such flag"),
        }
    }

    fn assigned(&mut self, setting: &Setting, assignment: &Assignment) {
        match (setting.flag.name, &assignment.value) {
            ("env", Some(value)) => {
                self.add("--environment", &format!("{}={value}", assignment.name))
            }
            ("env", None) => self.add("--environment", &format!("{0}=${0}", assignment.name)),
            ("node-selector", Some(value)) if assignment.name == "run.ai/type" => {
                self.add("--node-type", value)
            }
            _ => self.leave_out(setting, "runai submit has no such flag"),
        }
    }

    fn volume(&mut self, setting: &Setting, volume: &Volume) {
        let is_claim = volume
            .source
            .as_deref()
            .is_some_and(|source| !source.starts_with('/'));
        match setting.flag.name {
            "secret" => self.leave_out(setting, "runai submit has no such flag"),
            _ if volume.source.is_none() => self.leave_out(setting, "it mounts what has a name"),
            _ if is_claim => self.add("--pvc", &volume.to_string()),
            _ => self.add("--volume", &volume.to_string()),
        }
    }

    fn mount(&mut self, setting: &Setting, mount: &Mount) {
        match (
            mount.kind.as_str(),
            mount.options.is_empty() && mount.source.is_some(),
        ) {
            ("bind", true) => self.add("--volume", &mount.as_volume()),
            ("volume", true) => self.add("--pvc", &mount.as_volume()),
            _ => self.leave_out(setting, "runai submit has no such mount"),
        }
    }

    fn said(&mut self, setting: &Setting, text: &str) {
        let size = || quantity::bytes(text).map(|bytes| quantity::of_bytes(bytes).0);
        match setting.flag.name {
            "gpus" => {
                let devices = text
                    .split_once("device=")
                    .map(|(_, list)| list.split(',').count());
                let number = text.strip_prefix("count=").unwrap_or(text).parse().ok();
                match devices.or(number) {
                    Some(number) => self.gpus(number),
                    None => self.leave_out(setting, "say how many: --gpus N"),
                }
            }
            "runtime" if text == "nvidia" => self.gpus(1),
            "shm-size" => self.switch("--large-shm"),
            "ipc" if text == "host" => self.switch("--host-ipc"),
            "network" if text == "host" => self.switch("--host-network"),
            "user" => {
                // It takes the id of whoever calls it.
                self.switch("--run-as-user");
                self.leave_out(
                    setting,
                    "--run-as-user takes the user who submits; this number isn't in the line",
                );
            }
            "workdir" => self.add("--working-dir", text),
            "entrypoint" => self.entrypoint = Some(text.to_owned()),
            "cpus" => self.add("--cpu-limit", text),
            "memory" => {
                if let Some(size) = size() {
                    self.add("--memory-limit", &size);
                }
            }
            "memory-reservation" => {
                if let Some(size) = size() {
                    self.add("--memory", &size);
                }
            }
            "pull" => {
                let policy = match text {
                    "always" => "Always",
                    "never" => "Never",
                    _ => "IfNotPresent",
                };
                self.add("--image-pull-policy", policy);
            }
            "namespace" => self.add("--project", text.strip_prefix("runai-").unwrap_or(text)),
            "restart" if text.starts_with("on-failure:") => {
                self.add("--backoff-limit", &text["on-failure:".len()..]);
            }
            "name" | "context" | "kubeconfig" | "format" | "run-id" | "dry-run" | "output" => {}
            _ => self.leave_out(setting, "runai submit has no such flag"),
        }
    }
}
