//! `mlbuild agent`: takes jobs from queues and runs them as containers.
//!
//! | step | file |
//! | --- | --- |
//! | flags, `launch-config.yaml`, the engine, a registration at the store | here |
//! | take what silent agents left, take jobs, say that it lives | `serve` |
//! | one job: prepared, started once, followed, written down | `job` |
//! | a job that an agent left: followed, or started if it never was | `recover` |
//! | images of jobs from code | `build` |
//! | calls that outlast the daemon's restarts | `containers` |
//! | those calls, of Docker and of Podman | `calls` |

mod build;
mod calls;
mod containers;
mod job;
mod recover;
mod serve;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};
use mlbuild_manifests::RunId;

use self::containers::Containers;
use self::serve::Agent;
use super::queue::store_args::StoreArgs;
use crate::cli::support::output;
use crate::error::{CommandError, CommandResult};
use crate::queue::{AgentRegistration, BuilderKind, LaunchConfig, Store};
use crate::records::{project_folder, this_host};
use crate::runtime::RuntimeCli;

/// Take jobs from queues, and run each as a container.
///
/// Settings come from flags, else from `--config`, else from
/// `~/.config/mlbuild/launch-config.yaml`, else from W&B's own
/// `~/.config/wandb/launch-config.yaml`. An agent may be ended at any time:
/// containers go on, and the next agent on the machine takes them over.
#[derive(Debug, Clone, Args)]
pub struct AgentArgs {
    /// A queue to serve; may be given several times.
    #[arg(long = "queue", short, value_name = "NAME")]
    pub queues: Vec<String>,
    /// How many jobs it runs at once [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub max_jobs: Option<u16>,
    /// A launch-config.yaml.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Its name [default: the machine's, with some letters].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// GPUs that it may hand out, by number: 0,1; or off [default: all that are found].
    #[arg(long, value_name = "IDS")]
    pub gpus: Option<String>,
    /// Seconds without a word after which others take its jobs over.
    #[arg(long, value_name = "SECONDS", default_value_t = 15.0, value_parser = seconds)]
    pub lease: f64,
    /// Program that starts containers: docker or podman.
    #[arg(long, value_name = "NAME", default_value = "docker", value_parser = runtime)]
    pub runtime_cli: RuntimeCli,
    /// End when nothing waits or runs in its queues.
    #[arg(long)]
    pub exit_when_idle: bool,
    /// Project whose mlbuild.runs gets the records [default: that of the current folder].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub project: Option<PathBuf>,
    /// Where queues and jobs are kept.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Runs the verb.
///
/// # Errors
/// Where a setting is wrong, Docker doesn't answer, or the store can't be used.
pub fn run(args: &AgentArgs) -> CommandResult {
    let config = config(args)?;
    let place = args.store.place()?;
    let store = Store::open(&place)?;
    let queues = match (&args.queues, &config.queues) {
        (given, _) if !given.is_empty() => given.clone(),
        (_, named) if !named.is_empty() => named.clone(),
        _ => {
            return Err(CommandError::user("no queue is named")
                .hint("mlbuild agent -q NAME; mlbuild queue list shows them"));
        }
    };
    let folder = crate::settings::current_folder()?;
    let project = match &args.project {
        None => project_folder(&folder),
        Some(project) => project.canonicalize().map_err(|error| {
            CommandError::user(format!("--project {}: {error}", project.display()))
        })?,
    };
    let containers = Containers::of(args.runtime_cli)?;
    let engine = containers.engine.id();
    if engine.is_empty() {
        return Err(
            CommandError::environment(format!("{} doesn't tell its id", args.runtime_cli)).hint(
                "an agent needs Docker 17.06 or newer, or a Podman whose `podman info` answers",
            ),
        );
    }
    let host = this_host().name;
    let session = RunId::generate().to_string();
    let own_name = || format!("{host}-{}", session[session.len() - 6..].to_lowercase());
    let registration = AgentRegistration {
        name: args.name.clone().unwrap_or_else(own_name),
        session,
        host,
        engine,
        queues,
        gpus: gpus(args.gpus.as_deref(), &containers)?,
        lease: Duration::from_secs_f64(args.lease),
    };
    store.register(&registration)?;
    let max_jobs = args
        .max_jobs
        .map(usize::from)
        .or(config.max_jobs)
        .unwrap_or(1);
    output::note(&format!(
        "agent {}: serves {}; jobs at once: {}; GPUs: {}",
        registration.name,
        registration.queues.join(", "),
        match max_jobs {
            usize::MAX => "any number".to_owned(),
            number => number.to_string(),
        },
        match registration.gpus.is_empty() {
            true => "none".to_owned(),
            false => registration.gpus.join(","),
        }
    ));
    serve::serve(
        Agent {
            store_id: store.id()?,
            store,
            registration,
            containers,
            builder: config.builder,
            registry: config.registry,
            folder,
            project,
            max_jobs,
            exit_when_idle: args.exit_when_idle,
            stopping: Default::default(),
            jobs: Default::default(),
        },
        &place,
    )
}

fn config(args: &AgentArgs) -> CommandResult<LaunchConfig> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let found = args.config.clone().or_else(|| LaunchConfig::find(&home?));
    let Some(file) = found else {
        return Ok(LaunchConfig::default());
    };
    let config = LaunchConfig::read(&file)?;
    for key in &config.unused {
        output::warning(&format!("{}: `{key}` means nothing here", file.display()));
    }
    if config.builder.kind == BuilderKind::Buildkit && config.registry.is_none() {
        return Err(CommandError::user(format!(
            "{}: builder.type is buildkit, and no registry is named that it could push to",
            file.display()
        ))
        .hint("registry:\n    uri: HOST/NAME"));
    }
    Ok(config)
}

fn gpus(given: Option<&str>, containers: &Containers) -> CommandResult<Vec<String>> {
    let Some(given) = given else {
        return Ok(containers.engine.gpus());
    };
    if matches!(given, "off" | "none") {
        return Ok(Vec::new());
    }
    let mut ids: Vec<String> = given.split(',').map(|id| id.trim().to_owned()).collect();
    let is_id = |id: &String| {
        !id.is_empty()
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-:".contains(&b))
    };
    if !ids.iter().all(is_id) {
        return Err(
            CommandError::user(format!("--gpus {given}: not numbers of GPUs"))
                .hint("write --gpus 0,1 or --gpus off"),
        );
    }
    ids.sort();
    ids.dedup();
    Ok(ids)
}

/// Those that an agent can ask what became of a container.
fn runtime(text: &str) -> Result<RuntimeCli, String> {
    match text {
        "docker" => Ok(RuntimeCli::Docker),
        "podman" => Ok(RuntimeCli::Podman),
        _ => Err("write docker or podman".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.3..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("write seconds, from 0.3 to 3600".to_owned()),
    }
}
