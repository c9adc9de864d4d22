//! Jobs of Slurm's that `mlbuild submit --slurm` made.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};

use jiff::Timestamp;
use serde::Serialize;

use super::{Kind, ListArgs, or_none, rows, time};
use crate::commands::logs::Wanted;
use crate::commands::submit::slurm::exit_code;
use crate::error::{CommandError, CommandResult};
use crate::support::interrupt;
use crate::support::output;
use crate::support::slurm_args::SlurmArgs;
use crate::support::terminal::Terminal;
use mlbuild::queue::State;
use mlbuild::runtime::slurm::OUTPUT_FILE;
use mlbuild::slurm::{JobNumber, JobPhase, SlurmJob};
use mlbuild::submit::slurm::{FoundSlurm, FoundSlurmJob, LinesOfRank, SlurmFollowEnd, follow};
use mlbuild::submit::{self, LogSink};

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
    /// How often its run was begun.
    attempt: Option<u32>,
    folder: Option<String>,
}

impl ListedSlurmJob {
    fn of(cluster: &str, job: SlurmJob) -> Option<Self> {
        let run_id = job.run()?;
        let phase = job.phase();
        let state = match (phase, job.state.as_str()) {
            (JobPhase::Waiting, _) => State::Queued,
            (JobPhase::Running, _) => State::Running,
            (JobPhase::Ended, "COMPLETED") => State::Succeeded,
            (JobPhase::Ended, "CANCELLED") => State::Cancelled,
            (JobPhase::Ended, _) => State::Failed,
        };
        Some(Self {
            id: job.number.to_string(),
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
            attempt: None,
            folder: None,
        })
    }

    /// How far it got, in a few words.
    pub(super) fn told(&self) -> String {
        let word = self.state.as_str();
        match (self.state, self.exit_code, self.slurm_state.as_str()) {
            (State::Failed, Some(code), "FAILED") => format!("{word} ({code})"),
            (State::Failed, Some(code), slurm) => format!("{word} ({code}, {slurm})"),
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
            (
                "attempt",
                self.attempt
                    .filter(|attempt| *attempt > 1)
                    .map(|attempt| attempt.to_string()),
            ),
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

/// What a name is of.
pub(super) enum Shown {
    /// One job, or one point of an array.
    Job(Box<ListedSlurmJob>),
    /// The points of an array.
    Array(Vec<ListedSlurmJob>),
}

/// A job or an array by its number or its run's id.
pub(super) async fn job(typed: &str, args: &SlurmArgs) -> CommandResult<Shown> {
    let found = match args.query().find_any(typed).await? {
        FoundSlurm::Job(found) => found,
        FoundSlurm::Array(array) => {
            let cluster = array.slurm.name.clone().unwrap_or_default();
            let points = array.points().await?.into_iter();
            let listed = points.filter_map(|(job, end)| {
                let mut listed = ListedSlurmJob::of(&cluster, job)?;
                listed.exit_code = end.and_then(|end| end.code);
                Some(listed)
            });
            return Ok(Shown::Array(listed.collect()));
        }
    };
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
    listed.attempt = found.attempt().await?;
    listed.folder = Some(found.folder);
    Ok(Shown::Job(Box::new(listed)))
}

/// Ends one that isn't over.
pub(super) async fn cancel(typed: &str, args: &SlurmArgs) -> CommandResult {
    let found = match args.query().find_any(typed).await? {
        FoundSlurm::Job(found) => found,
        FoundSlurm::Array(array) => {
            let is_live = |job: &&SlurmJob| job.phase() != JobPhase::Ended;
            let live = array.jobs.values().filter(is_live);
            let live: BTreeSet<u64> = live.map(|job| job.number.id).collect();
            if live.is_empty() {
                return Err(CommandError::user(format!("array {} is over", array.id)));
            }
            // Points that were tried again are another one.
            for id in live {
                array.slurm.cancel(id.into()).await?;
                output::note(&format!("array {id} is cancelled, with all its points"));
            }
            return Ok(());
        }
    };
    let id = found.live()?.number;
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

/// Has Slurm run it once more; of an array the points that failed.
pub(super) async fn retry(typed: &str, args: &SlurmArgs) -> CommandResult {
    let query = args.query();
    let found = query.find_any(typed).await?;
    let folder = query.folder.unwrap_or_default();
    let again = submit::slurm::retry(found, &folder, &Terminal::default()).await?;
    output::note(&format!(
        "job {} tries again: {}",
        again.job,
        again.runs.join(", ")
    ));
    output::answer(&again.job.to_string())
}

/// What it printed: to its end, or so many of the last lines; returns the exit code.
///
/// # Errors
/// Where there is no such job, or its output can't be read.
pub(crate) async fn logs(typed: &str, args: &SlurmArgs, wanted: Wanted) -> CommandResult<u8> {
    let found = args.query().find(typed).await?;
    let lines = match wanted.rank {
        Some(rank) => {
            found.node_of_rank(rank).await?;
            Some(LinesOfRank::of(rank))
        }
        None => None,
    };
    let print = |bytes: &[u8]| match &lines {
        Some(lines) => output::write_bytes(&lines.take(bytes)),
        None => output::write_bytes(bytes),
    };
    if wanted.follow {
        return print_on(&found, &print).await;
    }
    let output = format!("{}/{OUTPUT_FILE}", found.folder);
    let bytes = match (wanted.tail, &lines) {
        (Some(count), None) => found.slurm.last_lines(&output, count).await?,
        (Some(count), Some(lines)) => {
            let kept = RefCell::new(VecDeque::new());
            let keep = |bytes: &[u8]| {
                let mut kept = kept.borrow_mut();
                for line in lines.take(bytes).split_inclusive(|byte| *byte == b'\n') {
                    kept.push_back(line.to_vec());
                    if kept.len() > count as usize {
                        kept.pop_front();
                    }
                }
                Ok(())
            };
            print_all(&found, &keep).await?;
            Some(kept.into_inner().into_iter().flatten().collect())
        }
        (None, _) => match print_all(&found, &print).await? {
            0 => found.slurm.last_lines(&output, 1).await?,
            _ => Some(Vec::new()),
        },
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

/// Hands on all that was printed by now; how many bytes that were.
async fn print_all(found: &FoundSlurmJob, sink: LogSink<'_>) -> CommandResult<u64> {
    let mut from = 0;
    loop {
        let printed = found.slurm.printed(&found.folder, OUTPUT_FILE, "", from);
        let printed = printed.await?;
        if printed.bytes.is_empty() {
            return Ok(from);
        }
        sink(&printed.bytes).map_err(CommandError::environment)?;
        from += printed.bytes.len() as u64;
    }
}

async fn print_on(found: &FoundSlurmJob, sink: LogSink<'_>) -> CommandResult<u8> {
    let id = found.id.unwrap_or(JobNumber::from(0));
    let cancelled = interrupt::token()?;
    let reporter = Terminal::default();
    match follow(&found.slurm, id, &found.folder, &cancelled, sink, &reporter).await? {
        SlurmFollowEnd::Ended(end) => exit_code(&id.to_string(), &end),
        // The job runs on: it was only looked at.
        SlurmFollowEnd::Cancelled => Ok(0),
    }
}
