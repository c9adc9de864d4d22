//! `mlbuild logs`: what a Job printed.

use clap::Args;

use super::cluster_args::ClusterArgs;
use super::submit::{exit_code, follow};
use super::{interrupt, output};
use crate::error::{CommandError, CommandResult};
use crate::kubernetes::{Cluster, Found, LogLines, State};
use crate::runtime::kubernetes::CONTAINER;
use kube::ResourceExt as _;

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
    found: &Found,
    follow: bool,
    tail: Option<u32>,
) -> CommandResult<u8> {
    let name = found.job.name_any();
    if follow {
        let cancelled = interrupt::token()?;
        return match follow::follow(cluster, &name, &cancelled).await? {
            follow::Outcome::Ended(end) => exit_code(&name, end),
            // The Job runs on: it was only looked at.
            follow::Outcome::Cancelled => Ok(0),
        };
    }
    let pod = match found.state(CONTAINER) {
        State::Running { pod } | State::Again { pod } => pod,
        State::Ended(end) => end.pod.ok_or_else(|| {
            CommandError::environment(format!(
                "the pods of the Job {name} are gone, and their log with them"
            ))
        })?,
        State::Waiting { why } | State::Stuck { why, .. } => {
            return Err(CommandError::environment(format!(
                "the Job {name} doesn't run yet: {why}"
            )));
        }
    };
    let mut log = LogLines::of(CONTAINER);
    log.tail = tail.map(i64::from);
    log.read(cluster, &pod, output::answer_bytes)
        .await
        .map(|()| 0)
}
