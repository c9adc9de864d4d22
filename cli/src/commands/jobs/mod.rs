//! `mlbuild jobs`: what waits in queues, what runs, and how it ended; beside it, the Jobs that
//! `mlbuild submit` made in a Kubernetes cluster (`cluster`), and its jobs of Slurm's (`slurm`).

mod cluster;
mod prune;
pub(crate) mod slurm;

use std::process::{Command, Stdio};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde_json::{Value, json};

use self::cluster::ClusterJob;
use self::slurm::{ListedSlurmJob, Shown};
use super::logs::Wanted;
use super::queue::store_args::StoreArgs;
use crate::error::{CommandError, CommandResult};
use crate::support::cluster_args::{ClusterArgs, ContextArgs};
use crate::support::format::Format;
use crate::support::job_state;
use crate::support::output;
use crate::support::runtime::wait_for;
use crate::support::slurm_args::SlurmArgs;
use mlbuild::kubernetes::ObjectRef;
use mlbuild::queue::{Filter, Job, State, Store, StoreError};
use mlbuild::runtime::{RuntimeCli, shell_line};
use mlbuild::shell::word;
use mlbuild::start::job::Engine;

/// A cluster that nobody asked for may take so long to say what it has.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// How often somebody who follows a job looks at it.
const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// List jobs, show them, follow them, cancel them, try them again, remove them.
///
/// A job is named by its id, or by as much of its beginning or end as no other
/// job has. A Job of a Kubernetes cluster, made by mlbuild submit, by its name or its run's id.
/// A job of Slurm's, made by mlbuild submit --slurm, by its run's id, or with --slurm by its number.
#[derive(Debug, Clone, Args)]
pub struct JobsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: JobsCommand,
}

/// What `mlbuild jobs` does.
#[derive(Debug, Clone, Subcommand)]
pub enum JobsCommand {
    /// List jobs of queues and of the cluster, newest first.
    List(ListArgs),
    /// Show all that is known of a job.
    Show(ShowArgs),
    /// Print what a job printed.
    Logs(LogsArgs),
    /// End jobs: one that waits won't start, the container of one that runs is stopped; a Job of the cluster is removed.
    Cancel(IdsArgs),
    /// Try jobs of queues once more that have ended, and jobs of Slurm's that failed: of an array the points that did.
    Retry(RetryArgs),
    /// Remove jobs of queues that are over, and the code that no job needs any more.
    Prune(prune::PruneArgs),
}

/// Flags of `mlbuild jobs list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Only those of queues, of the Kubernetes cluster, or of Slurm.
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,
    /// Only of this queue; with `--kind kubernetes`, of this queue of Kueue.
    #[arg(long, short, value_name = "NAME")]
    pub queue: Option<String>,
    /// Only those that got so far.
    #[arg(long, value_parser = job_state::parser())]
    pub state: Option<State>,
    /// At most this many.
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub limit: Option<usize>,
    /// Where queues and jobs are kept.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Which cluster of Slurm's.
    #[command(flatten)]
    pub slurm: SlurmArgs,
    /// Namespace of the cluster; otherwise the kubeconfig's, or the pod's own.
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Which cluster.
    #[command(flatten)]
    pub context: ContextArgs,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Kinds of jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Jobs of queues, which agents run.
    Queue,
    /// Jobs of a Kubernetes cluster.
    Kubernetes,
    /// Jobs of Slurm's.
    Slurm,
}

/// Where a job of any kind is looked for.
#[derive(Debug, Clone, Args)]
pub struct Places {
    /// Where queues and jobs are kept.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Which cluster of Slurm's.
    #[command(flatten)]
    pub slurm: SlurmArgs,
}

impl Places {
    /// Whether the name is plainly one of a job of Slurm's.
    fn are_slurms(&self, job: &str) -> bool {
        !self.cluster.is_typed() && self.slurm.query().is_meant(job)
    }
}

/// Flags of `mlbuild jobs show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// The job.
    #[arg(value_name = "JOB")]
    pub job: String,
    /// Where it is looked for.
    #[command(flatten)]
    pub places: Places,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Flags of `mlbuild jobs logs`.
#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// The job.
    #[arg(value_name = "JOB")]
    pub job: String,
    /// Go on until the job has ended.
    #[arg(long, short)]
    pub follow: bool,
    /// Where it is looked for.
    #[command(flatten)]
    pub places: Places,
}

