//! GPUs, processors and memory.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::job_builder::JobBuilder;
use super::quantity;
use crate::runtime::value::Device;

/// What counts NVIDIA's GPUs.
pub(super) const NVIDIA: &str = "nvidia.com/gpu";
/// What counts AMD's.
pub(super) const AMD: &str = "amd.com/gpu";

const NOT_CHOSEN: &str =
    "Kubernetes hands out GPUs by number, not by index: which ones is the node's choice";

/// What `--gpus` asks for.
pub(super) enum AskedGpus {
    /// So many.
    Number(u32),
    /// Those of one machine, by number or UUID.
    Devices(Vec<String>),
    /// All, or something that isn't understood.
    Unclear,
}

/// Reads the value of `--gpus`: as docker does, one line of comma-separated values in which a list of
/// devices is quoted.
pub(super) fn asked_gpus(text: &str) -> AskedGpus {
    let bare = text.replace('"', "");
    let mut number = None;
    let mut devices: Option<Vec<String>> = None;
    for field in bare.split(',') {
        match (field.split_once('='), &mut devices) {
            (Some(("count", count)), _) => number = Some(count),
            (Some(("device", first)), _) => devices = Some(vec![first.to_owned()]),
            (Some(("capabilities" | "driver" | "options", _)), _) => {}
            (None, Some(list)) => list.push(field.to_owned()),
            (None, None) => number = number.or(Some(field)),
            (Some(_), _) => return AskedGpus::Unclear,
        }
    }
    match (devices, number.map(str::parse)) {
        (Some(list), _) => AskedGpus::Devices(list),
        (None, Some(Ok(number))) => AskedGpus::Number(number),
        _ => AskedGpus::Unclear,
    }
}

/// `--gpus`.
pub(super) fn gpus(builder: &mut JobBuilder, text: &str) {
    match asked_gpus(text) {
        AskedGpus::Devices(list) => {
            if list.iter().any(|device| is_slice(device)) {
                builder.slice = Some(format!("--gpus={text}"));
            }
            builder.warn("--gpus", NOT_CHOSEN);
            let number = u32::try_from(list.len()).unwrap_or(u32::MAX);
            builder.gpus = Some((number, "--gpus".to_owned()));
        }
        AskedGpus::Number(0) => {}
        AskedGpus::Number(number) => builder.gpus = Some((number, "--gpus".to_owned())),
        AskedGpus::Unclear => builder.refuse(
            "--gpus",
            format!("`{text}`: a Job says how many, because nodes differ; write --gpus 1"),
        ),
    }
}

/// Whether docker would give a slice of a GPU, by its place (`0:1`) or its UUID.
pub(super) fn is_slice(device: &str) -> bool {
    device.contains(':') || device.starts_with("MIG-")
}

/// A slice counts as what the cluster calls its profile, and not as a GPU.
pub(super) fn check_slices(builder: &mut JobBuilder) {
    let resource = builder.gpu_resource.as_deref().unwrap_or(NVIDIA);
    let is_slice = resource.starts_with("nvidia.com/mig-");
    if let Some(flag) = builder.slice.take().filter(|_| !is_slice) {
        builder.refuse(
            flag,
            "it is a slice of a GPU, and a cluster counts slices by their profile; write --gpus 1 \
             --gpu-resource nvidia.com/mig-1g.5gb, or whichever kubectl describe nodes shows",
        );
    }
}

/// `--device`.
pub(super) fn device(builder: &mut JobBuilder, device: &Device) {
    let name = match device {
        Device::Cdi(name) => name,
        Device::Path { host, .. } => return device_node(builder, host),
    };
    let (kind, id) = name.split_once('=').unwrap_or((name, ""));
    if !device.is_gpu() {
        return builder.refuse(
            format!("--device {name}"),
            format!(
                "Kubernetes takes devices by number; if a plugin counts them: --resource {kind}=1"
            ),
        );
    }
    if id == "all" {
        return builder.refuse(
            format!("--device {name}"),
            "a Job says how many, because nodes differ; write --gpus 1".to_owned(),
        );
    }
    if is_slice(id) {
        builder.slice = Some(format!("--device={name}"));
    }
    builder.warn(format!("--device {name}"), NOT_CHOSEN);
    builder.gpu_resource.get_or_insert(kind.to_owned());
    let before = builder.gpus.as_ref().map_or(0, |(number, _)| *number);
    builder.gpus = Some((before + 1, "--device".to_owned()));
}

fn device_node(builder: &mut JobBuilder, path: &str) {
    // AMD's GPUs as docker is given them.
    if path == "/dev/kfd" || path == "/dev/dri" || path.starts_with("/dev/dri/") {
        builder.gpu_resource.get_or_insert(AMD.to_owned());
        if builder.gpus.is_none() {
            builder.gpus = Some((1, "--device".to_owned()));
            builder.warn(
                format!("--device {path}"),
                "it asks for one AMD GPU here; for more: --gpus N --gpu-resource amd",
            );
        }
        return;
    }
    builder.refuse(
        format!("--device {path}"),
        "Kubernetes gives devices through plugins: --resource NAME=N; or a privileged container: \
         --privileged -v /dev:/dev",
    );
}

/// `--runtime`.
pub(super) fn runtime(builder: &mut JobBuilder, name: &str) {
    match name {
        "runc" | "io.containerd.runc.v2" => {}
        "nvidia" => {
            if builder.gpus.is_none() {
                builder.gpus = Some((1, "--runtime".to_owned()));
                builder.warn(
                    "--runtime nvidia",
                    "docker gives all GPUs of the machine; the Job asks for one: --gpus N for more",
                );
            }
        }
        class => builder.pod.runtime_class_name = Some(class.to_owned()),
    }
}

impl JobBuilder {
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
