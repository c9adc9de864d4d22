//! GPUs: whole ones, fractions of one, and MIG slices.

use super::RunaiCli;
use super::line::Line;
use crate::runtime::kubernetes::quantity;
use crate::runtime::kubernetes::resources::{self, AskedGpus, is_slice};
use crate::runtime::options::Setting;
use crate::runtime::value::{Device, Value};

/// What the beginning of a MIG slice's resource is: `nvidia.com/mig-1g.5gb`.
const MIG: &str = "nvidia.com/mig-";

/// What all flags together ask for.
#[derive(Default)]
pub(super) struct Gpus {
    number: usize,
    /// What counts them, where it isn't NVIDIA's plugin.
    resource: Option<String>,
    fraction: Option<Setting>,
    memory: Option<Setting>,
    /// `--runtime nvidia`, which asks for GPUs without a number.
    by_runtime: Option<Setting>,
}

impl Gpus {
    /// Reads a flag; false where it isn't about GPUs.
    pub(super) fn read(&mut self, line: &mut Line, setting: &Setting) -> bool {
        match (&setting.value, setting.flag.name) {
            (Value::Device(device), _) => self.device(line, setting, device),
            (Value::Text(text), "gpus") => self.asked(line, setting, text),
            (Value::Text(text), "runtime") if text == "nvidia" => {
                self.by_runtime = Some(setting.clone());
            }
            (Value::Text(text), "runtime") if text == "runc" => {}
            (Value::Text(text), "gpu-resource") => self.resource(line, setting, text),
            (Value::Text(_), "gpu-fraction") => self.fraction = Some(setting.clone()),
            (Value::Text(_), "gpu-memory") => self.memory = Some(setting.clone()),
            (Value::Assignment(of), "resource") if of.name == resources::NVIDIA => {
                let number = of.value.as_deref().unwrap_or_default();
                match number.parse() {
                    Ok(number) => self.number = number,
                    Err(_) => line.leave_out(setting, "write --gpus N"),
                }
            }
            _ => return false,
        }
        true
    }

    fn asked(&mut self, line: &mut Line, setting: &Setting, text: &str) {
        match resources::asked_gpus(text) {
            AskedGpus::Number(number) => self.number = number as usize,
            AskedGpus::Devices(devices) if devices.iter().any(|id| is_slice(id)) => {
                slice(line, setting)
            }
            AskedGpus::Devices(devices) => {
                self.number = devices.len();
                line.note(setting, NOT_CHOSEN);
            }
            AskedGpus::Unclear => line.leave_out(setting, HOW_MANY),
        }
    }

    fn device(&mut self, line: &mut Line, setting: &Setting, device: &Device) {
        let name = match device {
            Device::Cdi(name) => name,
            // AMD's GPUs as docker is given them.
            Device::Path { host, .. } if host == "/dev/kfd" || host.starts_with("/dev/dri") => {
                self.resource.get_or_insert(resources::AMD.to_owned());
                if self.number == 0 {
                    self.number = 1;
                    line.note(setting, "the line asks for one AMD GPU; for more: --gpus N");
                }
                return;
            }
            Device::Path { .. } => return line.no_such_flag(setting),
        };
        let (kind, id) = name.split_once('=').unwrap_or((name, ""));
        match id {
            _ if !device.is_gpu() => {
                line.leave_out(
                    setting,
                    format!("if a plugin counts them: --resource {kind}=1"),
                );
            }
            "all" => line.leave_out(setting, HOW_MANY),
            id if is_slice(id) => slice(line, setting),
            _ => {
                self.number += 1;
                if kind != resources::NVIDIA {
                    self.resource.get_or_insert(kind.to_owned());
                }
                line.note(setting, NOT_CHOSEN);
            }
        }
    }

