//! Runs a [`BuildPlan`] on a builder and says what came out.
//!
//! The `buildkit` room speaks the protocol; here a plan becomes one or more
//! solves, in the way that the builder at hand can do them, and what it can't
//! do is refused before anything runs.

mod check;
mod connect;
mod consent;
mod export;
mod exports;
mod packages;
pub mod private;
mod request;
mod solve;
mod source_policy;
mod ssh_agent;

use std::collections::BTreeMap;
use std::path::PathBuf;

use mlbuild_buildkit::docker::api::{DockerApi, DockerApiError};
use mlbuild_buildkit::{BuilderInfo, BuilderKind, Client, ImageStore, SolveError, StatusResponse};
use mlbuild_manifests::lock::LockedPackages;
use mlbuild_progress::BuildTrace;
use mlbuild_progress::explain::{Failure, explain};
use mlbuild_templates::reference;
use oci_spec::distribution::Reference;
use oci_spec::image::Descriptor;
use tokio::sync::mpsc;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

pub use connect::{Connection, Consent, connect, local_docker};
pub use consent::{connect_or_start, connect_quietly};
pub use exports::{Delivery, Route};
pub use solve::{SolveRequest, untitled};
pub use ssh_agent::SshAgents;

use crate::error::{CommandError, CommandResult, chain};
use crate::host::HostSettings;
use crate::plan::{BuildPlan, Context};

/// A connected builder.
#[derive(Debug, Clone)]
pub struct Builder {
    client: Client,
    info: BuilderInfo,
    /// Network of RUN steps where the plan says nothing.
    default_network: Option<String>,
}

/// What a build needs besides its plan.
#[derive(Clone)]
pub struct BuildInputs<'a> {
    /// What is built.
    pub plan: &'a BuildPlan,
    /// Tells the folders' states apart where a builder can't; may be empty.
    pub transfer_key: &'a str,
    /// Values of the host's settings that the plan names.
    pub host: &'a HostSettings,
    /// Sockets of ssh agents, by id.
    pub ssh: &'a BTreeMap<String, PathBuf>,
    /// Registry hosts reached by plain http.
    pub insecure: &'a [String],
    /// Takes the builder's events.
    pub events: mpsc::Sender<StatusResponse>,
    /// Ends the build, also on the daemon.
    pub cancel: CancellationToken,
    /// Whether the image is asked for its packages while it is built.
    pub asks_packages: bool,
}

/// What came out.
#[derive(Debug, Clone, Default)]
pub struct BuildOutput {
    /// The builder's answer, as it gave it.
    pub response: BTreeMap<String, String>,
    /// Manifest or index that the builder made; `None` where its store keeps none.
    pub descriptor: Option<Descriptor>,
    /// The image's configuration, where there is one image.
    pub config_digest: Option<String>,
    /// Image ID in Docker's store, where the image is there.
    pub docker_id: Option<String>,
    /// Its packages, where it was asked for them; the inner `None` where it has nothing to list
    /// them with.
    pub packages: Option<Option<LockedPackages>>,
}

impl BuildOutput {
    /// The digest that the builder gave its result.
    pub fn digest(&self) -> Option<String> {
        let descriptor = self.descriptor.as_ref();
        descriptor.map(|descriptor| descriptor.digest().to_string())
    }
}

impl Builder {
    /// A connected builder and what it is.
    ///
    /// # Errors
    /// Where it doesn't say what it is.
    pub async fn new(client: Client) -> CommandResult<Self> {
        let info = client.info().await.map_err(|error| {
            CommandError::environment(format!("{}: {error}", client.endpoint()))
        })?;
        Ok(Builder {
            client,
            info,
            default_network: None,
        })
    }

    /// What the builder is.
    pub fn info(&self) -> &BuilderInfo {
        &self.info
    }

    /// The connection.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The platforms of a build: the plan's, else the builder's own.
    pub fn target_platforms(&self, plan: &BuildPlan) -> Vec<String> {
        if !plan.platforms.is_empty() {
            return plan.platforms.clone();
        }
        let own = self
            .info
            .workers
            .first()
            .and_then(|worker| worker.platforms.first());
        own.cloned().into_iter().collect()
    }

    /// Name and version for the lock: `buildkitd v0.32.2`, `docker 28.5.2`.
    pub fn name_and_version(&self) -> (String, String) {
        match &self.info.kind {
            BuilderKind::Docker { version, .. } => ("docker".into(), version.clone()),
            BuilderKind::Buildkitd => ("buildkitd".into(), self.info.buildkit_text.clone()),
        }
    }

