//! `mlbuild queue`: queues of jobs.

mod render;
pub mod store_args;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use serde_json::json;

use self::store_args::StoreArgs;
use crate::error::{CommandError, CommandResult};
use crate::support::format::Format;
use crate::support::output;
use mlbuild::queue::{Queue, QueueConfig, QueueKind, Store, StoreError, gpu_need};
use mlbuild::shell::word;

/// Make queues of jobs, and see what they hold.
///
/// A queue's configuration is JSON or YAML as in W&B Launch: the options of
/// `docker run`, or a manifest of Kubernetes.
#[derive(Debug, Clone, Args)]
pub struct QueueArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: QueueCommand,
}

/// What `mlbuild queue` does.
#[derive(Debug, Clone, Subcommand)]
pub enum QueueCommand {
    /// Make a queue, or give it another configuration.
    Create(CreateArgs),
    /// List the queues.
    List(ListArgs),
    /// Show a queue's configuration.
    Show(ShowArgs),
    /// Have a queue's jobs wait. Those that run go on.
    Pause(NameArgs),
    /// Have a paused queue's jobs go on.
    Resume(NameArgs),
    /// Remove a queue. Jobs that run go on to their end.
    Delete(DeleteArgs),
    /// Print the command line that a configuration makes of an image and a command; no daemon is asked.
    Render(render::RenderArgs),
}

/// Flags of `mlbuild queue create`.
#[derive(Debug, Clone, Args)]
pub struct CreateArgs {
    /// Its name: letters, digits, `-`, `_` and `.`.
    #[arg(value_name = "NAME", value_parser = name)]
    pub name: String,
    /// Its configuration, JSON or YAML; `-` reads standard input.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// What jobs become: containers, or objects of a Kubernetes cluster [default: as the configuration has it].
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,
    /// Give a queue that is there this configuration.
    #[arg(long)]
    pub replace: bool,
    /// Where queues and jobs are kept.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// What jobs of a queue become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Containers.
    Docker,
    /// Objects of a Kubernetes cluster.
    Kubernetes,
}

impl From<Kind> for QueueKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Docker => Self::Docker,
            Kind::Kubernetes => Self::Kubernetes,
        }
    }
}

/// Flags of `mlbuild queue list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Where queues and jobs are kept.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Flags of `mlbuild queue show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// The queue.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where queues and jobs are kept.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// A queue's name.
#[derive(Debug, Clone, Args)]
pub struct NameArgs {
    /// The queue.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where queues and jobs are kept.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Flags of `mlbuild queue delete`.
#[derive(Debug, Clone, Args)]
pub struct DeleteArgs {
    /// The queue.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Cancel the jobs that wait in it.
    #[arg(long)]
    pub cancel_jobs: bool,
    /// Where queues and jobs are kept.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Runs the verb.
///
/// # Errors
/// Where a configuration or a name is wrong, or the store can't be used.
pub fn run(args: &QueueArgs) -> CommandResult {
    match &args.command {
        QueueCommand::Create(args) => create(args),
        QueueCommand::List(args) => list(args),
        QueueCommand::Show(args) => show(args),
        QueueCommand::Pause(args) => Ok(args.store.open()?.pause_queue(&args.name, true)?),
        QueueCommand::Resume(args) => Ok(args.store.open()?.pause_queue(&args.name, false)?),
        QueueCommand::Delete(args) => delete(args),
        QueueCommand::Render(args) => render::run(args),
    }
}

fn name(text: &str) -> Result<String, String> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !text.is_empty() && text.len() <= 63 && text.chars().all(is_fine) {
        Ok(text.to_owned())
    } else {
        Err("a name is 1 to 63 letters, digits, `-`, `_` and `.`".to_owned())
    }
}

fn create(args: &CreateArgs) -> CommandResult {
    let (config, text) = match &args.config {
        None if args.kind == Some(Kind::Kubernetes) => (
            QueueConfig::parse(A_JOB, Path::new("--kind"))?,
            A_JOB.to_owned(),
        ),
        None => (QueueConfig::default(), String::new()),
        Some(file) if file == Path::new("-") => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|error| CommandError::user(format!("standard input: {error}")))?;
            (QueueConfig::parse(&text, Path::new("<stdin>"))?, text)
        }
        Some(file) => QueueConfig::read(file)?,
    };
    gpu_need(&config.options)?;
    let kind = config.kind();
    if let Some(wanted) = args.kind.map(QueueKind::from)
        && wanted != kind
    {
        let message = format!(
            "--kind {}: the configuration is one of {}",
            wanted.as_str(),
            kind.as_str()
        );
        return Err(CommandError::user(message).hint(
            "a manifest of Kubernetes has kind, metadata or spec; all else are options of docker run",
        ));
    }
    let store = args.store.open()?;
    if args.replace {
        refuse_other_kind(&store, &args.name, kind)?;
    }
    store.create_queue(&args.name, &text, args.replace)?;
    output::note(&format!(
        "queue {}: mlbuild agent -q {} serves it",
        args.name,
        word(&args.name)
    ));
    Ok(())
}

/// What a queue of Kubernetes has that says nothing else.
const A_JOB: &str = "apiVersion: batch/v1\nkind: Job\n";

/// Agents that serve a queue are of its kind, and so are the jobs that wait there.
fn refuse_other_kind(store: &Store, name: &str, kind: QueueKind) -> CommandResult {
    let queue = match store.queue(name) {
        Ok(queue) => queue,
        Err(StoreError::NoQueue { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let before = QueueConfig::parse(&queue.config, Path::new(name)).map(|config| config.kind());
    match before {
        Ok(before) if before != kind => Err(CommandError::user(format!(
            "the queue {name} is one of {}, and this configuration is one of {}",
            before.as_str(),
            kind.as_str()
        ))
        .hint(format!(
            "mlbuild queue delete {}, or another name",
            word(name)
        ))),
        _ => Ok(()),
    }
}

fn list(args: &ListArgs) -> CommandResult {
    let queues = args.store.open()?.queues()?;
    if args.format == Format::Json {
        let queues: Vec<_> = queues.iter().map(as_json).collect();
        return output::answer(&format!("{:#}", json!({ "queues": queues })));
    }
    if queues.is_empty() {
        output::note("no queues");
        return Ok(());
    }
    let mut rows = vec![
        ["QUEUE", "WAITING", "RUNNING", ""]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(queues.iter().map(|queue| {
        let paused = if queue.paused { "paused" } else { "" };
        vec![
            queue.name.clone(),
            queue.waiting.to_string(),
            queue.running.to_string(),
            paused.to_owned(),
        ]
    }));
    output::answer(&output::table(&rows))
}

fn show(args: &ShowArgs) -> CommandResult {
    let queue = args.store.open()?.queue(&args.name)?;
    match args.format {
        Format::Json => output::answer(&format!("{:#}", as_json(&queue))),
        Format::Text => output::document(queue.config.trim_end()),
    }
}

/// The configuration holds no secrets: those are refused when it is written.
fn as_json(queue: &Queue) -> serde_json::Value {
    json!({
        "name": queue.name,
        "paused": queue.paused,
        "waiting": queue.waiting,
        "running": queue.running,
        "config": queue.config,
    })
}

fn delete(args: &DeleteArgs) -> CommandResult {
    let cancelled = args
        .store
        .open()?
        .delete_queue(&args.name, args.cancel_jobs)?;
    if cancelled > 0 {
        output::note(&format!("jobs cancelled: {cancelled}"));
    }
    Ok(())
}
