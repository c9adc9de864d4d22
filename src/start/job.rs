//! Containers of an agent's jobs: prepared as `mlbuild run` does, then made and started in two
//! steps, so that a start happens once.

use std::path::Path;
use std::process::{Command, Stdio};

use mlbuild_docker::api::DockerApi;
use mlbuild_manifests::RunId;

use super::credentials::tracker_key;
use super::error::StartError;
use super::record::PendingRecord;
use super::runtime_cli::{self, ContainerRuntime};
use super::{GpuSelection, Start, StartRequest, image};
use crate::accelerator::{self, Host};
use crate::env_vars::WANDB_API_KEY;
use crate::records::{Snapshot, StartedRun, this_host};
use crate::reporter::Reporter;
use crate::runtime::{Options, RunSpec, RuntimeCli, Value};

/// Options that `docker run` has and `docker create` hasn't, or that the agent sees to itself.
const OF_RUN: [&str; 4] = ["detach", "detach-keys", "sig-proxy", "rm"];

/// What an agent starts jobs with: Docker or Podman.
pub struct Engine(ContainerRuntime);

impl Engine {
    /// One of them, where it answers.
    ///
    /// # Errors
    /// Where it doesn't.
    pub async fn find(cli: RuntimeCli) -> Result<Self, StartError> {
        runtime_cli::find(Some(cli)).await.map(Self)
    }

    /// What tells it from others; empty where it can't be told.
    pub fn id(&self) -> String {
        match &self.0.docker {
            Some(daemon) => daemon.info()["ID"].as_str().unwrap_or_default().to_owned(),
            None => self.podmans_id().unwrap_or_default(),
        }
    }

    /// A Podman is what lies in one folder of one machine.
    fn podmans_id(&self) -> Option<String> {
        let output = Command::new(&self.0.program)
            .args(["info", "--format={{.Store.GraphRoot}}"])
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let folder = String::from_utf8(output.stdout).ok()?;
        let machine = std::fs::read_to_string("/etc/machine-id").ok();
        let machine = machine.unwrap_or_else(|| this_host().name);
        let id = format!("podman:{}:{}", machine.trim(), folder.trim());
        output.status.success().then_some(id)
    }

    /// Docker's API; Podman is a program alone.
    pub fn api(&self) -> Option<&DockerApi> {
        self.0.docker.as_ref().map(|daemon| &daemon.api)
    }

    /// Whether it has a container.
    pub async fn has_container(&self, id: &str) -> bool {
        match self.api() {
            Some(api) => api.container_inspect(id).await.is_ok_and(|c| c.is_some()),
            None => {
                let mut exists = Command::new(&self.0.program);
                exists
                    .args(["container", "exists", "--", id])
                    .stdin(Stdio::null());
                exists.output().is_ok_and(|output| output.status.success())
            }
        }
    }

    /// Whether it is Podman.
    pub fn is_podman(&self) -> bool {
        self.0.cli == RuntimeCli::Podman
    }

    /// Its client.
    pub fn program(&self) -> &Path {
        &self.0.program
    }

    /// The numbers of the GPUs that can be handed out one by one.
    pub(crate) fn gpus(&self) -> Vec<String> {
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
    pub(crate) async fn prepare(
        &self,
        job: JobStart<'_>,
        reporter: &dyn Reporter,
    ) -> Result<Prepared<'_>, StartError> {
        let (spec, own) = (job.spec, job.own);
        let image = image::pin(&self.0, &spec, None, reporter).await?;
        let request = StartRequest {
            spec,
            runtime: Some(self.0.cli),
            gpu: match job.gpus {
                [] => GpuSelection::Off,
                ids => GpuSelection::Ids(ids.to_vec()),
            },
            // Docker's options are all that is wanted, unless the queue says more.
            defaults: own.has("no-defaults") && !own.is_on("no-defaults"),
            record: true,
            data: Vec::new(),
            run_id: job.run_id,
            folder: job.folder.to_owned(),
            registry: None,
            tracker_key: false,
        };
        let mut start = Start::prepare(request, &self.0, image, reporter)?;
        if job.hands_key {
            start.add_tracker_key();
        }
        let remove = start.spec.options.is_on("rm");
        start.spec.options = start.spec.options.without(&OF_RUN);
        start.argv = start.spec.argv(self.0.cli).form;
        Ok(Prepared { start, remove })
    }
}

/// Whether this machine has a key of the tracker that jobs could be handed.
pub(crate) fn has_tracker_key() -> bool {
    tracker_key(std::iter::empty()).is_some()
}

impl Start<'_> {
    /// Hands on the tracker's key. By name alone: the value is in the client's environment.
    fn add_tracker_key(&mut self) {
        let with_value = self.spec.options.all("env").filter(
            |value| !matches!(value, Value::Assignment(variable) if variable.value.is_none()),
        );
        let Some(key) = tracker_key(with_value) else {
            return;
        };
        let is_named = |value: &Value| matches!(value, Value::Assignment(variable) if variable.name == WANDB_API_KEY);
        if !self.spec.options.all("env").any(is_named) {
            self.spec.options.add("env", WANDB_API_KEY);
        }
        self.secrets.push((WANDB_API_KEY, key));
    }
}

/// What an agent says about a job's container.
pub(crate) struct JobStart<'a> {
    /// What is started, by docker's options.
    pub(crate) spec: RunSpec,
    /// mlbuild's own options.
    pub(crate) own: &'a Options,
    /// The GPUs that it may use, by number or UUID.
    pub(crate) gpus: &'a [String],
    /// The id of the job, and of its run.
    pub(crate) run_id: RunId,
    /// The agent's folder.
    pub(crate) folder: &'a Path,
    /// Whether it gets the tracker's key of this machine, where there is one.
    pub(crate) hands_key: bool,
}

/// A job's container, before it is made.
pub(crate) struct Prepared<'a> {
    start: Start<'a>,
    /// Whether it goes when it has ended.
    pub(crate) remove: bool,
}

impl Prepared<'_> {
    /// The image, by digest.
    pub(crate) fn image(&self) -> &str {
        &self.start.image.pinned
    }

    /// Has the container made; returns its id.
    ///
    /// # Errors
    /// Where that is refused.
    pub(crate) fn create(
        &self,
        name: &str,
        labels: &[(&str, String)],
    ) -> Result<String, StartError> {
        let runtime = self.start.runtime;
        let mut command = Command::new(&runtime.program);
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
            .map_err(|error| StartError::ProgramFailed {
                program: runtime.program.clone(),
                why: error.to_string(),
            })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with("Run 'docker"));
            let said = said.collect::<Vec<_>>().join("\n");
            let said = said
                .trim_start_matches("Error response from daemon: ")
                .trim_start_matches("Error: ")
                .trim();
            return Err(StartError::NotCreated {
                runtime: runtime.cli,
                why: said.to_owned(),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Writes down that the run starts.
    ///
    /// # Errors
    /// Where the record can't be written.
    pub(crate) fn write(
        &self,
        project: &Path,
        code: Option<Snapshot>,
        reporter: &dyn Reporter,
    ) -> Result<StartedRun, StartError> {
        PendingRecord::of(project, code).write(&self.start, None, reporter)
    }
}