    /// True if its images live in Docker's classic store, which makes no manifests.
    pub fn is_classic(&self) -> bool {
        matches!(
            &self.info.kind,
            BuilderKind::Docker {
                store: ImageStore::Classic,
                ..
            }
        )
    }

    /// Builds.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::User`] for what this builder can't do, [`crate::error::ErrorKind::Work`]
    /// for a failed step, [`crate::error::ErrorKind::Environment`] for a builder that went away.
    pub async fn build(&self, inputs: &BuildInputs<'_>) -> Result<BuildOutput, BuildError> {
        check::check(inputs.plan, inputs.host, &self.info)?;
        let route = Route::choose(inputs.plan, &self.info)?;
        let exports = || route.exports(inputs.insecure);
        let mut output = match self.solve(inputs, exports()?).await {
            // Every step is cached now.
            Err(error) if error.is_of_unpacking() && inputs.plan.context != Context::Stdin => {
                self.solve(inputs, exports()?).await?
            }
            solved => solved?,
        };
        for delivery in &route.deliveries {
            match delivery {
                Delivery::LoadElsewhere { tags } => {
                    output.docker_id = self.load_elsewhere(tags, inputs, &output).await?;
                }
                Delivery::InDocker { tag } => {
                    output.docker_id = self.docker_image_id(tag).await?;
                }
            }
        }
        Ok(output)
    }

    async fn solve(
        &self,
        inputs: &BuildInputs<'_>,
        exports: Vec<mlbuild_buildkit::Export>,
    ) -> Result<BuildOutput, BuildError> {
        self.solve_but(inputs, exports, BTreeMap::new()).await
    }

    /// Leaves blobs out of an `oci` export: sizes in bytes by digest.
    async fn solve_but(
        &self,
        inputs: &BuildInputs<'_>,
        exports: Vec<mlbuild_buildkit::Export>,
        held: BTreeMap<String, u64>,
    ) -> Result<BuildOutput, BuildError> {
        let (mut options, session) =
            request::prepare(inputs, exports, self.default_network.as_deref())?;
        options.held = held;
        let (events, cancel) = (inputs.events.clone(), inputs.cancel.clone());
        let solved = self.client.solve(options, session, events, cancel).await?;
        Ok(BuildOutput {
            config_digest: solved.config_digest,
            descriptor: solved.descriptor,
            response: solved.exporter_response,
            docker_id: None,
            packages: solved.answers.as_ref().map(packages::answered),
        })
    }

    /// Builds a plan and writes the files of its last stage into a folder.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub async fn files(
        &self,
        inputs: &BuildInputs<'_>,
        folder: &std::path::Path,
    ) -> Result<(), BuildError> {
        check::check(inputs.plan, inputs.host, &self.info)?;
        self.solve(inputs, vec![exports::files(folder)]).await?;
        Ok(())
    }

    /// Lists the packages of the image that a plan makes: one more step on its last
    /// stage, exported as files. `None` where the image has nothing to list them with.
    ///
    /// # Errors
    /// Those of a build: the image's own steps run too where they aren't cached.
    pub async fn packages(
        &self,
        inputs: &BuildInputs<'_>,
    ) -> Result<Option<LockedPackages>, BuildError> {
        let Some(plan) = packages::plan(inputs.plan) else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()
            .map_err(|error| CommandError::environment(format!("temporary folder: {error}")))?;
        let asked = BuildInputs {
            plan: &plan,
            asks_packages: false,
            ..inputs.clone()
        };
        self.solve(&asked, vec![exports::files(folder.path())])
            .await?;
        let content = |file: &str| std::fs::read_to_string(folder.path().join(file)).ok();
        Ok(packages::read(content))
    }

    /// The id of an image in the Docker around this builder; `None` where it has none of that name.
    ///
    /// # Errors
    /// Where Docker doesn't answer, or the builder isn't Docker's.
    pub async fn docker_image_id(&self, name: &str) -> CommandResult<Option<String>> {
        let found = self.docker()?.image_inspect(name).await;
        found
            .map(|image| image.map(|image| image.id))
            .map_err(docker_error)
    }

    /// The Docker around this builder.
    ///
    /// # Errors
    /// Where there is none.
    pub fn docker(&self) -> CommandResult<&DockerApi> {
        let endpoint = self.client.endpoint();
        let missing = || CommandError::environment(format!("{endpoint} is not a Docker daemon"));
        self.client.docker().ok_or_else(missing)
    }

    /// `--load` from a builder that isn't Docker's: the image goes through a tar, unless
    /// Docker has it already.
    async fn load_elsewhere(
        &self,
        tags: &[String],
        inputs: &BuildInputs<'_>,
        built: &BuildOutput,
    ) -> Result<Option<String>, BuildError> {
        let client = connect::local_docker().await?;
        let target = client
            .docker()
            .ok_or_else(|| CommandError::environment("no Docker daemon to load into"))?;
        for id in [&built.config_digest, &built.digest()]
            .into_iter()
            .flatten()
        {
            if let Ok(Some(image)) = target.image_inspect(id).await {
                for tag in tags {
                    let reference = reference::parse(tag).map_err(CommandError::user)?;
                    let (name, label) = docker_name(&reference);
                    target
                        .tag_image(&image.id, &name, label)
                        .await
                        .map_err(docker_error)?;
                }
                return Ok(Some(image.id));
            }
        }
        let fail = |what: &str, error: std::io::Error| {
            CommandError::environment(format!("{what}: {error}"))
        };
        let folder = tempfile::tempdir().map_err(|error| fail("temporary folder", error))?;
        let tar = folder.path().join("image.tar");
        let again = BuildInputs {
            asks_packages: false,
            ..inputs.clone()
        };
        self.solve(&again, vec![exports::docker_tar(tags, &tar)])
            .await?;
        let file = tokio::fs::File::open(&tar)
            .await
            .map_err(|error| fail("image.tar", error))?;
        target
            .load_image(ReaderStream::new(file))
            .await
            .map_err(docker_error)?;
        let image = target.image_inspect(&tags[0]).await.map_err(docker_error)?;
        Ok(image.map(|image| image.id))
    }
}

