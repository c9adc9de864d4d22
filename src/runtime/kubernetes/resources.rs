//! GPUs, processors and memory.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::draft::Draft;
use super::quantity;
use crate::runtime::value::Device;

/// What counts NVIDIA's GPUs.
pub(super) const NVIDIA: &str = "nvidia.com/gpu";
/// What counts AMD's.
pub(super) const AMD: &str = "amd.com/gpu";

const NOT_CHOSEN: &str =
    "Kubernetes hands out GPUs by number, not by index: which ones is the node's choice";

/// `--gpus`.
pub(super) fn gpus(draft: &mut Draft, text: &str) {
    // Docker reads it as one line of comma-separated values; a list of devices is quoted.
    let bare = text.replace('"', "");
    let mut number = None;
    let mut devices: Option<Vec<&str>> = None;
    for field in bare.split(',') {
        match (field.split_once('='), &mut devices) {
            (Some(("count", count)), _) => number = Some(count),
            (Some(("device", first)), _) => devices = Some(vec![first]),
            (Some(("capabilities" | "driver" | "options", _)), _) => {}
            (None, Some(list)) => list.push(field),
            (None, None) => number = number.or(Some(field)),
            (Some(_), _) => {
                return draft.refuse(
                    "--gpus",
                    format!("`{text}` isn't understood; write --gpus N"),
                );
            }
        }
    }
    if let Some(list) = devices {
        draft.warn("--gpus", NOT_CHOSEN);
        let number = u32::try_from(list.len()).unwrap_or(u32::MAX);
        draft.gpus = Some((number, "--gpus".to_owned()));
        return;
    }
    match number.map(str::parse::<u32>) {
        Some(Ok(0)) => {}
        Some(Ok(number)) => draft.gpus = Some((number, "--gpus".to_owned())),
        _ => draft.refuse(
            "--gpus",
            format!("`{text}`: a Job says how many, because nodes differ; write --gpus 1"),
        ),
    }
}

/// `--device`.
pub(super) fn device(draft: &mut Draft, device: &Device) {
    let name = match device {
        Device::Cdi(name) => name,
        Device::Path { host, .. } => return device_node(draft, host),
    };
    let (kind, id) = name.split_once('=').unwrap_or((name, ""));
    if !device.is_gpu() {
        return draft.refuse(
            format!("--device {name}"),
            format!(
                "Kubernetes takes devices by number; if a plugin counts them: --resource {kind}=1"
            ),
        );
    }
    if id == "all" {
        return draft.refuse(
            format!("--device {name}"),
            "a Job says how many, because nodes differ; write --gpus 1".to_owned(),
        );
    }
    draft.warn(format!("--device {name}"), NOT_CHOSEN);
    draft.gpu_resource.get_or_insert(kind.to_owned());
    let before = draft.gpus.as_ref().map_or(0, |(number, _)| *number);
    draft.gpus = Some((before + 1, "--device".to_owned()));
}

fn device_node(draft: &mut Draft, path: &str) {
    // AMD's GPUs as docker is given them.
    if path == "/dev/kfd" || path == "/dev/dri" || path.starts_with("/dev/dri/") {
        draft.gpu_resource.get_or_insert(AMD.to_owned());
        if draft.gpus.is_none() {
            draft.gpus = Some((1, "--device".to_owned()));
            draft.warn(
                format!("--device {path}"),
                "it asks for one AMD GPU here; for more: --gpus N --gpu-resource amd",
            );
        }
        return;
    }
    draft.refuse(
        format!("--device {path}"),
        "Kubernetes gives devices through plugins: --resource NAME=N; or a privileged container: \
         --privileged -v /dev:/dev",
    );
}

/// `--runtime`.
pub(super) fn runtime(draft: &mut Draft, name: &str) {
    match name {
        "runc" | "io.containerd.runc.v2" => {}
        "nvidia" => {
            if draft.gpus.is_none() {
                draft.gpus = Some((1, "--runtime".to_owned()));
                draft.warn(
                    "--runtime nvidia",
                    "docker gives all GPUs of the machine; the Job asks for one: --gpus N for more",
                );
            }
        }
        class => draft.pod.runtime_class_name = Some(class.to_owned()),
    }
}

impl Draft {
    /// Writes down the GPUs, when all flags are read.
    pub(super) fn count_gpus(&mut self) {
        if let Some((number, _)) = self.gpus.take() {
            let resource = self
                .gpu_resource
                .take()
                .unwrap_or_else(|| NVIDIA.to_owned());
            let number = Quantity(number.to_string());
            self.limits.insert(resource, number);
        }
    }

    /// `--cpu-quota` in each `--cpu-period`.
    pub(super) fn count_processors(&mut self) {
        if let Some(quota) = self.cpu_quota.filter(|quota| *quota > 0) {
            #[allow(clippy::cast_precision_loss)]
            let number = quota as f64 / self.cpu_period.unwrap_or(100_000).max(1) as f64;
            let number = quantity::of_processors(number);
            self.limits.entry("cpu".to_owned()).or_insert(number);
        }
    }
}
