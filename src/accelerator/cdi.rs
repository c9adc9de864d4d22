//! Container Device Interface specifications: files that tell a runtime which devices, libraries
//! and hooks a GPU needs (<https://github.com/cncf-tags/container-device-interface>).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Look, Runtime};

/// Where runtimes look by default. The second wins where both name a device.
const FOLDERS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// One specification file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CdiSpec {
    /// The file.
    pub path: String,
    /// Version of the specification's format, such as `0.6.0`.
    pub version: String,
    /// Vendor and class: `nvidia.com/gpu`.
    pub kind: String,
    /// Its devices.
    pub devices: Vec<CdiDevice>,
    /// Driver versions that the names of its libraries carry.
    pub driver_versions: BTreeSet<String>,
    /// Files that it mounts or creates devices from and that aren't there.
    pub missing: Vec<String>,
}

/// One device of a [`CdiSpec`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CdiDevice {
    /// Full name, as a runtime takes it: `nvidia.com/gpu=all`.
    pub name: String,
}

impl CdiSpec {
    /// Whether a runtime may be asked for this device by name.
    pub fn has(&self, device: &str) -> bool {
        self.devices.iter().any(|d| d.name == device)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    cdi_version: String,
    kind: String,
    #[serde(default)]
    devices: Vec<Device>,
    #[serde(default)]
    container_edits: Edits,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    name: String,
    #[serde(default)]
    container_edits: Edits,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Edits {
    #[serde(default)]
    device_nodes: Vec<Node>,
    #[serde(default)]
    mounts: Vec<Mount>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    path: String,
    host_path: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mount {
    host_path: String,
}

/// Reads the specifications in the folders that the runtime uses.
pub(super) fn read_specs(look: &mut Look, runtime: &Runtime) -> Vec<CdiSpec> {
    let folders = runtime
        .cdi_folders()
        .unwrap_or_else(|| FOLDERS.map(str::to_owned).to_vec());
    let mut specs = Vec::new();
    for folder in folders {
        for name in look.names(&folder) {
            if !["yaml", "yml", "json"]
                .iter()
                .any(|e| name.ends_with(&format!(".{e}")))
            {
                continue;
            }
            let path = format!("{}/{name}", folder.trim_end_matches('/'));
            match read_spec(look, &path) {
                Ok(spec) => specs.push(spec),
                Err(reason) => look.note(&path, &reason),
            }
        }
    }
    specs
}

fn read_spec(look: &Look, path: &str) -> Result<CdiSpec, String> {
    let text = std::fs::read_to_string(look.at(path)).map_err(|e| e.to_string())?;
    // JSON is YAML too.
    let file: File = serde_saphyr::from_str(&text).map_err(|e| {
        let first = e.to_string();
        format!(
            "not a CDI specification: {}",
            first.lines().next().unwrap_or_default()
        )
    })?;
    let edits = || {
        std::iter::once(&file.container_edits)
            .chain(file.devices.iter().map(|d| &d.container_edits))
    };
    let mounts = edits().flat_map(|e| &e.mounts).map(|m| &m.host_path);
    let nodes = edits()
        .flat_map(|e| &e.device_nodes)
        .map(|n| n.host_path.as_ref().unwrap_or(&n.path));
    let paths: BTreeSet<&String> = mounts.chain(nodes).collect();
    let there = |path: &str| look.at(path).symlink_metadata().is_ok();
    Ok(CdiSpec {
        driver_versions: paths.iter().filter_map(|p| driver_version(p)).collect(),
        missing: paths
            .iter()
            .filter(|p| !there(p))
            .map(|p| (*p).clone())
            .collect(),
        devices: file
            .devices
            .iter()
            .map(|d| CdiDevice {
                name: format!("{}={}", file.kind, d.name),
            })
            .collect(),
        path: path.to_owned(),
        version: file.cdi_version,
        kind: file.kind,
    })
}

/// The version in `…/libcuda.so.550.54.14`.
fn driver_version(path: &str) -> Option<String> {
    let name = path.rsplit('/').next()?;
    let version = ["libcuda.so.", "libnvidia-ml.so."]
        .iter()
        .find_map(|p| name.strip_prefix(p))?;
    let parts = version.split('.');
    (parts.clone().count() >= 2 && parts.clone().all(|p| p.parse::<u32>().is_ok()))
        .then(|| version.to_owned())
}
