//! Lock entries and run records as documents that travel with an image:
//! JSON blobs of an OCI artifact whose `subject` is the image.

use serde::{Serialize, de::DeserializeOwned};

use crate::{LockedImage, RunRecord};

/// Artifact type of a lock entry attached to an image.
pub const LOCK_ARTIFACT_TYPE: &str = "application/vnd.mlbuild.lock.v1+json";
/// Artifact type of a run record attached to an image.
pub const RUN_ARTIFACT_TYPE: &str = "application/vnd.mlbuild.run.v1+json";

/// A document that can be attached to an image.
pub trait Document: Serialize + DeserializeOwned {
    /// Its artifact type, which also is the media type of its blob.
    const ARTIFACT_TYPE: &'static str;

    /// The bytes to attach: the same for equal values.
    fn to_json(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a document has string keys only");
        bytes.push(b'\n');
        bytes
    }

    /// Reads attached bytes.
    fn from_json(bytes: &[u8]) -> Result<Self, DocumentError> {
        serde_json::from_slice(bytes).map_err(|source| DocumentError {
            artifact_type: Self::ARTIFACT_TYPE,
            source,
        })
    }
}

impl Document for LockedImage {
    const ARTIFACT_TYPE: &'static str = LOCK_ARTIFACT_TYPE;
}

impl Document for RunRecord {
    const ARTIFACT_TYPE: &'static str = RUN_ARTIFACT_TYPE;
}

/// An attached document that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("the attached {artifact_type} document can't be read: {source}")]
pub struct DocumentError {
    /// What it should have been.
    pub artifact_type: &'static str,
    /// What is wrong with it.
    pub source: serde_json::Error,
}
