//! A container from a pinned image: `docker run` that knows what it started.
//!
//! [`run`] takes a [`StartRequest`], has the container's program run to its end, and returns a
//! [`StartOutcome`]. The program has this process's terminal, as if it had been started by hand.
//!
//! | step | file |
//! | --- | --- |
//! | which of docker, podman, nerdctl and apptainer, or the private Docker | `runtime_cli` |
//! | whose network a container of the private Docker has | `shared_network` |
//! | the image, by digest | `image` |
//! | GPUs | `gpu` |
//! | what machine learning usually needs, and the tracker's variables | `defaults`, `container_env`, `credentials` |
//! | the run's record | `record` |
//! | what Apptainer is started with | `apptainer` |
//! | the container, to its end | `child` |
//! | what its digest is of | `resolve_digest` |
//!
//! `gui` is the same for programs that open windows, `dev` for a project's own container, and `job`
//! for agents, which make and start containers in two steps. `devcontainer` writes the file from
//! which editors start one.

mod apptainer;
pub(crate) mod child;
mod container_env;
pub(crate) mod containers;
pub(crate) mod credentials;
pub mod defaults;
pub mod dev;
pub mod devcontainer;
mod error;
pub(crate) mod gpu;
pub mod gui;
pub(crate) mod image;
pub mod job;
mod look;
pub mod project_image;
pub(crate) mod record;
mod redact;
mod resolve_digest;
pub(crate) mod runtime_cli;
mod shared_network;
pub mod unsupported;

use std::io::Write;
use std::path::{Path, PathBuf};

use mlbuild_manifests::RunId;
use serde::Serialize;

pub use self::child::RunEnd;
pub use self::error::{ProgramUser, StartError};
pub use self::gpu::GpuSelection;
pub use self::redact::without_secrets;

use self::child::{Launch, Signals};
use self::gpu::GpuUse;
use self::image::PinnedImage;
use self::record::PendingRecord;
use self::resolve_digest::OpenRun;
use self::runtime_cli::ContainerRuntime;
use crate::env_vars;
use crate::records::data::DataWish;
use crate::registry::RegistryOptions;
use crate::reporter::Reporter;
use crate::runtime::{LeftOut, Options, RunSpec, RuntimeCli};

/// What is started, and how.
#[derive(Debug, Clone)]
pub struct StartRequest {
    /// The image, the command and the flags of `docker run`, with absolute paths.
    pub spec: RunSpec,
    /// The program that starts it; `None`: the first of docker, podman and nerdctl that answers, else apptainer
    /// where none of them is installed.
    pub runtime: Option<RuntimeCli>,
    /// The GPUs it gets.
    pub gpu: GpuSelection,
    /// Whether it gets what machine learning usually needs: a larger /dev/shm, limits of memory.
    pub defaults: bool,
    /// Whether it gets the tracker's key of this machine too, with the other defaults.
    pub tracker_key: bool,
    /// Whether the run is recorded in the project's `mlbuild.runs/`.
    pub record: bool,
    /// The data whose fingerprints the record gets.
    pub data: Vec<DataWish>,
    /// The run's id.
    pub run_id: RunId,
    /// The folder it is started from; its project has the record.
    pub folder: PathBuf,
    /// How registries are reached; `None`: none is asked what the image's digest is of.
    pub registry: Option<RegistryOptions>,
}

/// A run that has ended, or goes on in the background.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StartOutcome {
    /// The run's id.
    pub run_id: String,
    /// The image, by digest; by its ID where no registry has it.
    pub image: String,
    /// How the container ended.
    pub end: RunEnd,
}

/// Everything that is known when the container is about to start.
pub(crate) struct Start<'a> {
    run_id: RunId,
    /// What is started, with the pinned image and everything that was added.
    pub(crate) spec: RunSpec,
    /// The words of the command, the program's name first; none where Apptainer starts it.
    argv: Vec<String>,
    pub(crate) image: PinnedImage,
    pub(crate) gpu: GpuUse,
    pub(crate) runtime: &'a ContainerRuntime,
    /// Variables that go to the runtime's environment only.
    pub(crate) secrets: Vec<(&'static str, String)>,
    registry: Option<RegistryOptions>,
}

/// What a use case gives the container for this run alone.
#[derive(Default)]
pub(crate) struct Extras {
    /// Flags that the record doesn't have: what they name is gone when the run is over.
    pub(crate) options: Options,
    /// The way to the display, for the record.
    pub(crate) display: Option<String>,
    /// Gets what the program prints to stderr, after the terminal.
    pub(crate) stderr_watch: Option<Box<dyn Write + Send>>,
}

/// Starts a container and waits for its end.
///
/// # Errors
/// Where no runtime answers, the image can't be had, a GPU is required and there is none, or the
/// record can't be written.
pub async fn run(
    request: StartRequest,
    reporter: &dyn Reporter,
) -> Result<StartOutcome, StartError> {
    let pending = PendingRecord::of_request(&request);
    let (runtime, image) = image::find_and_pin(
        request.runtime,
        &request.spec,
        request.registry.as_ref(),
        reporter,
    )
    .await?;
    let start = Start::prepare(request, &runtime, image, reporter)?;
    let pending = pending
        .map(|pending| pending.settled(reporter))
        .transpose()?;
    let signals = Signals::hold()?;
    start
        .go(pending, signals, Extras::default(), reporter)
        .await
}

