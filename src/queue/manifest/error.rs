//! What can be wrong with a manifest.

use crate::queue::macros::MacroError;

/// Why a manifest, or what a launch sets in it, isn't taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// A key of W&B's agent that means nothing here.
    #[error("`{key}`: {why}")]
    NoCounterpart {
        /// The key.
        key: &'static str,
        /// What to do in its place.
        why: &'static str,
    },
    /// A value of another form.
    #[error("{place}: {expected} is expected")]
    Shape {
        /// Where.
        place: String,
        /// What was expected.
        expected: &'static str,
    },
    /// It holds a secret.
    #[error(
        "{place} holds what looks like a secret, and everybody who may launch reads the queue; keep it in a \
         Secret of the cluster, and write valueFrom: {{secretKeyRef: {{name: …, key: …}}}}"
    )]
    Secret {
        /// Where.
        place: String,
    },
    /// No container runs the job's image.
    #[error(
        "no container of the {kind} runs the job's image; write image: ${{image_uri}} into those that are to"
    )]
    NoContainer {
        /// The kind.
        kind: String,
    },
    /// A macro that stands for nothing.
    #[error("{place}: {source}")]
    Macro {
        /// Where.
        place: String,
        /// Which one.
        source: MacroError,
    },
    /// Not `PATH=VALUE`.
    #[error("{text}: {why}")]
    Path {
        /// What was written.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// Which object is made is the queue's affair.
    #[error("{path}: which kind of object is made, and in which namespace, is the queue's to say")]
    NotToSet {
        /// What was written.
        path: String,
    },
}

impl ManifestError {
    pub(super) fn shape(place: &str, expected: &'static str) -> Self {
        Self::Shape {
            place: place.to_owned(),
            expected,
        }
    }
}
