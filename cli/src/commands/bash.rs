//! `mlbuild bash`: a shell in the running container of a Job.

use std::io::{IsTerminal as _, stdin, stdout};

use clap::Args;
use rustix::termios::{self, OptionalActions, Termios};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::signal::unix::{SignalKind, signal};

use crate::error::{CommandError, CommandResult};
use crate::support::cluster_args::ClusterArgs;
use crate::support::slurm_args::SlurmArgs;
use mlbuild::kubernetes::{FoundJob, Program};
use mlbuild::runtime::slurm::{BESIDE, BESIDE_RANK, SCRIPT_FILE};
use mlbuild::slurm::JobPhase;
use mlbuild::submit::running_pod;

/// bash, where the image has one.
const SHELL: &str = "if command -v bash >/dev/null; then exec bash; else exec sh; fi";

/// Open a shell, or start a program, in the running container of a Job of Kubernetes or a job of Slurm.
///
/// The exit code is the program's.
#[derive(Debug, Clone, Args)]
pub struct BashArgs {
    /// Name of the Job, or id of its run.
    #[arg(value_name = "JOB|RUN")]
    pub job: String,
    /// Which node or task, of several (default: the first one that runs).
    #[arg(long, value_name = "N")]
    pub rank: Option<u32>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Which cluster of Slurm's.
    #[command(flatten)]
    pub slurm: SlurmArgs,
    /// Program and arguments, instead of a shell.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Runs the verb; returns the program's exit code.
///
/// # Errors
/// Where the Job doesn't run, or the program can't be started in it.
pub async fn run(args: BashArgs) -> CommandResult<u8> {
    let words = if args.command.is_empty() {
        ["sh", "-c", SHELL].map(str::to_owned).to_vec()
    } else {
        args.command
    };
    let terminal = stdin().is_terminal() && stdout().is_terminal();
    if !args.cluster.is_typed() && args.slurm.query().is_meant(&args.job) {
        let task = (args.job.as_str(), args.rank);
        return under_slurm(task, &args.slurm, &words, terminal).await;
    }
    let (cluster, found) = args.cluster.find(&args.job).await?;
    let pod = running_pod(&found, args.rank)?;
    let words = with_values(&found, words);
    let mut program = cluster
        .start_in(&pod, found.container(), &words, terminal)
        .await?;
    let raw = if terminal { Raw::on() } else { None };
    let end = converse(&mut program, terminal).await;
    drop(raw);
    let code = end.map_err(|why| CommandError::runtime(format!("{} in {pod}: {why}", words[0])))?;
    Ok(u8::try_from(code).unwrap_or(1))
}

/// Of an array's point its values are variables here, too.
fn with_values(found: &FoundJob, words: Vec<String>) -> Vec<String> {
    let (Some(array), Some(point)) = (found.array(), found.point) else {
        return words;
    };
    let values = array.point(point as usize).into_iter();
    let values = values.map(|(name, value)| format!("{name}={value}"));
    ["env".to_owned()]
        .into_iter()
        .chain(values)
        .chain(words)
        .collect()
}

/// The same in a job of Slurm's: srun has the terminal.
async fn under_slurm(
    (job, rank): (&str, Option<u32>),
    args: &SlurmArgs,
    words: &[String],
    terminal: bool,
) -> CommandResult<u8> {
    let found = args.query().find(job).await?;
    let (id, number) = (found.live()?.id, found.live()?.number);
    if found
        .job
        .as_ref()
        .is_some_and(|job| job.phase() != JobPhase::Running)
    {
        return Err(CommandError::environment(format!(
            "job {number} doesn't run"
        )));
    }
    let script = format!("{}/{SCRIPT_FILE}", found.folder);
    let task = match rank {
        Some(rank) => (rank, found.node_of_rank(rank).await?),
        None => (0, 0),
    };
    let program = [&[BESIDE.to_owned()], words].concat();
    let variable = format!("{BESIDE_RANK}={}", task.0);
    let call = found
        .slurm
        .beside((id, task.1), &script, &variable, &program, terminal);
    let status = tokio::process::Command::new(&call[0])
        .args(&call[1..])
        .status()
        .await
        .map_err(|error| CommandError::environment(format!("{}: {error}", call[0].display())))?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1))
}

/// Passes everything on in both directions, up to the program's end.
async fn converse(program: &mut Program, terminal: bool) -> Result<i32, String> {
    if let Some(to) = program.stdin() {
        tokio::spawn(copy(tokio::io::stdin(), to));
    }
    let out = program.stdout();
    let out = out.map(|from| tokio::spawn(copy(from, tokio::io::stdout())));
    let err = program.stderr();
    let err = err.map(|from| tokio::spawn(copy(from, tokio::io::stderr())));
    let mut changed = signal(SignalKind::window_change()).map_err(|error| error.to_string())?;
    let mut end = Box::pin(program.end());
    let end = loop {
        if let Some(size) = size().filter(|_| terminal) {
            program.resize(size.0, size.1).await;
        }
        tokio::select! {
            end = &mut end => break end,
            _ = changed.recv() => {}
        }
    };
    for copied in [out, err].into_iter().flatten() {
        let _ = copied.await;
    }
    end
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if to.write_all(&bytes[..count]).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

/// Columns and rows of the terminal.
fn size() -> Option<(u16, u16)> {
    let size = termios::tcgetwinsize(stdout()).ok()?;
    Some((size.ws_col, size.ws_row))
}

/// A terminal that hands on every key, until it is dropped.
struct Raw(Termios);

impl Raw {
    fn on() -> Option<Self> {
        let before = termios::tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}
