//! Packages that compute on other devices than GPUs of NVIDIA and AMD: named, and never taken for CUDA.

use std::sync::LazyLock;

use serde::Deserialize;

use super::inputs::Inputs;
use super::{Warning, frameworks, gpus};
use crate::project::Wanted;
use crate::spec::{ImageSpec, TemplateName};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    device: Vec<Device>,
}

/// A kind of device and the packages for it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Device {
    /// Names, or names with an extra (`jax[tpu]`).
    packages: Vec<String>,
    /// What they compute on.
    computes_on: String,
    /// What is to be done.
    next: String,
    /// Whether they mean that no CUDA is wanted.
    #[serde(default)]
    decides: bool,
    /// Whether the image has all that they need, so that nothing is to be warned of.
    #[serde(default)]
    complete: bool,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    toml::from_str(include_str!("../../data/compat/devices.toml")).expect("the table is checked")
});

/// What asks for another device: its name, its place, and the device.
type Found = (String, String, &'static Device);

/// All that ask for one, each device once.
fn all(spec: &ImageSpec, inputs: &Inputs) -> Vec<Found> {
    // A lock of uv has the packages of every extra and system.
    let wanted = match (&inputs.synced, &inputs.direct) {
        (Some(_), direct) => direct.as_deref().unwrap_or_default(),
        (None, _) => &inputs.wanted,
    };
    let mut found: Vec<Found> = Vec::new();
    let torch = frameworks::find(spec, inputs)
        .into_iter()
        .find(|f| f.name == "torch");
    let of_build = torch
        .filter(|torch| torch.build.as_deref() == Some("xpu"))
        .map(|torch| ("torch[xpu]".to_owned(), torch.wanted.origin));
    for device in &TABLE.device {
        let asked = wanted.iter().find_map(|wanted| {
            let named = device.packages.iter().find(|row| is_one(row, wanted))?;
            Some((named.clone(), wanted.origin.clone()))
        });
        let built = of_build
            .clone()
            .filter(|(name, _)| device.packages.contains(name));
        if let Some((name, origin)) = asked.or(built) {
            let name = match name.as_str() {
                "torch[xpu]" => "PyTorch's build xpu".to_owned(),
                _ => name,
            };
            found.push((name, origin, device));
        }
    }
    found
}

fn is_one(row: &str, wanted: &Wanted) -> bool {
    match row.trim_end_matches(']').split_once('[') {
        Some((name, extra)) => wanted.name == name && wanted.extras.iter().any(|e| e == extra),
        // What `mlx` has for Linux, and rows with the extra.
        None => {
            let is_other =
                |extra: &String| extra == "cpu" || extra == "tpu" || extra.starts_with("cuda");
            wanted.name == row && !wanted.extras.iter().any(is_other)
        }
    }
}

/// The package that decides that the image is made without CUDA, where nobody says what it is made for and nothing
/// means a GPU of NVIDIA.
pub(super) fn deciding(spec: &ImageSpec, inputs: &Inputs) -> Option<(String, String)> {
    let is_open = spec.gpu.is_none() && spec.base.is_none() && spec.template != TemplateName::Cuda;
    if !is_open || gpus::find(inputs).is_some() {
        return None;
    }
    let mut found = all(spec, inputs).into_iter();
    let (name, origin, _) = found.find(|(_, _, device)| device.decides)?;
    Some((name, origin))
}

/// What is to be said of them: what the image lacks as warnings, the rest as notes. Who names a base or an
/// accelerator knows.
pub(super) fn said(spec: &ImageSpec, inputs: &Inputs, notes: &mut Vec<String>) -> Vec<Warning> {
    if spec.base.is_some() || spec.gpu.is_some() {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    for (name, origin, device) in all(spec, inputs) {
        let message = format!("{name} ({origin}) computes on {}", device.computes_on);
        match device.complete {
            true => notes.push(format!("{message}: {}", device.next)),
            false => warnings.push(Warning {
                message: format!("{message}, and no image here is made for that"),
                hint: Some(device.next.clone()),
            }),
        }
    }
    warnings
}