/// An image's name and tag as Docker's API takes them.
fn docker_name(reference: &Reference) -> (String, &str) {
    let name = format!("{}/{}", reference.registry(), reference.repository());
    (name, reference.tag().unwrap_or("latest"))
}

/// A build that did not succeed. What a failed step printed is in the trace of
/// the progress, so the two are put together when both are there.
#[derive(Debug)]
pub enum BuildError {
    /// Before or after the solve.
    Command(CommandError),
    /// The solve.
    Solve(SolveError),
    /// A failed step, explained by what was seen of it.
    Failed(Box<Failure>),
}

impl From<CommandError> for BuildError {
    fn from(error: CommandError) -> Self {
        BuildError::Command(error)
    }
}

impl From<SolveError> for BuildError {
    fn from(error: SolveError) -> Self {
        BuildError::Solve(error)
    }
}

impl BuildError {
    /// Whether a containerd image store lost a layer's parent while it unpacked the image, as happens
    /// to builds that end together: <https://github.com/moby/buildkit/issues/6521>.
    fn is_of_unpacking(&self) -> bool {
        let BuildError::Solve(SolveError::Build(failure)) = self else {
            return false;
        };
        let message = &failure.message;
        message.contains("failed to prepare extraction snapshot")
            && message.contains("does not exist")
    }

    /// Joins a failed step with what was seen on the way: its last lines, its place in the
    /// Dockerfile. Other errors stay as they are.
    #[must_use]
    pub fn explain(self, trace: &BuildTrace, plan: &BuildPlan) -> Self {
        let BuildError::Solve(SolveError::Build(failure)) = &self else {
            return self;
        };
        let mut explained = explain(failure, trace);
        if let Some(source) = &mut explained.source {
            // The builder knows the file by the name it travelled under.
            source.file.clone_from(&plan.dockerfile.name);
        }
        BuildError::Failed(Box::new(explained))
    }
}

/// What a build that was stopped says.
pub fn cancelled() -> CommandError {
    CommandError::work("stopped: nothing was pushed or locked")
}

fn docker_error(error: DockerApiError) -> CommandError {
    CommandError::environment(format!("Docker: {}", chain(&error)))
}

#[cfg(test)]
mod tests {
    use mlbuild_buildkit::BuildFailure;

    use super::*;

    #[test]
    fn a_lost_snapshot_is_told_from_a_failed_step() {
        let error = |message: &str| {
            BuildError::Solve(SolveError::Build(BuildFailure {
                message: message.to_owned(),
                ..BuildFailure::default()
            }))
        };
        // As Docker 26 said it.
        let lost = "failed to prepare extraction snapshot \"extract-413221296-SB1P sha256:00fb\": \
                    parent snapshot sha256:7c56 does not exist: not found";
        assert!(error(lost).is_of_unpacking());
        assert!(
            !error("process \"/bin/sh -c false\" did not complete: exit code: 1").is_of_unpacking()
        );
        assert!(!BuildError::Solve(SolveError::Cancelled).is_of_unpacking());
    }
}
