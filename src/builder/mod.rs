//! Runs a [`BuildPlan`] on a builder and says what came out.
//!
//! The `buildkit` crate speaks the protocol; here a plan becomes one or more
//! solves, in the way that the builder at hand can do them, and what it can't
//! do is refused before anything runs.

mod check;
mod connect;
mod culprit;
mod error;
mod export;
mod exports;
mod log_ins;
mod packages;
mod redaction;
mod request;
mod solve;
mod source_policy;
mod ssh_agent;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mlbuild_buildkit::fsutil::ReceivedFolder;
use mlbuild_buildkit::{BuilderInfo, BuilderKind, Client, ImageStore, StatusResponse};
use mlbuild_docker::api::DockerApi;
use mlbuild_manifests::lock::LockedPackages;
use mlbuild_templates::reference;
use oci_spec::distribution::Reference;
use oci_spec::image::Descriptor;
use tokio::sync::mpsc;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

pub use connect::{Connection, connect_or_start, connect_quietly, is_at_hand, local_docker};
pub use culprit::Culprit;
pub use error::{BuilderError, ExplainFailure, PlanFeature, TlsFile};
pub use exports::{Delivery, Route};
pub use log_ins::images_read;
pub use redaction::Redaction;
pub use solve::{SolveRequest, untitled};
pub use ssh_agent::SshAgents;

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
    /// What is taken out of what the builder says.
    pub redaction: Redaction,
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
    pub async fn new(client: Client) -> Result<Self, BuilderError> {
        let info = client.info().await;
        let info = info.map_err(|source| BuilderError::Unknown {
            endpoint: client.endpoint().to_string(),
            source,
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
        let own = self.native_platform();
        own.map(str::to_owned).into_iter().collect()
    }

    /// The platform of the builder's own machine: it runs programs of that without emulation.
    pub fn native_platform(&self) -> Option<&str> {
        let worker = self.info.workers.first()?;
        worker.platforms.first().map(String::as_str)
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
    /// Where this builder can't do what the plan asks for, a step fails, or the builder goes away.
    pub async fn build(&self, inputs: &BuildInputs<'_>) -> Result<BuildOutput, BuilderError> {
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
    ) -> Result<BuildOutput, BuilderError> {
        self.solve_but(inputs, exports, BTreeMap::new()).await
    }

    /// Leaves blobs out of an `oci` export: sizes in bytes by digest.
    async fn solve_but(
        &self,
        inputs: &BuildInputs<'_>,
        exports: Vec<mlbuild_buildkit::Export>,
        held: BTreeMap<String, u64>,
    ) -> Result<BuildOutput, BuilderError> {
        let (mut options, session, refused) =
            request::prepare(inputs, exports, self.default_network.as_deref())?;
        options.held = held;
        let (events, cancel) = (inputs.events.clone(), inputs.cancel.clone());
        // Boxed, as the work above it: futures of debug builds would outgrow a stack.
        let solved = Box::pin(self.client.solve(options, session, events, cancel)).await;
        // A failed build may have failed for it.
        if let Some(warning) = log_ins::warning(&refused.hosts()) {
            let _ = inputs.events.send(warning).await;
        }
        let solved = solved.map_err(|error| inputs.redaction.of_error(error))?;
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
    pub async fn files(&self, inputs: &BuildInputs<'_>, folder: &Path) -> Result<(), BuilderError> {
        check::check(inputs.plan, inputs.host, &self.info)?;
        Box::pin(self.solve(inputs, vec![exports::files(folder)])).await?;
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
    ) -> Result<Option<LockedPackages>, BuilderError> {
        let Some(plan) = packages::plan(inputs.plan) else {
            return Ok(None);
        };
        let folder = tempfile::tempdir().map_err(BuilderError::temporary)?;
        let asked = BuildInputs {
            plan: &plan,
            asks_packages: false,
            ..inputs.clone()
        };
        self.solve(&asked, vec![exports::files(folder.path())])
            .await?;
        // Programs of the image wrote them.
        let received = ReceivedFolder::open(folder.path()).map_err(BuilderError::temporary)?;
        let content = |file: &str| received.text(file, packages::MAX_LIST).ok();
        Ok(packages::read(content))
    }

    /// The id of an image in the Docker around this builder; `None` where it has none of that name.
    ///
    /// # Errors
    /// Where Docker doesn't answer, or the builder isn't Docker's.
    pub async fn docker_image_id(&self, name: &str) -> Result<Option<String>, BuilderError> {
        let found = self.docker()?.image_inspect(name).await;
        Ok(found?.map(|image| image.id))
    }

    /// The Docker around this builder.
    ///
    /// # Errors
    /// Where there is none.
    pub fn docker(&self) -> Result<&DockerApi, BuilderError> {
        self.client.docker().ok_or_else(|| BuilderError::NotDocker {
            endpoint: self.client.endpoint().to_string(),
        })
    }

    /// `--load` from a builder that isn't Docker's: the image goes through a tar, unless
    /// Docker has it already.
    async fn load_elsewhere(
        &self,
        tags: &[String],
        inputs: &BuildInputs<'_>,
        built: &BuildOutput,
    ) -> Result<Option<String>, BuilderError> {
        let client = connect::local_docker().await?;
        let target = client.docker().ok_or(BuilderError::NoDocker)?;
        for id in [&built.config_digest, &built.digest()]
            .into_iter()
            .flatten()
        {
            if let Ok(Some(image)) = target.image_inspect(id).await {
                for tag in tags {
                    let reference = reference::parse(tag)?;
                    let (name, label) = docker_name(&reference);
                    target.tag_image(&image.id, &name, label).await?;
                }
                return Ok(Some(image.id));
            }
        }
        let folder = tempfile::tempdir().map_err(BuilderError::temporary)?;
        let tar = folder.path().join("image.tar");
        let again = BuildInputs {
            asks_packages: false,
            ..inputs.clone()
        };
        self.solve(&again, vec![exports::docker_tar(tags, &tar)])
            .await?;
        let file = tokio::fs::File::open(&tar)
            .await
            .map_err(BuilderError::file(Path::new("image.tar")))?;
        target.load_image(ReaderStream::new(file)).await?;
        let image = target.image_inspect(&tags[0]).await?;
        Ok(image.map(|image| image.id))
    }
}

/// An image's name and tag as Docker's API takes them.
fn docker_name(reference: &Reference) -> (String, &str) {
    let name = format!("{}/{}", reference.registry(), reference.repository());
    (name, reference.tag().unwrap_or("latest"))
}
