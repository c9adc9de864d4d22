//! What the Docker Engine API answers, as far as builds need it.

use serde::Deserialize;

/// `GET /version`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DockerVersion {
    /// The engine's version, such as `28.5.2`.
    pub version: String,
    /// The newest API version it speaks, such as `1.51`.
    #[serde(default)]
    pub api_version: String,
}

/// The parts of `GET /info` that matter to builds.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DockerInfo {
    /// Storage driver, such as `overlay2` or `overlayfs`.
    #[serde(default)]
    pub driver: String,
    /// Facts about it, in pairs.
    #[serde(default)]
    pub driver_status: Option<Vec<(String, String)>>,
    /// Names of the OCI runtimes.
    #[serde(default)]
    pub runtimes: std::collections::BTreeMap<String, serde_json::Value>,
}

impl DockerInfo {
    /// Whether images live in containerd's store rather than in the classic
    /// graph-driver store.
    pub fn uses_containerd_store(&self) -> bool {
        self.driver_status
            .iter()
            .flatten()
            .any(|(key, value)| key == "driver-type" && value.starts_with("io.containerd."))
    }
}

/// The parts of an image's description that builds need.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageInspect {
    /// The image ID: the configuration's digest in the classic store, the
    /// manifest's or index's in containerd's.
    pub id: String,
    /// `NAME@DIGEST` for each registry it is known to be in.
    #[serde(default)]
    pub repo_digests: Option<Vec<String>>,
    /// `NAME:TAG` for each tag.
    #[serde(default)]
    pub repo_tags: Option<Vec<String>>,
    /// The manifest's or index's descriptor (containerd's store, API ≥ 1.48).
    #[serde(default)]
    pub descriptor: Option<ImageDescriptor>,
    /// Its layers, as they are unpacked.
    #[serde(default, rename = "RootFS")]
    pub root_fs: RootFs,
    /// CPU architecture, such as `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// Operating system.
    #[serde(default)]
    pub os: String,
    /// Size in bytes.
    #[serde(default)]
    pub size: u64,
    /// How its containers are started.
    #[serde(default)]
    pub config: Option<ImageConfig>,
}

/// The layers of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RootFs {
    /// Digests of their unpacked tars, from the base up.
    #[serde(default)]
    pub layers: Option<Vec<String>>,
}

/// How an image's containers are started.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageConfig {
    /// Environment, as `NAME=VALUE`.
    #[serde(default)]
    pub env: Option<Vec<String>>,
}

/// A descriptor as Docker's API writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageDescriptor {
    /// Media type.
    pub media_type: String,
    /// Digest.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
}

/// What a push told of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The tag that was pushed.
    pub tag: String,
    /// The manifest's or index's digest, as the registry took it.
    pub digest: String,
    /// The manifest's size in bytes.
    pub size: u64,
}

/// One line of progress from a push or load.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct DockerProgress {
    /// What is being done, such as `Pushing`.
    #[serde(default)]
    pub status: String,
    /// To which layer.
    #[serde(default)]
    pub id: String,
    /// Free text instead of a status.
    #[serde(default)]
    pub stream: String,
    /// How far it is.
    #[serde(rename = "progressDetail", default)]
    pub detail: Option<ProgressDetail>,
    #[serde(default)]
    aux: Option<serde_json::Value>,
    #[serde(rename = "errorDetail", default)]
    pub(super) error: Option<ErrorDetail>,
}

/// Bytes done and to do.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct ProgressDetail {
    /// Bytes done.
    #[serde(default)]
    pub current: u64,
    /// Bytes in all; 0 if unknown.
    #[serde(default)]
    pub total: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ErrorDetail {
    #[serde(default)]
    pub(super) message: String,
}

impl DockerProgress {
    /// The result of a push: in fields of its own, or, where images live in
    /// containerd's store, in the text `TAG: digest: DIGEST size: N`.
    pub(super) fn pushed(&self) -> Option<Pushed> {
        if let Some(aux) = &self.aux {
            let aux = PushAux::deserialize(aux).ok()?;
            return Some(Pushed {
                tag: aux.tag,
                digest: aux.digest,
                size: aux.size,
            });
        }
        let (tag, rest) = self.status.split_once(": digest: ")?;
        let (digest, size) = rest.split_once(" size: ")?;
        Some(Pushed {
            tag: tag.to_string(),
            digest: digest.to_string(),
            size: size.trim().parse().ok()?,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PushAux {
    tag: String,
    digest: String,
    #[serde(default)]
    size: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_is_understood_in_both_forms() {
        let fields = r#"{"progressDetail":{},"aux":{"Tag":"1","Digest":"sha256:aa","Size":7}}"#;
        let text = r#"{"status":"1: digest: sha256:aa size: 7"}"#;
        for line in [fields, text] {
            let line: DockerProgress = serde_json::from_str(line).unwrap();
            let pushed = line.pushed().unwrap();
            assert_eq!((pushed.digest.as_str(), pushed.size), ("sha256:aa", 7));
        }
        let other: DockerProgress =
            serde_json::from_str(r#"{"status":"Preparing","id":"a"}"#).unwrap();
        assert_eq!(other.pushed(), None);
    }
}