    fn resource(&mut self, line: &mut Line, setting: &Setting, text: &str) {
        match text {
            "nvidia" | resources::NVIDIA => self.resource = None,
            "amd" => self.resource = Some(resources::AMD.to_owned()),
            name if name.contains('/') => self.resource = Some(name.to_owned()),
            _ => line.leave_out(
                setting,
                "write nvidia, amd or a resource such as nvidia.com/mig-1g.5gb",
            ),
        }
    }

    /// Writes what is asked for.
    pub(super) fn write(mut self, line: &mut Line) {
        if let Some(setting) = self.by_runtime.take().filter(|_| self.number == 0) {
            let is_shared = self.fraction.is_some() || self.memory.is_some();
            self.number = usize::from(!is_shared);
            if !is_shared {
                line.note(
                    &setting,
                    "docker gives all GPUs; the line asks for one: --gpus N for more",
                );
            }
        }
        if let Some(resource) = self.resource.take() {
            for setting in [self.fraction, self.memory].into_iter().flatten() {
                line.leave_out(&setting, "only of NVIDIA's whole GPUs");
            }
            return counted(line, &resource, self.number.max(1));
        }
        if let Some(setting) = self.memory.take() {
            if let Some(fraction) = &self.fraction {
                line.leave_out(fraction, "--gpu-memory is in the line: one of the two");
            }
            return self.memory(line, &setting);
        }
        match (self.fraction.take(), self.number) {
            (Some(setting), _) => self.fraction(line, &setting),
            (None, 0) => {}
            (None, number) => line.add(whole(line), &number.to_string()),
        }
    }

    fn fraction(&self, line: &mut Line, setting: &Setting) {
        let text = setting.value.to_string();
        if !text
            .parse::<f64>()
            .is_ok_and(|part| part > 0.0 && part < 1.0)
        {
            return line.leave_out(setting, "a fraction is between 0 and 1, such as 0.5");
        }
        match line.cli {
            RunaiCli::Submit if self.number > 1 => {
                line.add("--gpu", &self.number.to_string());
                line.leave_out(setting, "runai submit takes a fraction of one GPU only");
            }
            RunaiCli::Submit => line.add("--gpu", &text),
            RunaiCli::TrainingSubmit => {
                line.add("--gpu-request-type", "portion");
                line.add("--gpu-portion-request", &text);
                self.several(line);
            }
        }
    }

    fn memory(&self, line: &mut Line, setting: &Setting) {
        let Some(bytes) = quantity::bytes(&setting.value.to_string()).filter(|n| *n > 0) else {
            return line.leave_out(setting, "write a size, such as 10g");
        };
        // Run:ai counts in megabytes of 1000² bytes here; what was asked for is there whole.
        let size = format!("{}M", bytes.div_ceil(1_000_000));
        match line.cli {
            RunaiCli::Submit => line.add("--gpu-memory", &size),
            RunaiCli::TrainingSubmit => {
                line.add("--gpu-request-type", "memory");
                line.add("--gpu-memory-request", &size);
                self.several(line);
            }
        }
    }

    fn several(&self, line: &mut Line) {
        if self.number > 1 {
            line.add("--gpu-devices-request", &self.number.to_string());
        }
    }
}

const HOW_MANY: &str = "a workload says how many, because nodes differ: --gpus N";
const NOT_CHOSEN: &str = "the line says how many GPUs; which ones is the node's choice";

fn whole(line: &Line) -> &'static str {
    match line.cli {
        RunaiCli::Submit => "--gpu",
        RunaiCli::TrainingSubmit => "--gpu-devices-request",
    }
}

fn slice(line: &mut Line, setting: &Setting) {
    line.leave_out(
        setting,
        "a slice of a GPU is asked for by its profile: --gpus 1 --gpu-resource nvidia.com/mig-1g.5gb",
    );
}

/// What a device plugin counts.
fn counted(line: &mut Line, resource: &str, number: usize) {
    match (line.cli, resource.strip_prefix(MIG), number) {
        (RunaiCli::Submit, Some(profile), 1) => line.add("--mig-profile", profile),
        _ => line.add("--extended-resource", &format!("{resource}={number}")),
    }
}
