//! Jobs of Slurm's that `mlbuild submit --slurm` made.

use jiff::Timestamp;
use serde::Serialize;

use super::{Kind, ListArgs, or_none, rows, time};
use crate::commands::submit::slurm::exit_code;
use crate::error::{CommandError, CommandResult};
use crate::support::interrupt;
use crate::support::output;
use crate::support::slurm_args::SlurmArgs;
use crate::support::terminal::Terminal;
use mlbuild::queue::State;
use mlbuild::runtime::slurm::OUTPUT_FILE;
use mlbuild::slurm::{JobPhase, SlurmJob};
use mlbuild::submit::slurm::{FoundSlurmJob, SlurmFollowEnd, follow};

/// A job of Slurm's.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ListedSlurmJob {
    /// Its number.
    pub(super) id: String,
    /// The cluster's name.
    cluster: String,
    /// Its partition.
    pub(super) partition: String,
    /// How far it got, in the words of queues.
    pub(super) state: State,
    /// The same in Slurm's word.
    slurm_state: String,
    /// What it waits for, in Slurm's word.
    reason: Option<String>,
    nodes: Option<String>,
    /// Its run.
    pub(super) run_id: String,
    /// Its name.
    pub(super) name: String,
    pub(super) created: Timestamp,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
    exit_code: Option<i32>,
    folder: Option<String>,
}

impl ListedSlurmJob {
    fn of(cluster: &str, job: SlurmJob) -> Option<Self> {
        let run_id = job.run()?.to_owned();
        let phase = job.phase();
        let state = match (phase, job.state.as_str()) {
            (JobPhase::Waiting, _) => State::Queued,
            (JobPhase::Running, _) => State::Running,
            (JobPhase::Ended, "COMPLETED") => State::Succeeded,
            (JobPhase::Ended, "CANCELLED") => State::Cancelled,
            (JobPhase::Ended, _) => State::Failed,
        };
        Some(Self {
            id: job.id.to_string(),
            cluster: cluster.to_owned(),
            partition: job.partition,
            state,
            slurm_state: job.state,
            reason: job.reason.filter(|_| phase == JobPhase::Waiting),
            nodes: job.nodes,
            run_id,
            name: job.name,
            created: job.submitted.unwrap_or(Timestamp::UNIX_EPOCH),
            // Before that, it is a guess.
            started: job.started.filter(|_| phase != JobPhase::Waiting),
            ended: job.ended.filter(|_| phase == JobPhase::Ended),
            exit_code: None,
            folder: None,
        })
    }

    /// How far it got, in a few words.
    pub(super) fn told(&self) -> String {
        let word = self.state.as_str();
        match (self.state, self.exit_code, self.slurm_state.as_str()) {
            (State::Failed, Some(code), _) => format!("{word} ({code})"),
            (State::Failed, None, slurm) if slurm != "FAILED" => format!("{word} ({slurm})"),
            _ => word.to_owned(),
        }
    }

    /// Where it is.
    pub(super) fn place(&self) -> String {
        format!("slurm/{}", self.cluster)
    }

    /// All of it.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let all = [
            ("job", Some(self.id.clone())),
            ("cluster", Some(self.cluster.clone())),
            ("partition", Some(self.partition.clone())),
            ("state", Some(self.told())),
            ("in Slurm's word", Some(self.slurm_state.clone())),
            ("why", self.reason.clone()),
            ("name", Some(self.name.clone())),
            ("run", Some(self.run_id.clone())),
            ("nodes", self.nodes.clone()),
            ("folder", self.folder.clone()),
            ("launched", time(Some(self.created))),
            ("started", time(self.started)),
            ("ended", time(self.ended)),
        ];
        rows(all).collect()
    }
}

