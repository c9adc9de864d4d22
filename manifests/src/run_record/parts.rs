//! What a run record is made of.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

/// The image a run is bound to. Index, manifest and configuration have each a digest of
/// their own; Docker's classic store shows the configuration's where others show the
/// manifest's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunImage {
    /// Reference by which it was asked for, without digest.
    pub reference: String,
    /// Index digest, if the reference names an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<Digest>,
    /// What the reference named, where nobody asked whether that is an index or a manifest;
    /// then there are no `platforms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Image ID in the store of the machine that ran it. Set where no registry was seen to
    /// hold the image; then there are no `platforms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<Digest>,
    /// Manifest and configuration digest for each platform.
    #[serde(default)]
    pub platforms: BTreeMap<String, RunPlatform>,
}

/// The image of one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunPlatform {
    /// Digest of the image manifest.
    pub manifest: Digest,
    /// Digest of the image configuration.
    pub config: Digest,
}

/// The code's state in version control.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitState {
    /// Where the repository comes from: a remote's address without log-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// Commit that was checked out; none before the first one.
    #[serde(
        default,
        deserialize_with = "super::commit::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub commit: Option<String>,
    /// Branch that was checked out; none where the head was detached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Folder of the project inside the repository; none for its top.
    #[serde(
        default,
        deserialize_with = "super::folder::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub folder: Option<String>,
    /// True if the tree held changes beyond the commit.
    pub dirty: bool,
    /// Digest of those changes: of `<run-id>.patch`, which lies beside the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Digest>,
    /// Changes that are not in the patch, as `path: why`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Format 1 held the patch here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
}

/// What was started, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunCommand {
    /// Program that started the container: `docker`, `podman`, `nerdctl`; `kubernetes` for a Job, `slurm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// What stood between `run` and the image. Variables stand there by name only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Program and arguments inside the container: what stood after the image.
    pub argv: Vec<String>,
    /// Names of the environment variables that were handed in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<String>,
    /// Mounts, as `source:target[:mode]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<String>,
    /// Accelerator that was asked for (`cuda`, `rocm`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<String>,
    /// Folder of the project on the machine that ran it: where mounts of the project point to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// How it got to the display, where `mlbuild gui-run` started it (`isolated`, `uid`, `as-me`, `xhost`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
}

/// The machine a run ran on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunHost {
    /// Host name.
    pub name: String,
    /// Platform (`linux/amd64`).
    pub platform: String,
    /// Container runtime and its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// Version of the GPU driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// GPUs it had, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
}

/// The Kubernetes cluster a run ran in, and the Job that ran it. Nothing here lets anybody in: the
/// log-in stays in the kubeconfig.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunCluster {
    /// Context of the kubeconfig; none in a pod, which has no kubeconfig.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The kubeconfig, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<String>,
    /// Address of the API server, without log-in.
    pub server: String,
    /// Namespace of the Job.
    pub namespace: String,
    /// Name of the Job.
    pub job: String,
    /// Flags that only `mlbuild submit` has; those of docker are the command's options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// The cluster of Slurm's that a run ran in, and its job there. It names no folder and leads nobody anywhere: a
/// login node is named for the person who reads it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSlurm {
    /// The cluster's own name.
    pub cluster: String,
    /// The login node that it was submitted through; none where that was the machine itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The job's number; none where Slurm hadn't taken it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<u64>,
    /// What started the container on the nodes.
    pub runtime: String,
    /// Flags that only `mlbuild submit` has; those of docker are the command's options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// How a run went. `started` stands there before the container is started; the rest is
/// added when it has ended. So a crash leaves a record that says `status = "started"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunOutcome {
    /// How far it got.
    #[serde(default = "finished")]
    pub status: RunStatus,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// The container's exit code: 128 and the signal's number where a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended it (`SIGKILL`), where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
}

/// How far a run got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Only bound to an image: `mlbuild image --run-id`.
    Bound,
    /// Started, and not seen to end.
    Started,
    /// Ended.
    Finished,
}

impl RunStatus {
    /// The word in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            RunStatus::Bound => "bound",
            RunStatus::Started => "started",
            RunStatus::Finished => "finished",
        }
    }
}

/// Format 1 wrote down ended runs only.
fn finished() -> RunStatus {
    RunStatus::Finished
}

impl RunImage {
    /// `reference@digest`, by the index or else the manifests, or else the image ID.
    pub(super) fn described(&self) -> String {
        if let Some(id) = &self.image_id {
            return format!("{} (image ID {id}, never pushed)", self.reference);
        }
        let manifests = self.platforms.values().map(|p| &p.manifest);
        let digests: Vec<&str> = manifests.chain(&self.digest).map(AsRef::as_ref).collect();
        format!("{}@{}", self.reference, digests.join(", "))
    }

    /// True if a run of one is a run of the other: the same manifests, or the same image in
    /// a local store. An index may differ, because provenance changes it.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        let manifests = |image: &Self| -> BTreeMap<String, Digest> {
            let platforms = image.platforms.iter();
            platforms
                .map(|(name, p)| (name.clone(), p.manifest.clone()))
                .collect()
        };
        if self.image_id != other.image_id {
            return false;
        }
        match (&self.digest, &other.digest) {
            (Some(digest), _) => other.has(digest),
            (None, Some(digest)) => self.has(digest),
            (None, None) => manifests(self) == manifests(other),
        }
    }

    /// True if the digest is that of its index, of a manifest, or what its name meant.
    pub fn has(&self, digest: &Digest) -> bool {
        let mut manifests = self.platforms.values().map(|p| &p.manifest);
        self.index.as_ref() == Some(digest)
            || self.digest.as_ref() == Some(digest)
            || manifests.any(|manifest| manifest == digest)
    }

    /// True if a registry was seen to hold it.
    pub fn is_published(&self) -> bool {
        self.pinned().is_some() && self.image_id.is_none()
    }

    /// The digest to ask a registry for: the index, else the manifest.
    pub fn pinned(&self) -> Option<&Digest> {
        let manifest = self.platforms.values().next().map(|p| &p.manifest);
        self.index.as_ref().or(self.digest.as_ref()).or(manifest)
    }
}
