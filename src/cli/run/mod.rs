//! `mlbuild run`: `docker run` that knows what it started.
//!
//! | step | file |
//! | --- | --- |
//! | flags, the image by grammar, `[run]` of `mlbuild.toml` | `runtime::parse`, `own` |
//! | which of docker, podman and nerdctl | `runtime_cli` |
//! | the image, by digest | `image` |
//! | GPUs | `gpu` |
//! | what machine learning usually needs, and the tracker's variables | `defaults`, `inside`, `credentials` |
//! | the run on paper | `record` |
//! | the container, to its end | `child` |
//! | what its digest is of | `told_apart` |
//!
//! `job` has the same for agents, which make and start containers in two steps.

pub(super) mod child;
pub(super) mod containers;
pub(super) mod credentials;
pub(super) mod defaults;
pub(super) mod dry_run;
pub(super) mod gpu;
pub(super) mod help;
pub(super) mod image;
mod inside;
pub(super) mod job;
pub(super) mod left_out;
pub(super) mod own;
pub(super) mod record;
pub(super) mod runtime_cli;
mod told_apart;

use std::path::{Path, PathBuf};

use clap::Args;
use mlbuild_manifests::RunId;

use self::child::{Outcome, Signals};
use self::gpu::GpuUse;
use self::image::PinnedImage;
use self::own::OwnFlags;
use self::record::Paper;
use self::runtime_cli::Found;
use self::told_apart::OpenRun;
use super::output;
use crate::config::Config;
use crate::env_vars;
use crate::error::CommandResult;
use crate::runtime::{self, LeftOut, Options, Parsed, RunSpec};

/// Run a container as docker run does, from a pinned image, with the GPU and a run id.
///
/// Takes every flag of `docker run`; the first word that is no flag is the image. The image is
/// resolved to its digest first and started from that. The exit code is the container's.
#[derive(Debug, Clone, Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub struct RunArgs {
    /// Flags, the image, the command.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// The verb with every flag.
pub fn documented(raw: clap::Command) -> clap::Command {
    help::documented(raw, runtime::RUN, "IMAGE [COMMAND] [ARG]...")
}

/// Everything that is known when the container is about to start.
pub(super) struct Start<'a> {
    run_id: RunId,
    /// What is started, with the pinned image and everything that was added.
    pub(super) spec: RunSpec,
    /// The words of the command, the program's name first.
    argv: Vec<String>,
    pub(super) image: PinnedImage,
    pub(super) gpu: GpuUse,
    pub(super) found: &'a Found,
    /// Variables that go to the runtime's environment only.
    pub(super) secrets: Vec<(&'static str, String)>,
}

/// What the verb gives the container for this run alone.
#[derive(Default)]
pub(super) struct Beside {
    /// Flags that the record doesn't have: what they name is gone when the run is over.
    pub(super) options: Options,
    /// The way to the display, for the record.
    pub(super) display: Option<String>,
    /// Reads what the program prints to stderr, beside the terminal.
    pub(super) ear: Option<Box<dyn std::io::Write + Send>>,
}

/// Runs the verb; returns the exit code.
///
/// # Errors
/// Where the line or `mlbuild.toml` is wrong, no runtime answers, the image can't be had, or a GPU
/// is required and there is none.
pub fn run(args: &RunArgs) -> CommandResult<u8> {
    let parsed = runtime::parse(&args.words)?;
    if parsed.own.is_on("help") {
        return output::answer(&help::text(runtime::RUN)).map(|()| 0);
    }
    let folder = crate::settings::current_folder()?;
    let config = crate::settings::read_config(&folder)?;
    let Parsed { spec, own } = with_config(parsed, config, &folder);
    let own = OwnFlags::read(&own)?;
    if own.dry_run {
        return dry_run::print(spec, &own, &folder).map(|()| 0);
    }
    let run_id = own.run_id()?;
    let paper = own.record.then(|| Paper::begin(&folder));
    let (found, image) = super::wait_for(image::find_and_pin(own.cli, &spec))?;
    start(spec, &own, run_id, &found, image, paper, &folder)
}

