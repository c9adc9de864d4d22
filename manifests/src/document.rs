//! Lock entries and run records as documents that travel with an image:
//! JSON blobs of an OCI artifact whose `subject` is the image.

use serde::{Serialize, de::DeserializeOwned};

use crate::LockedImage;

/// Artifact type of a lock entry attached to an image.
pub const LOCK_ARTIFACT_TYPE: &str = "application/vnd.mlbuild.lock.v1+json";
/// Artifact type of a run record attached to an image.
pub const RUN_ARTIFACT_TYPE: &str = "application/vnd.mlbuild.run.v1+json";

/// Media type of a run's patch, the second blob of its record.
pub const PATCH_MEDIA_TYPE: &str = "text/x-patch";
/// Annotation of an attached run record: the run's id, so that one can be found among many.
pub const RUN_ID_ANNOTATION: &str = "org.mlbuild.run";

/// A document that can be attached to an image.
pub trait Document: Serialize + DeserializeOwned {
    /// Its artifact type, which also is the media type of its blob.
    const ARTIFACT_TYPE: &'static str;

    /// The bytes to attach: the same for equal values.
    fn to_json(&self) -> Vec<u8> {
        let text = serde_json::to_string_pretty(self).expect("a document has string keys only");
        // Whatever a caller overlooked: these documents are pushed.
        let mut text = mlbuild_secrets::redact_json(&text).into_owned();
        text.push('\n');
        text.into_bytes()
    }

    /// Reads attached bytes.
    ///
    /// # Errors
    /// Where they are no such document, or one of a newer format.
    fn from_json(bytes: &[u8]) -> Result<Self, DocumentError> {
        DocumentError::parse(bytes)
    }
}

impl Document for LockedImage {
    const ARTIFACT_TYPE: &'static str = LOCK_ARTIFACT_TYPE;
}

/// An attached document that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not what the format says.
    #[error("the attached {artifact_type} document can't be read: {source}")]
    Invalid {
        /// What it should have been.
        artifact_type: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A newer format.
    #[error(
        "the attached {artifact_type} document was made by a newer mlbuild: format {found}, and \
         this version reads up to {newest}; update mlbuild"
    )]
    Newer {
        /// What it is.
        artifact_type: &'static str,
        /// Its format.
        found: u32,
        /// The newest that can be read.
        newest: u32,
    },
}

impl DocumentError {
    /// Reads a document of the format that this version knows.
    pub(crate) fn parse<D: Document>(bytes: &[u8]) -> Result<D, Self> {
        serde_json::from_slice(bytes).map_err(|source| DocumentError::Invalid {
            artifact_type: D::ARTIFACT_TYPE,
            source,
        })
    }
}
