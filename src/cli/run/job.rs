//! Containers of an agent's jobs: prepared as `mlbuild run` does, then made and started in two
//! steps, so that a start happens once.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mlbuild_buildkit::docker::api::DockerApi;
use mlbuild_manifests::RunId;

use super::own::OwnFlags;
use super::record::Paper;
use super::runtime_cli::{self, Found};
use super::{Start, image, ready};
use crate::accelerator::{self, Host};
use crate::error::{CommandError, CommandResult};
use crate::records::{Snapshot, StartedRun};
use crate::runtime::{Options, RunSpec, RuntimeCli};

/// Options that `docker run` has and `docker create` hasn't, or that the agent sees to itself.
const OF_RUN: [&str; 4] = ["detach", "detach-keys", "sig-proxy", "rm"];

/// The Docker that an agent starts jobs on.
pub(in crate::cli) struct Engine(Found);

impl Engine {
    /// Docker, where it answers.
    ///
    /// # Errors
    /// Where it doesn't.
    pub(in crate::cli) async fn find() -> CommandResult<Self> {
        runtime_cli::find(Some(RuntimeCli::Docker)).await.map(Self)
    }

    /// What tells it from others.
    pub(in crate::cli) fn id(&self) -> String {
        let daemon = self.0.docker.as_ref();
        let id = daemon.and_then(|daemon| daemon.info()["ID"].as_str());
        id.unwrap_or_default().to_owned()
    }

    /// Its API.
    pub(in crate::cli) fn api(&self) -> &DockerApi {
        &self.0.docker.as_ref().expect("it is Docker").api
    }

    /// Its client.
    pub(in crate::cli) fn program(&self) -> &Path {
        &self.0.program
    }

    /// The numbers of the GPUs that can be handed out one by one.
    pub(in crate::cli) fn gpus(&self) -> Vec<String> {
        if !self.0.is_local() {
            return Vec::new();
        }
        let found = accelerator::detect(&Host::this(self.0.accelerator()));
        let nvidia = found.nvidia.filter(|nvidia| nvidia.how.is_some());
        let count = nvidia.map_or(0, |nvidia| nvidia.gpus.len());
        (0..count).map(|n| n.to_string()).collect()
    }

    /// Pulls what is missing, and decides everything about a job's container.
    ///
    /// # Errors
    /// Where the image can't be had, or a GPU can't.
    pub(in crate::cli) async fn prepare(
        &self,
        spec: RunSpec,
        own: &Options,
        gpus: &[String],
        run_id: RunId,
        folder: &Path,
    ) -> CommandResult<Prepared<'_>> {
        let own = OwnFlags::of_job(own, gpus);
        let image = image::pin(&self.0, &spec).await?;
        let mut start = ready(spec, &own, run_id, &self.0, image, folder)?;
        if !own.defaults
            && let Some(key) = super::credentials::tracker_key(start.spec.options.all("env"))
        {
            // By name alone: the value is in the client's environment.
            start
                .spec
                .options
                .add("env", crate::env_vars::WANDB_API_KEY);
            start.secrets.push((crate::env_vars::WANDB_API_KEY, key));
        }
        let remove = start.spec.options.is_on("rm");
        start.spec.options = start.spec.options.without(&OF_RUN);
        start.argv = start.spec.argv(RuntimeCli::Docker).form;
        Ok(Prepared { start, remove })
    }
}

/// A job's container, before it is made.
pub(in crate::cli) struct Prepared<'a> {
    start: Start<'a>,
    /// Whether it goes when it has ended.
    pub(in crate::cli) remove: bool,
}

impl Prepared<'_> {
    /// The image, by digest.
    pub(in crate::cli) fn image(&self) -> &str {
        &self.start.image.pinned
    }

    /// Has Docker make the container; returns its id.
    ///
    /// # Errors
    /// Where Docker refuses.
    pub(in crate::cli) fn create(
        &self,
        name: &str,
        labels: &[(&str, String)],
    ) -> CommandResult<String> {
        let found = self.start.found;
        let mut command = Command::new(&found.program);
        command.arg("create");
        if self.start.spec.options.text("name").is_none() {
            command.arg(format!("--name={name}"));
        }
        for (label, value) in labels {
            command.arg(format!("--label={label}={value}"));
        }
        let output = command
            .args(&self.start.argv[2..])
            .envs(self.start.secrets.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .map_err(|error| {
                CommandError::environment(format!("{}: {error}", found.program.display()))
            })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with("Run 'docker"));
            let said = said.collect::<Vec<_>>().join("\n");
            let said = said
                .trim_start_matches("Error response from daemon: ")
                .trim();
            return Err(CommandError::runtime(format!("docker create: {said}")));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Writes down that the run starts.
    ///
    /// # Errors
    /// Where the record can't be written.
    pub(in crate::cli) fn write(
        &self,
        project: PathBuf,
        code: Option<Snapshot>,
    ) -> CommandResult<StartedRun> {
        Paper::of(project, code).write(&self.start, None)
    }
}