/// Jobs.
#[derive(Debug, Clone, Args)]
pub struct IdsArgs {
    /// The jobs.
    #[arg(value_name = "JOB", required = true)]
    pub jobs: Vec<String>,
    /// Where it is looked for.
    #[command(flatten)]
    pub places: Places,
}

/// Flags of `mlbuild jobs retry`.
#[derive(Debug, Clone, Args)]
pub struct RetryArgs {
    /// The jobs.
    #[arg(value_name = "JOB", required = true)]
    pub jobs: Vec<String>,
    /// Give up what ran on a machine that is gone for good. If it isn't gone, the job runs twice.
    #[arg(long)]
    pub force: bool,
    /// Where it is looked for.
    #[command(flatten)]
    pub places: Places,
}

/// Runs the verb.
///
/// # Errors
/// Where a job isn't known, or the store can't be used.
pub fn run(args: &JobsArgs) -> CommandResult {
    match &args.command {
        JobsCommand::List(args) => list(args),
        JobsCommand::Show(args) => show(args),
        JobsCommand::Logs(args) => logs(args),
        JobsCommand::Cancel(args) => cancel(args),
        JobsCommand::Prune(args) => prune::run(args),
        JobsCommand::Retry(args) => retry(args),
    }
}

fn retry(args: &RetryArgs) -> CommandResult {
    for typed in &args.jobs {
        if args.places.are_slurms(typed) {
            wait_for(slurm::retry(typed, &args.places.slurm))?;
            continue;
        }
        let Some((store, job)) = of_queue(typed, &args.places.store, &args.places.cluster)? else {
            let message = format!("{typed}: a Job of Kubernetes has no second try");
            let hint = format!(
                "the line that makes it again: mlbuild restore {}",
                word(typed)
            );
            return Err(CommandError::user(message).hint(hint));
        };
        store.retry(&job.id, args.force)?;
    }
    Ok(())
}

/// A job of either kind.
enum Listed {
    Queue(Job),
    Cluster(ClusterJob),
    Slurm(ListedSlurmJob),
}

impl Listed {
    fn created(&self) -> Timestamp {
        match self {
            Self::Queue(job) => job.created,
            Self::Cluster(job) => job.created,
            Self::Slurm(job) => job.created,
        }
    }

    fn document(&self) -> Value {
        let (document, kind) = match self {
            Self::Queue(job) => (serde_json::to_value(job), "queue"),
            Self::Cluster(job) => (serde_json::to_value(job), "kubernetes"),
            Self::Slurm(job) => (serde_json::to_value(job), "slurm"),
        };
        let mut document = document.expect("plain data");
        document["kind"] = json!(kind);
        document
    }

    fn row(&self) -> Vec<String> {
        let (id, queue, state, who, source, command) = match self {
            Self::Queue(job) => (
                job.id.clone(),
                job.queue.clone(),
                state(job),
                job.agent.clone().unwrap_or_default(),
                job.source.shown(),
                &job.command,
            ),
            Self::Cluster(job) => (
                job.id.clone(),
                job.queue.clone().unwrap_or_default(),
                job.told(),
                format!("kubernetes/{}", job.namespace),
                job.image.clone(),
                &job.command,
            ),
            Self::Slurm(job) => (
                job.id.clone(),
                job.partition.clone(),
                job.told(),
                job.place(),
                format!("run {}", job.run_id),
                &Vec::new(),
            ),
        };
        let command = shell_line(command).replace('\n', " ");
        vec![
            id,
            queue,
            state,
            self.created().strftime("%Y-%m-%d %H:%M").to_string(),
            who,
            source,
            command.chars().take(60).collect(),
        ]
    }
}

fn list(args: &ListArgs) -> CommandResult {
    let mut jobs = Vec::new();
    if args.kind.is_none_or(|kind| kind == Kind::Queue) {
        let store = args.store.open()?;
        if let Some(queue) = &args.queue {
            store.queue(queue)?;
        }
        let found = store.jobs(&Filter {
            queue: args.queue.clone(),
            state: args.state,
            limit: args.limit,
        })?;
        jobs.extend(found.into_iter().map(Listed::Queue));
    }
    let found = wait_for(cluster::list(args))?;
    jobs.extend(found.into_iter().map(Listed::Cluster));
    let found = wait_for(slurm::list(args))?;
    jobs.extend(found.into_iter().map(Listed::Slurm));
    jobs.sort_by_key(|job| std::cmp::Reverse(job.created()));
    jobs.truncate(args.limit.unwrap_or(usize::MAX));
    print_jobs(jobs, args.format)
}

