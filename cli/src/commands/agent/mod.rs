//! `mlbuild agent`: takes jobs from queues and runs them as containers, or in a Kubernetes cluster.

mod build;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueHint};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::queue::store_args::StoreArgs;
use crate::error::{CommandError, CommandResult};
use crate::support::cluster_args::ClusterArgs;
use crate::support::runtime::wait_for;
use crate::support::terminal::Terminal;
use mlbuild::agent::{self, AgentRequest, GpuChoice, JobError, RegisteredAgent};
use mlbuild::records::project_folder;
use mlbuild::runtime::RuntimeCli;
use mlbuild::settings;

/// Take jobs from queues, and run each as a container, or as an object of a Kubernetes cluster.
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
    /// The cluster, for queues of Kubernetes.
    #[command(flatten)]
    pub cluster: ClusterArgs,
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
/// Where something is wrong, Docker doesn't answer, or the store can't be used.
pub fn run(args: &AgentArgs) -> CommandResult {
    let folder = settings::current_folder()?;
    let project = match &args.project {
        None => project_folder(&folder),
        Some(project) => project.canonicalize().map_err(|error| {
            CommandError::user(format!("--project {}: {error}", project.display()))
        })?,
    };
    let request = AgentRequest {
        queues: args.queues.clone(),
        max_jobs: args.max_jobs.map(usize::from),
        config: args.config.clone(),
        name: args.name.clone(),
        gpus: gpus(args.gpus.as_deref())?,
        lease: Duration::from_secs_f64(args.lease),
        runtime_cli: args.runtime_cli,
        cluster: args.cluster.target(),
        exit_when_idle: args.exit_when_idle,
        place: args.store.place()?,
        folder,
        project,
        builds: Box::new(build::ChildBuilds),
        words,
    };
    let reporter = Arc::new(Terminal::default());
    let agent = wait_for(async { Ok(agent::register(request, reporter).await?) })?;
    stop_on_signals(&agent)?;
    wait_for(async { Ok(agent.serve().await?) })
}

/// The first SIGINT or SIGTERM stops the agent, the second ends the process at once.
fn stop_on_signals(agent: &RegisteredAgent) -> CommandResult {
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, agent.stopping())
            .and_then(|_| signal_hook::flag::register(signal, agent.stopping()))
            .map_err(CommandError::environment)?;
    }
    Ok(())
}

/// A job's failure in one text: the queue keeps it.
fn words(error: JobError) -> String {
    let error = CommandError::from(error);
    let mut text = error.message().to_owned();
    for hint in error.hints() {
        text.push_str("; ");
        text.push_str(hint);
    }
    text
}

fn gpus(given: Option<&str>) -> CommandResult<GpuChoice> {
    let Some(given) = given else {
        return Ok(GpuChoice::Found);
    };
    if matches!(given, "off" | "none") {
        return Ok(GpuChoice::Ids(Vec::new()));
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
    Ok(GpuChoice::Ids(ids))
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