/// The cluster's jobs that mlbuild made. Where nobody asked for them, a cluster that isn't known is passed over,
/// and one that doesn't answer is told and hides no other jobs.
pub(super) async fn list(args: &ListArgs) -> CommandResult<Vec<ListedSlurmJob>> {
    let query = args.slurm.query();
    let is_asked_for = args.kind == Some(Kind::Slurm) || query.is_said || query.login.is_some();
    let of_others =
        matches!(args.kind, Some(Kind::Queue | Kind::Kubernetes)) || args.queue.is_some();
    let all = async {
        let slurm = query.connect().await?;
        let cluster = slurm.name.clone().unwrap_or_default();
        let jobs = slurm.jobs().await?.into_iter();
        CommandResult::Ok(
            jobs.filter_map(|job| ListedSlurmJob::of(&cluster, job))
                .collect(),
        )
    };
    let mut jobs: Vec<ListedSlurmJob> = if is_asked_for {
        all.await?
    } else if of_others || args.namespace.is_some() || !query.is_known() {
        Vec::new()
    } else {
        or_none("the jobs of Slurm", all).await
    };
    jobs.retain(|job| args.state.is_none_or(|state| state == job.state));
    Ok(jobs)
}

/// A job by its number or its run's id.
pub(super) async fn job(typed: &str, args: &SlurmArgs) -> CommandResult<ListedSlurmJob> {
    let found = args.query().find(typed).await?;
    found.live()?;
    let cluster = found.slurm.name.clone().unwrap_or_default();
    let mut listed = found
        .job
        .clone()
        .and_then(|job| ListedSlurmJob::of(&cluster, job))
        .ok_or_else(|| CommandError::user(format!("job {typed} isn't one of mlbuild's")))?;
    if listed.ended.is_some() {
        listed.exit_code = found.end().await?.code;
    }
    listed.folder = Some(found.folder);
    Ok(listed)
}

/// Ends one that isn't over.
pub(super) async fn cancel(typed: &str, args: &SlurmArgs) -> CommandResult {
    let found = args.query().find(typed).await?;
    let id = found.live()?;
    if found
        .job
        .as_ref()
        .is_some_and(|job| job.phase() == JobPhase::Ended)
    {
        return Err(CommandError::user(format!("job {id} is over")));
    }
    found.slurm.cancel(id).await?;
    output::note(&format!("job {id} is cancelled"));
    Ok(())
}

/// What it printed: to its end, or so many of the last lines; returns the exit code.
///
/// # Errors
/// Where there is no such job, or its output can't be read.
pub(crate) async fn logs(
    typed: &str,
    args: &SlurmArgs,
    follows: bool,
    tail: Option<u32>,
) -> CommandResult<u8> {
    let found = args.query().find(typed).await?;
    if follows {
        return print_on(&found).await;
    }
    let output = format!("{}/{OUTPUT_FILE}", found.folder);
    let bytes = match tail {
        Some(count) => found.slurm.last_lines(&output, count).await?,
        None => {
            let mut from = 0;
            loop {
                let printed = found
                    .slurm
                    .printed(&found.folder, OUTPUT_FILE, "", from)
                    .await?;
                if printed.bytes.is_empty() {
                    break;
                }
                output::write_bytes(&printed.bytes).map_err(CommandError::environment)?;
                from += printed.bytes.len() as u64;
            }
            match from {
                0 => found.slurm.last_lines(&output, 1).await?,
                _ => Some(Vec::new()),
            }
        }
    };
    match bytes {
        Some(bytes) => output::write_bytes(&bytes).map_err(CommandError::environment)?,
        None => {
            return Err(CommandError::environment(format!("{output} isn't there"))
                .hint("was it submitted with another --job-folder?"));
        }
    }
    Ok(0)
}

async fn print_on(found: &FoundSlurmJob) -> CommandResult<u8> {
    let id = found.id.unwrap_or_default();
    let cancelled = interrupt::token()?;
    let (sink, reporter) = (&output::write_bytes, Terminal::default());
    match follow(&found.slurm, id, &found.folder, &cancelled, sink, &reporter).await? {
        SlurmFollowEnd::Ended(end) => exit_code(&id.to_string(), &end),
        // The job runs on: it was only looked at.
        SlurmFollowEnd::Cancelled => Ok(0),
    }
}
