//! `mlbuild logs`: what a job of a cluster printed.

use clap::Args;

use super::jobs::slurm;
use super::submit::exit_code;
use crate::error::{CommandError, CommandResult};
use crate::support::cluster_args::ClusterArgs;
use crate::support::interrupt;
use crate::support::output;
use crate::support::slurm_args::SlurmArgs;
use crate::support::terminal::Terminal;
use mlbuild::kubernetes::{Cluster, FoundJob};
use mlbuild::runtime::array::run_of_point;
use mlbuild::submit::{self, FollowEnd, Forwards, PortPair};

/// Print what a Job of Kubernetes, or a job of Slurm, printed.
///
/// With --follow it waits for the Job's end, and the exit code is the container's. The lines of a Job of
/// several nodes have the node's rank before them.
#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// Name of the Job, or id of its run.
    #[arg(value_name = "JOB|RUN")]
    pub job: String,
    /// Wait for more, up to the end.
    #[arg(long, short, conflicts_with = "tail")]
    pub follow: bool,
    /// Only this many of the last lines, of each node.
    #[arg(long, value_name = "N")]
    pub tail: Option<u32>,
    /// Only what this node printed, of a Job of several; under Slurm, this task.
    #[arg(long, value_name = "N")]
    pub rank: Option<u32>,
    /// Only what this point printed, of an array: as JOB-N.
    #[arg(long, value_name = "N")]
    pub point: Option<u32>,
    /// Port of this machine, on 127.0.0.1 alone, that leads to a port of the Job's pod, of several that of rank 0 or --rank, while it is followed.
    #[arg(long, value_name = "[LOCAL:]REMOTE", requires = "follow")]
    pub port_forward: Vec<String>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Which cluster of Slurm's.
    #[command(flatten)]
    pub slurm: SlurmArgs,
}

/// Runs the verb; returns the exit code.
///
/// # Errors
/// Where there is no such Job, or it has printed nothing that could be read.
pub async fn run(mut args: LogsArgs) -> CommandResult<u8> {
    if let Some(point) = args.point {
        args.job = run_of_point(&args.job, point as usize);
    }
    if !args.cluster.is_typed() && args.slurm.query().is_meant(&args.job) {
        if !args.port_forward.is_empty() {
            return Err(CommandError::user(
                "--port-forward is for Jobs of Kubernetes: this is a job of Slurm",
            ));
        }
        let wanted = Wanted {
            rank: args.rank,
            follow: args.follow,
            tail: args.tail,
        };
        return slurm::logs(&args.job, &args.slurm, wanted).await;
    }
    let (cluster, found) = args.cluster.find(&args.job).await?;
    let wanted = Wanted {
        rank: args.rank,
        follow: args.follow,
        tail: args.tail,
    };
    let pairs = args.port_forward.iter().map(|pair| pair.parse());
    let pairs = pairs.collect::<Result<Vec<PortPair>, _>>()?;
    let forwards = Forwards::listen(&pairs).await?;
    let (job, reporter) = (found.at(), Terminal::default());
    let printing = print(&cluster, &found, wanted);
    let at = (&cluster, &job);
    forwards.beside(printing, at, args.rank, &reporter).await
}

/// What is wanted of a log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// The node; all of them where none is named.
    pub rank: Option<u32>,
    /// Whether to wait for more, up to the end.
    pub follow: bool,
    /// How many of the last lines.
    pub tail: Option<u32>,
}

/// Prints what a Job printed: to its end, or so many of the last lines; returns the exit code.
///
/// # Errors
/// Where it has printed nothing that could be read.
pub async fn print(cluster: &Cluster, found: &FoundJob, wanted: Wanted) -> CommandResult<u8> {
    let Wanted { rank, follow, tail } = wanted;
    if !follow {
        submit::last_lines(cluster, found, rank, tail, &output::write_bytes).await?;
        return Ok(0);
    }
    submit::check_rank(found, rank)?;
    let job = found.at();
    let cancelled = interrupt::token()?;
    let end = submit::follow(
        cluster,
        &job,
        rank,
        &cancelled,
        &output::write_bytes,
        &Terminal::default(),
    )
    .await?;
    match end {
        FollowEnd::Ended(end) => exit_code(&job, end),
        // The Job runs on: it was only looked at.
        FollowEnd::Cancelled => Ok(0),
    }
}