impl<'a> Start<'a> {
    /// Decides everything that can be known without starting anything.
    ///
    /// # Errors
    /// Where a GPU can't be had, or the runtime can't do what was asked for.
    pub(crate) fn prepare(
        request: StartRequest,
        runtime: &'a ContainerRuntime,
        image: PinnedImage,
        reporter: &dyn Reporter,
    ) -> Result<Self, StartError> {
        let mut spec = request.spec;
        shared_network::check(runtime, &spec.options)?;
        let gpu = gpu::request(runtime, &request.gpu, &spec)?;
        let mut options = spec.options.over(gpu.options());
        let mut secrets = Vec::new();
        if request.defaults {
            spec.options = options;
            let usual = defaults::of(&spec, runtime, gpu.is_given(), &image, &request.folder);
            options = spec.options.over(usual);
            if request.tracker_key
                && let Some(key) = credentials::tracker_key(options.all("env"))
            {
                options.add("env", env_vars::WANDB_API_KEY);
                secrets.push((env_vars::WANDB_API_KEY, key));
            }
        }
        let options = options.over(container_env::variables(&request.run_id, &image));
        // The image is there by now, and named by digest.
        spec.options = options.without(&["pull", "quiet"]);
        spec.image.clone_from(&image.start);
        let argv = if runtime.cli == RuntimeCli::Apptainer {
            apptainer::check(&spec, &image, reporter)?;
            Vec::new()
        } else {
            let rendered = spec.argv(runtime.cli);
            refuse_left_out(&rendered.left_out)?;
            warn_of_missing_sources(&spec, runtime, reporter);
            rendered.form
        };
        Ok(Start {
            run_id: request.run_id,
            spec,
            argv,
            image,
            gpu,
            runtime,
            secrets,
            registry: request.registry,
        })
    }

    /// Writes the record, starts the container and waits for its end.
    ///
    /// # Errors
    /// Where the record can't be written, or the runtime's program can't be started.
    pub(crate) async fn go(
        self,
        pending: Option<PendingRecord>,
        signals: Signals,
        extras: Extras,
        reporter: &dyn Reporter,
    ) -> Result<StartOutcome, StartError> {
        self.announce(reporter);
        let mut options = extras.options;
        if shared_network::is_used(self.runtime, &self.spec.options) {
            options.add("network", "host");
        }
        options.add("label", &format!("{}={}", containers::LABEL, self.run_id));
        let whole = RunSpec {
            options: self.spec.options.clone().over(options),
            ..self.spec.clone()
        };
        let launch = self.launch(&whole)?;
        let written = |pending: PendingRecord| {
            let run = pending.write(&self, extras.display, reporter)?;
            Ok::<_, StartError>(OpenRun::of(run, &self.image, self.registry.clone()))
        };
        let run = pending.map(written).transpose()?;
        let end = child::run(launch, signals, extras.stderr_watch).await;
        if let Some(run) = run {
            record::finish(run.close(), &end, reporter);
        }
        Ok(StartOutcome {
            run_id: self.run_id.to_string(),
            image: self.image.pinned,
            end: end?,
        })
    }

    /// The program that starts it, and with what.
    fn launch(&self, whole: &RunSpec) -> Result<Launch, StartError> {
        if self.runtime.cli == RuntimeCli::Apptainer {
            return apptainer::launch(self, whole);
        }
        let rendered = whole.argv(self.runtime.cli);
        refuse_left_out(&rendered.left_out)?;
        let environment = self.secrets.iter();
        let environment = environment.map(|(name, value)| ((*name).to_owned(), value.clone()));
        Ok(Launch {
            program: self.runtime.program.clone(),
            args: rendered.form[1..].to_vec(),
            environment: environment.collect(),
            detached: self.spec.options.is_on("detach"),
            ..Launch::default()
        })
    }

    /// Says which run this is, of which image, on which GPU.
    fn announce(&self, reporter: &dyn Reporter) {
        let by = match self.runtime.cli {
            RuntimeCli::Apptainer => format!(", by {}", self.runtime.name_and_version()),
            _ => String::new(),
        };
        reporter.note(format!("run {}: {}{by}", self.run_id, self.image.pinned));
        if let Some(line) = self.gpu.describe() {
            reporter.note(line);
        }
    }
}

/// Where the chosen runtime can't do what was asked for.
pub fn refuse_left_out(parts: &[LeftOut]) -> Result<(), StartError> {
    if parts.is_empty() {
        return Ok(());
    }
    Err(StartError::Unsupported {
        parts: parts.to_vec(),
    })
}

/// `-v` of a folder that isn't there makes an empty one that belongs to root: rarely what is meant.
fn warn_of_missing_sources(spec: &RunSpec, runtime: &ContainerRuntime, reporter: &dyn Reporter) {
    if !runtime.is_local() {
        return;
    }
    for (flag, source) in spec.bind_sources() {
        if flag == "volume" && !Path::new(source).exists() {
            reporter.warning(format!(
                "--volume {source}: there is no such folder; {} makes an empty one",
                runtime.cli
            ));
        }
    }
}
