//! How a runtime is asked for GPUs.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// The program that starts containers, with what it says of itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Runtime {
    /// Docker, with the answer of `GET /info` where the daemon could be asked.
    Docker(Option<Value>),
    /// Podman, version where known.
    Podman(Option<String>),
    /// nerdctl over containerd.
    Nerdctl,
    /// Apptainer, which looks for the driver's files itself.
    Apptainer,
}

impl Runtime {
    /// The folders of CDI specifications that the runtime names; `None` where it names none, empty
    /// where CDI is switched off.
    pub(super) fn cdi_folders(&self) -> Option<Vec<String>> {
        let Self::Docker(Some(info)) = self else {
            return None;
        };
        let folders = info.get("CDISpecDirs")?.as_array()?;
        Some(
            folders
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        )
    }

    /// Whether the daemon itself lists a device of this name (Docker, API 1.50 or newer).
    pub(super) fn discovered(&self, device: &str) -> bool {
        let Self::Docker(Some(info)) = self else {
            return false;
        };
        let devices = info.get("DiscoveredDevices").and_then(Value::as_array);
        devices.into_iter().flatten().any(|d| {
            d.get("Source").and_then(Value::as_str) == Some("cdi")
                && d.get("ID").and_then(Value::as_str) == Some(device)
        })
    }

    /// The request for all GPUs as far as the daemon itself tells of them: for one on another
    /// machine, whose files can't be read.
    pub fn told(&self) -> Option<GpuRequest> {
        let cdi = ["nvidia.com/gpu=all", "amd.com/gpu=all"];
        match cdi.into_iter().find(|device| self.discovered(device)) {
            Some(device) => Some(GpuRequest::Cdi {
                device: device.to_owned(),
            }),
            None => self.has_oci_runtime("nvidia").then_some(GpuRequest::Gpus),
        }
    }

    /// Whether an OCI runtime of this name is configured.
    pub(super) fn has_oci_runtime(&self, name: &str) -> bool {
        let Self::Docker(Some(info)) = self else {
            return false;
        };
        info.get("Runtimes").and_then(|r| r.get(name)).is_some()
    }

    /// Whether a CDI device can be asked for.
    pub(super) fn takes_cdi(&self) -> bool {
        match self {
            // A daemon that names no folders is too old for CDI or has it switched off.
            Self::Docker(_) => self.cdi_folders().is_some_and(|f| !f.is_empty()),
            Self::Podman(version) => version.as_deref().is_none_or(|v| at_least(v, (4, 1))),
            Self::Nerdctl => true,
            Self::Apptainer => false,
        }
    }
}

/// Whether a version such as `4.3.1-dev` is this one or newer. What can't be read counts as new.
fn at_least(version: &str, wanted: (u32, u32)) -> bool {
    let mut parts = version
        .split(['.', '-', '+'])
        .map_while(|p| p.parse::<u32>().ok());
    match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) => (major, minor) >= wanted,
        _ => true,
    }
}

/// What to add to a runtime's command line for all GPUs of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum GpuRequest {
    /// A device by its CDI name.
    Cdi {
        /// For example `nvidia.com/gpu=all`.
        device: String,
    },
    /// Docker's `--gpus all`, served by NVIDIA's hook.
    Gpus,
    /// `--runtime=nvidia`, where there is no `--gpus` (Jetson).
    OciRuntime,
    /// Device nodes and the numeric groups that may open them.
    Devices {
        /// Device nodes or folders of them.
        devices: Vec<String>,
        /// Numeric group ids.
        groups: Vec<u32>,
    },
}

impl GpuRequest {
    /// The arguments for all GPUs, as Docker, Podman and nerdctl all take them.
    pub fn args(&self) -> Vec<String> {
        match self {
            Self::Cdi { device } => vec!["--device".into(), device.clone()],
            Self::Gpus => vec!["--gpus".into(), "all".into()],
            Self::OciRuntime => visible_to_nvidia("all"),
            Self::Devices { devices, groups } => {
                let devices = devices
                    .iter()
                    .flat_map(|d| ["--device".to_owned(), d.clone()]);
                let groups = groups
                    .iter()
                    .flat_map(|g| ["--group-add".to_owned(), g.to_string()]);
                devices.chain(groups).collect()
            }
        }
    }

    /// The arguments for the GPUs of these numbers or UUIDs, or for all; `None` where single ones
    /// can't be asked for.
    pub fn args_for(&self, ids: Option<&[String]>) -> Option<Vec<String>> {
        let Some(ids) = ids else {
            return Some(self.args());
        };
        match self {
            Self::Cdi { device } => {
                let kind = device.split('=').next().unwrap_or(device);
                let one = |id: &String| ["--device".to_owned(), format!("{kind}={id}")];
                Some(ids.iter().flat_map(one).collect())
            }
            // Docker reads the value as a line of comma-separated values.
            Self::Gpus => Some(vec![
                "--gpus".into(),
                format!("\"device={}\"", ids.join(",")),
            ]),
            Self::OciRuntime => Some(visible_to_nvidia(&ids.join(","))),
            Self::Devices { .. } => None,
        }
    }
}

fn visible_to_nvidia(which: &str) -> Vec<String> {
    vec![
        "--runtime=nvidia".into(),
        "-e".into(),
        format!("NVIDIA_VISIBLE_DEVICES={which}"),
    ]
}

impl fmt::Display for GpuRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.args().join(" "))
    }
}
