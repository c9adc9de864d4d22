//! `mlbuild logs`: what a Job printed.

use clap::Args;
use kube::ResourceExt as _;

use super::submit::exit_code;
use crate::cli::error::CommandResult;
use crate::cli::support::cluster_args::ClusterArgs;
use crate::cli::support::interrupt;
use crate::cli::support::output::{self, Terminal};
use crate::kubernetes::{Cluster, FoundJob};
use crate::submit::{self, FollowEnd};

/// Print what a Job of the cluster printed.
///
/// With --follow it waits for the Job's end, and the exit code is the container's.
#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// Name of the Job, or id of its run.
    #[arg(value_name = "JOB|RUN")]
    pub job: String,
    /// Wait for more, up to the end.
    #[arg(long, short, conflicts_with = "tail")]
    pub follow: bool,
    /// Only this many of the last lines.
    #[arg(long, value_name = "N")]
    pub tail: Option<u32>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Runs the verb; returns the exit code.
///
/// # Errors
/// Where there is no such Job, or it has printed nothing that could be read.
pub async fn run(args: LogsArgs) -> CommandResult<u8> {
    let (cluster, found) = args.cluster.find(&args.job).await?;
    print(&cluster, &found, args.follow, args.tail).await
}

/// Prints what a Job printed: to its end, or so many of the last lines; returns the exit code.
///
/// # Errors
/// Where it has printed nothing that could be read.
pub async fn print(
    cluster: &Cluster,
    found: &FoundJob,
    follow: bool,
    tail: Option<u32>,
) -> CommandResult<u8> {
    if !follow {
        submit::last_lines(cluster, found, tail, &output::write_bytes).await?;
        return Ok(0);
    }
    let name = found.job.name_any();
    let cancelled = interrupt::token()?;
    let end = submit::follow(
        cluster,
        &name,
        &cancelled,
        &output::write_bytes,
        &Terminal::default(),
    )
    .await?;
    match end {
        FollowEnd::Ended(end) => exit_code(&name, end),
        // The Job runs on: it was only looked at.
        FollowEnd::Cancelled => Ok(0),
    }
}