/// What was typed, and `[run]` of `mlbuild.toml` where nothing was; paths are meant from `folder`.
pub(super) fn with_config(parsed: Parsed, config: Config, folder: &Path) -> Parsed {
    let (config_options, config_own) = config.run.0.by_owner();
    let mut spec = parsed.spec;
    spec.options = spec.options.over(config_options);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    spec.anchor(folder, home.as_deref());
    Parsed {
        spec,
        own: parsed.own.over(config_own),
    }
}

/// From here on everything is known; nothing is asked any more. Returns the exit code.
pub(super) fn start(
    spec: RunSpec,
    own: &OwnFlags,
    run_id: RunId,
    found: &Found,
    image: PinnedImage,
    paper: Option<Paper>,
    folder: &Path,
) -> CommandResult<u8> {
    let start = ready(spec, own, run_id, found, image, folder)?;
    go(start, paper, Signals::hold()?, Beside::default())
}

/// Everything that is known without starting anything.
pub(super) fn ready<'a>(
    mut spec: RunSpec,
    own: &OwnFlags,
    run_id: RunId,
    found: &'a Found,
    image: PinnedImage,
    folder: &Path,
) -> CommandResult<Start<'a>> {
    let gpu = gpu::request(found, &own.gpu, &spec)?;
    let mut options = spec.options.over(gpu.options());
    let mut secrets = Vec::new();
    if own.defaults {
        spec.options = options;
        let usual = defaults::of(&spec, found, gpu.is_given(), &image, folder);
        options = spec.options.over(usual);
        if let Some(key) = credentials::tracker_key(options.all("env")) {
            options.add("env", env_vars::WANDB_API_KEY);
            secrets.push((env_vars::WANDB_API_KEY, key));
        }
    }
    let options = options.over(inside::variables(&run_id, &image));
    // The image is there by now, and named by digest.
    spec.options = options.without(&["pull", "quiet"]);
    spec.image.clone_from(&image.start);
    let rendered = spec.argv(found.cli);
    refuse_left_out(&rendered.left_out)?;
    warn_of_missing_sources(&spec, found);
    Ok(Start {
        run_id,
        spec,
        argv: rendered.form,
        image,
        gpu,
        found,
        secrets,
    })
}

/// Writes the record, starts the container and waits for its end. Returns the exit code.
pub(super) fn go(
    start: Start,
    paper: Option<Paper>,
    signals: Signals,
    beside: Beside,
) -> CommandResult<u8> {
    tell(&start);
    let mut options = beside.options;
    options.add("label", &format!("{}={}", containers::LABEL, start.run_id));
    let whole = RunSpec {
        options: start.spec.options.clone().over(options),
        ..start.spec.clone()
    };
    let rendered = whole.argv(start.found.cli);
    refuse_left_out(&rendered.left_out)?;
    let written = |paper: Paper| {
        let project = paper.project().to_path_buf();
        let run = paper.write(&start, beside.display)?;
        CommandResult::Ok(OpenRun::of(run, &start.image, project))
    };
    let run = paper.map(written).transpose()?;
    let outcome = child::run(&start, &rendered.form, signals, beside.ear);
    if let Some(run) = run {
        record::finish(run.close(), &outcome);
    }
    let outcome = outcome?;
    if let Outcome::Detached { answer } = &outcome {
        output::answer(answer)?;
    }
    Ok(outcome.exit_code())
}

/// The story: which run this is, of which image, on which GPU.
fn tell(start: &Start) {
    output::note(&format!("run {}: {}", start.run_id, start.image.pinned));
    if let Some(line) = start.gpu.told() {
        output::note(&line);
    }
}

/// Where the chosen runtime can't do what was asked for.
fn refuse_left_out(parts: &[LeftOut]) -> CommandResult {
    left_out::refuse(parts, "leave it out, or start it with --runtime-cli docker")
}

/// `-v` of a folder that isn't there makes an empty one that belongs to root: rarely what is meant.
fn warn_of_missing_sources(spec: &RunSpec, found: &Found) {
    if !found.is_local() {
        return;
    }
    for (flag, source) in spec.bind_sources() {
        if flag == "volume" && !Path::new(source).exists() {
            output::warning(&format!(
                "--volume {source}: there is no such folder; {} makes an empty one",
                found.cli
            ));
        }
    }
}
