//! What a build gives back: plain data that a caller can print, keep or go on with.

use std::collections::BTreeMap;

use serde::Serialize;

use super::publish::Confirmed;
use crate::builder::BuildOutput;
use crate::plan::{BuildPlan, Output};
use crate::settings::ImageSettings;

/// Whether the image was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It was.
    Built,
    /// Nothing had changed since the lock, and the image was still where it had been put.
    Unchanged,
}

/// An image that is there now. As JSON it is what `mlbuild image --format json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BuildOutcome {
    /// Whether it was built.
    pub action: Action,
    /// Its first name.
    pub image: String,
    /// All its names.
    pub tags: Vec<String>,
    /// `NAME:TAG@sha256:…`, as the registry confirmed it; `None` where it wasn't pushed.
    pub pinned: Option<String>,
    /// Its digest: the registry's, else the image ID in Docker, else the builder's.
    pub digest: Option<String>,
    /// Its ID in Docker's store, where it is there.
    pub image_id: Option<String>,
    /// Whether the registry has it.
    pub pushed: bool,
    /// The run that it is bound to.
    pub run_id: Option<String>,
    /// Path of the lock that is kept of it.
    pub lock: Option<String>,
    /// Packages that were added, removed or changed since the lock that was there before, a line
    /// each.
    #[serde(skip)]
    pub packages_moved: Vec<String>,
    /// What the builder's exporters said, by key, as buildx writes it into its metadata file.
    #[serde(skip)]
    pub exporter_response: BTreeMap<String, String>,
    /// True if an output was written to this process's standard output.
    #[serde(skip)]
    pub wrote_stdout: bool,
}

impl BuildOutcome {
    /// The name to use the image by: pinned where it was pushed, else its ID or digest; empty where
    /// only files were asked for.
    pub fn name(&self) -> &str {
        let named = self.pinned.as_deref().or(self.image_id.as_deref());
        named.or(self.digest.as_deref()).unwrap_or_default()
    }

    pub(super) fn built(
        settings: &ImageSettings,
        built: BuildOutput,
        confirmed: Option<&Confirmed>,
    ) -> Self {
        let digest = confirmed
            .map(|confirmed| confirmed.descriptor.digest().to_string())
            .or_else(|| built.docker_id.clone())
            .or_else(|| built.digest());
        BuildOutcome {
            pinned: confirmed.map(Confirmed::pinned),
            digest,
            image_id: built.docker_id,
            pushed: confirmed.is_some(),
            exporter_response: built.response,
            wrote_stdout: settings.build.outputs.iter().any(Output::is_stdout),
            ..Self::of(settings, Action::Built)
        }
    }

    /// An image that the registry has under all its names.
    pub(super) fn still_pushed(
        settings: &ImageSettings,
        digest: &str,
        run: Option<String>,
    ) -> Self {
        BuildOutcome {
            pinned: Some(format!("{}@{digest}", settings.tags[0])),
            pushed: true,
            run_id: run,
            ..Self::unchanged(settings, digest)
        }
    }

    /// An image that Docker has under all its names.
    pub(super) fn still_in_docker(settings: &ImageSettings, id: &str) -> Self {
        BuildOutcome {
            image_id: Some(id.to_owned()),
            ..Self::unchanged(settings, id)
        }
    }

    fn unchanged(settings: &ImageSettings, digest: &str) -> Self {
        let response = [("containerimage.digest".to_owned(), digest.to_owned())];
        BuildOutcome {
            digest: Some(digest.to_owned()),
            exporter_response: response.into(),
            ..Self::of(settings, Action::Unchanged)
        }
    }

    fn of(settings: &ImageSettings, action: Action) -> Self {
        BuildOutcome {
            action,
            image: settings.tags[0].to_string(),
            tags: settings.tags.iter().map(ToString::to_string).collect(),
            pinned: None,
            digest: None,
            image_id: None,
            pushed: false,
            run_id: None,
            lock: settings
                .lock
                .file
                .as_ref()
                .map(|file| file.display().to_string()),
            packages_moved: Vec::new(),
            exporter_response: BTreeMap::new(),
            wrote_stdout: false,
        }
    }
}

/// What a build would do.
#[derive(Debug, Clone)]
pub enum DryRun {
    /// The lock's packages aren't those that are asked for now: they would be pinned anew first.
    PinsAnew,
    /// What would be built, and why.
    Planned {
        /// What changed since the lock; empty where nothing would be built.
        changed: Vec<String>,
        /// What the builder would be asked for.
        plan: Box<BuildPlan>,
    },
}
