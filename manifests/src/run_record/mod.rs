//! `mlbuild.runs/<run-id>.toml`: one file per run.
//!
//! A record binds a run to the exact image it used, and says what ran there. One file per
//! run merges without conflicts. The image part is written when the image is made, or when
//! the run starts; a run that mlbuild starts itself fills in the others, first with `status
//! = "started"`, and once more when it has ended. The same record travels with the image as
//! an OCI referrer, so that a run can be restored on another machine.
//!
//! What the code held beyond its commit lies beside the record, in `<run-id>.patch`, and the
//! record has its SHA-256. A file of its own, because it then is what `git apply` takes, byte
//! for byte: a patch may hold text that isn't UTF-8, and in TOML it would be one line that
//! nobody can review. Listing thousands of runs reads no patches either. Both files are new
//! in each run, so that they merge like any new file.
//!
//! Names of environment variables are recorded, never their values.
//!
//! The format is numbered (`version`); samples of each number stay in `tests/samples`. A new
//! optional key needs a new number too, because older readers refuse it. A record is written in the
//! oldest format that has room for it, so that older readers read all that they could understand.

pub mod commit;
mod data;
mod error;
mod files;
mod folder;
mod parts;
mod place;
mod quick;
mod summary;
mod text;

use jiff::Timestamp;
use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

use crate::RunId;
use crate::document::{Document, DocumentError, RUN_ARTIFACT_TYPE};

pub use data::RunData;
pub use error::RunRecordError;
pub use files::Binding;
pub use parts::{
    GitState, RunCluster, RunCommand, RunHost, RunImage, RunOutcome, RunPlatform, RunSlurm,
    RunStatus,
};
pub use place::RecordsPlace;
pub use summary::RunSummary;

/// The folder that records are kept in, beside the lock file.
pub const FOLDER_NAME: &str = "mlbuild.runs";
/// The newest format that this version reads and writes.
pub const FORMAT_VERSION: u32 = 5;
/// The format of what ran in no cluster and names no data.
const WITHOUT_CLUSTER: u32 = 2;
/// The first format that knows clusters.
const WITH_CLUSTER: u32 = 3;
/// The first format that knows data.
const WITH_DATA: u32 = 4;
/// The first format that knows Slurm.
const WITH_SLURM: u32 = 5;

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// Format number.
    pub version: u32,
    /// The run's id, also the file's name.
    pub id: RunId,
    /// When the run was bound to the image; whole seconds, UTC.
    pub created: Timestamp,
    /// Checksum of the image's entry in the lock file at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Digest>,
    /// The image.
    pub image: RunImage,
    /// The code's state in version control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitState>,
    /// What was started, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<RunCommand>,
    /// The machine it ran on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<RunHost>,
    /// The Kubernetes cluster it ran in; then the machine is the one that submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<RunCluster>,
    /// The cluster of Slurm's it ran in; then the machine is the one that submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slurm: Option<RunSlurm>,
    /// The data that it was said to have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<RunData>,
    /// How it went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<RunOutcome>,
}

impl RunRecord {
    /// A record that binds a run to an image and says no more yet.
    pub fn new(id: RunId, created: Timestamp, image: RunImage) -> Self {
        Self {
            version: WITHOUT_CLUSTER,
            id,
            created: whole_seconds(created),
            lock: None,
            image,
            git: None,
            command: None,
            host: None,
            cluster: None,
            slurm: None,
            data: Vec::new(),
            outcome: None,
        }
    }

    /// The same record of a run in a cluster.
    #[must_use]
    pub fn in_cluster(mut self, cluster: RunCluster) -> Self {
        self.version = self.version.max(WITH_CLUSTER);
        self.cluster = Some(cluster);
        self
    }

    /// The same record of a run under Slurm.
    #[must_use]
    pub fn under_slurm(mut self, place: RunSlurm) -> Self {
        self.version = self.version.max(WITH_SLURM);
        self.slurm = Some(place);
        self
    }

    /// The same record of a run with data.
    #[must_use]
    pub fn with_data(mut self, data: Vec<RunData>) -> Self {
        if !data.is_empty() {
            self.version = self.version.max(WITH_DATA);
        }
        self.data = data;
        self
    }

    /// How far the run got.
    pub fn status(&self) -> RunStatus {
        self.outcome
            .as_ref()
            .map_or(RunStatus::Bound, |outcome| outcome.status)
    }
}

impl Document for RunRecord {
    const ARTIFACT_TYPE: &'static str = RUN_ARTIFACT_TYPE;

    fn from_json(bytes: &[u8]) -> Result<Self, DocumentError> {
        match serde_json::from_slice::<text::Stated>(bytes) {
            Ok(stated) if stated.version > FORMAT_VERSION => Err(DocumentError::Newer {
                artifact_type: RUN_ARTIFACT_TYPE,
                found: stated.version,
                newest: FORMAT_VERSION,
            }),
            _ => DocumentError::parse(bytes),
        }
    }
}

/// A time as records hold it.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