/// Jobs, a line each.
fn print_jobs(jobs: Vec<Listed>, format: Format) -> CommandResult {
    if format == Format::Json {
        let jobs: Vec<Value> = jobs.iter().map(Listed::document).collect();
        return output::answer(&format!("{:#}", json!({ "jobs": jobs })));
    }
    if jobs.is_empty() {
        output::note("no jobs");
        return Ok(());
    }
    let titles = [
        "JOB", "QUEUE", "STATE", "LAUNCHED", "AGENT", "SOURCE", "COMMAND",
    ];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    rows.extend(jobs.iter().map(Listed::row));
    output::answer(&output::table(&rows))
}

/// A job of a queue; `None` where it can only be one of the cluster.
fn of_queue(
    typed: &str,
    store: &StoreArgs,
    cluster: &ClusterArgs,
) -> CommandResult<Option<(Store, Job)>> {
    if cluster.is_typed() {
        return Ok(None);
    }
    let store = store.open()?;
    match store.job(typed) {
        Ok(job) => Ok(Some((store, job))),
        Err(StoreError::NoJob { .. }) if cluster::may_have(typed, cluster) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The rows of a table with what is known of a job.
fn rows(
    all: impl IntoIterator<Item = (&'static str, Option<String>)>,
) -> impl Iterator<Item = Vec<String>> {
    all.into_iter().filter_map(|(name, value)| {
        let value = value.filter(|value| !value.is_empty())?;
        Some(vec![name.to_owned(), value])
    })
}

/// The jobs of a cluster that nobody asked for; where it doesn't say in time what it has, none and a warning.
async fn or_none<J>(what: &str, all: impl Future<Output = CommandResult<Vec<J>>>) -> Vec<J> {
    let silent = || CommandError::environment("it doesn't answer");
    let found = tokio::time::timeout(ANSWER_TIMEOUT, all).await;
    found
        .unwrap_or_else(|_| Err(silent()))
        .unwrap_or_else(|error| {
            output::warning(&format!(
                "{what} aren't listed: {}; without it: --kind queue",
                error.message()
            ));
            Vec::new()
        })
}

/// A time, to the second.
fn time(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// How far it got, in a few words.
fn state(job: &Job) -> String {
    let word = job.state.as_str();
    match (job.state, job.exit_code) {
        (State::Claimed | State::Running, _) if job.agent_is_silent => {
            format!("{word}, agent silent")
        }
        (State::Claimed | State::Running, _) if job.cancel_wanted => {
            format!("{word}, to be cancelled")
        }
        (State::Queued, _) if job.attempt > 1 => format!("{word}, try {}", job.attempt),
        (State::Failed, Some(code)) => format!("{word} ({code})"),
        _ => word.to_owned(),
    }
}

fn show(args: &ShowArgs) -> CommandResult {
    if args.places.are_slurms(&args.job) {
        return match wait_for(slurm::job(&args.job, &args.places.slurm))? {
            Shown::Array(points) => {
                print_jobs(points.into_iter().map(Listed::Slurm).collect(), args.format)
            }
            Shown::Job(job) => match args.format {
                Format::Json => output::answer(&format!("{:#}", Listed::Slurm(*job).document())),
                Format::Text => output::answer(&output::table(&job.rows())),
            },
        };
    }
    let Some((store, job)) = of_queue(&args.job, &args.places.store, &args.places.cluster)? else {
        let job = wait_for(cluster::job(&args.job, &args.places.cluster))?;
        return match args.format {
            Format::Json => output::answer(&format!("{:#}", Listed::Cluster(job).document())),
            Format::Text => output::answer(&output::table(&job.rows())),
        };
    };
    let attempts = store.attempts(&job.id)?;
    if args.format == Format::Json {
        let mut shown = Listed::Queue(job).document();
        shown["attempts"] = json!(attempts);
        return output::answer(&format!("{shown:#}"));
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            rows.push(vec![name.to_owned(), value]);
        }
    };
    row("job", Some(job.id.clone()));
    row("queue", Some(job.queue.clone()));
    row("state", Some(state(&job)));
    row("why", job.error.clone());
    row("source", Some(job.source.shown()));
    row("command", Some(shell_line(&job.command)));
    row("options", Some(job.overrides.join(" ")));
    row(
        "priority",
        Some(job.priority)
            .filter(|p| *p != 0)
            .map(|p| p.to_string()),
    );
    row(
        "try",
        Some(format!("{} of {}", job.attempt, job.retries + 1)).filter(|_| job.retries > 0),
    );
    row(
        "agent",
        job.agent
            .clone()
            .zip(job.host.clone())
            .map(|(agent, host)| format!("{agent} on {host}")),
    );
    row("gpus", Some(job.gpus.join(",")));
    row("run", job.run_id.clone());
    row("image", job.image.clone());
    match job
        .container
        .as_deref()
        .map(|text| (text, ObjectRef::read(text)))
    {
        Some((_, Some(place))) => row("in the cluster", Some(place.shown())),
        Some((container, None)) => row("container", Some(container.to_owned())),
        None => {}
    }
    row("launched", time(Some(job.created)));
    row("started", time(job.started));
    row("ended", time(job.ended));
    for attempt in &attempts {
        let how = match (&attempt.error, attempt.exit_code) {
            (Some(error), _) => error.clone(),
            (None, Some(code)) => format!("exit code {code}"),
            (None, None) => String::new(),
        };
        row(&format!("try {}", attempt.attempt), Some(how));
    }
    output::answer(&output::table(&rows))
}

fn cancel(args: &IdsArgs) -> CommandResult {
    for typed in &args.jobs {
        if args.places.are_slurms(typed) {
            wait_for(slurm::cancel(typed, &args.places.slurm))?;
            continue;
        }
        let Some((store, job)) = of_queue(typed, &args.places.store, &args.places.cluster)? else {
            wait_for(cluster::cancel(typed, &args.places.cluster))?;
            continue;
        };
        let state = store.cancel(&job.id)?;
        if state != State::Cancelled {
            let agent = job.agent.unwrap_or_default();
            output::note(&format!("{}: agent {agent} stops it", job.id));
        }
    }
    Ok(())
}

/// What a job printed: from its container, where that is on this machine, else its end, which the
/// agent kept.
fn logs(args: &LogsArgs) -> CommandResult {
    if args.places.are_slurms(&args.job) {
        let wanted = Wanted {
            follow: args.follow,
            ..Wanted::default()
        };
        return wait_for(slurm::logs(&args.job, &args.places.slurm, wanted)).map(drop);
    }
    let Some((store, mut job)) = of_queue(&args.job, &args.places.store, &args.places.cluster)?
    else {
        return wait_for(cluster::logs(args));
    };
    if args.follow {
        job = wait_for_start(&store, job)?;
    }
    let place = job.container.as_deref().and_then(ObjectRef::read);
    if let Some(place) = place.filter(|_| !job.state.is_final()) {
        return wait_for(cluster::logs_of_queue(args, &store, &job, &place));
    }
    if let Some(container) = &job.container
        && let Some(engine) = has_container(container)?
    {
        let mut command = Command::new(engine.program());
        command.arg("logs").stdin(Stdio::null());
        if args.follow {
            command.arg("--follow");
        }
        let status = command.args(["--", container]).status();
        let status =
            status.map_err(|error| CommandError::environment(format!("its log: {error}")))?;
        return if status.success() {
            Ok(())
        } else {
            Err(CommandError::work(
                "the log can't be read; why stands above",
            ))
        };
    }
    match (&job.log, job.state) {
        (Some(log), _) => output::answer_bytes(log.as_bytes()),
        (None, State::Queued | State::Claimed) => Err(CommandError::work(format!(
            "job {} hasn't started: it is {}",
            job.id,
            state(&job)
        ))
        .hint(format!("mlbuild jobs logs --follow {}", job.id))),
        (None, _) => Err(CommandError::work(format!(
            "the container of job {} isn't on this machine; it runs on {}",
            job.id,
            job.host.unwrap_or_default()
        ))
        .hint("the end of its output can be had here when it has ended")),
    }
}

fn wait_for_start(store: &Store, mut job: Job) -> CommandResult<Job> {
    while matches!(job.state, State::Queued | State::Claimed) {
        std::thread::sleep(POLL_INTERVAL);
        job = store.job(&job.id)?;
    }
    Ok(job)
}

fn has_container(id: &str) -> CommandResult<Option<Engine>> {
    wait_for(async {
        for cli in [RuntimeCli::Docker, RuntimeCli::Podman] {
            if let Ok(engine) = Engine::find(cli).await
                && engine.has_container(id).await
            {
                return Ok(Some(engine));
            }
        }
        Ok(None)
    })
}
