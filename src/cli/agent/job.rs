//! One job, from its claim to its end.
//!
//! A container is made, then the store is asked, and only after its yes it is started: so of all
//! who might have the job, one starts one container. Whoever takes the job over sees in the store
//! whether that yes was given.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use mlbuild_manifests::RunId;
use rustix::process::{Pid, Signal, kill_process_group};

use super::serve::Agent;
use super::{build, recover};
use crate::cli::support::output;
use crate::error::{CommandError, CommandResult};
use crate::queue::{Claim, End, QueueConfig, QueueConfigError, Start, override_of, without_gpus};
use crate::records::{RunExit, Snapshot, StartedRun};
use crate::runtime::Options;

pub(super) const LABEL_JOB: &str = "mlbuild.job";
pub(super) const LABEL_STORE: &str = "mlbuild.store";
pub(super) const LABEL_EPOCH: &str = "mlbuild.epoch";
pub(super) const LABEL_REMOVE: &str = "mlbuild.remove";

/// A job at work, as others of the agent's threads see it.
#[derive(Default)]
pub(super) struct JobHandle {
    cancelled: AtomicBool,
    container: Mutex<Option<String>>,
    build: Mutex<Option<Pid>>,
}

impl JobHandle {
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Has it end.
    pub(super) fn cancel(&self, agent: &Arc<Agent>) {
        if self.cancelled.swap(true, Ordering::SeqCst) {
            return;
        }
        self.end_build();
        let container = self
            .container
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = container.clone() {
            let agent = agent.clone();
            thread::spawn(move || agent.containers.stop(&id));
        }
    }

    pub(super) fn set_build(&self, pid: Option<Pid>) {
        *self.build.lock().unwrap_or_else(PoisonError::into_inner) = pid;
    }

    pub(super) fn end_build(&self) {
        let build = self.build.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = *build {
            let _ = kill_process_group(pid, Signal::TERM);
        }
    }

    /// The container runs: from now on a wish to end stops it.
    pub(super) fn set_container(&self, agent: &Agent, id: &str) {
        let mut container = self
            .container
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *container = Some(id.to_owned());
        drop(container);
        if self.is_cancelled() {
            agent.containers.stop(id);
        }
    }
}

/// What became of it.
pub(super) enum JobOutcome {
    /// It ended; whether its container is to go.
    Ended(End, Option<String>),
    /// It was never started, and waits again.
    NotStarted,
    /// Another agent has it.
    Lost,
}

/// Does a job.
pub(super) fn run(agent: &Agent, claim: &Claim, handle: &JobHandle) {
    let became = match &claim.started {
        None => first(agent, claim, handle),
        Some(start) => recover::run(agent, claim, start, handle),
    };
    match became {
        JobOutcome::Ended(end, remove) => finish(agent, claim, &end, remove.as_deref()),
        JobOutcome::NotStarted => {
            agent.retry(|store| store.give_back(&agent.registration, claim));
        }
        JobOutcome::Lost => output::note(&format!("job {}: another agent has it", claim.id)),
    }
}

fn finish(agent: &Agent, claim: &Claim, end: &End, remove: Option<&str>) {
    let state = agent.retry(|store| store.finish(&agent.registration, claim, end));
    let how = match (&end.error, end.exit_code) {
        (Some(error), _) => format!(": {error}"),
        (None, Some(code)) if code != 0 => format!(": exit code {code}"),
        _ => String::new(),
    };
    match state {
        Some(Some("queued")) => output::note(&format!("job {}: tried again{how}", claim.id)),
        Some(Some(state)) => output::note(&format!("job {}: {state}{how}", claim.id)),
        Some(None) => output::note(&format!("job {}: another agent has it", claim.id)),
        None => return,
    }
    if let Some(container) = remove {
        agent.containers.remove(container);
    }
}

/// A job that nobody started yet.
fn first(agent: &Agent, claim: &Claim, handle: &JobHandle) -> JobOutcome {
    match prepare_and_start(agent, claim, handle) {
        Ok(became) => became,
        // What a signal for the agent broke is no failure of the job.
        Err(_) if agent.is_stopping() => JobOutcome::NotStarted,
        Err(error) => failed(&error, handle),
    }
}

fn failed(error: &CommandError, handle: &JobHandle) -> JobOutcome {
    let mut text = error.message().to_owned();
    for hint in error.hints() {
        text.push_str(&format!("; {hint}"));
    }
    let end = End {
        error: Some(text),
        cancelled: handle.is_cancelled(),
        ..End::default()
    };
    JobOutcome::Ended(end, None)
}

fn prepare_and_start(
    agent: &Agent,
    claim: &Claim,
    handle: &JobHandle,
) -> CommandResult<JobOutcome> {
    let config = QueueConfig::parse(&claim.config, Path::new(&format!("queue {}", claim.queue)))?;
    let (image, code) = image_of(agent, claim, &config, handle)?;
    if handle.is_cancelled() {
        return Ok(cancelled());
    }
    let overrides = claim.overrides.iter().map(|text| override_of(text));
    let overrides: Options = overrides.collect::<Result<_, QueueConfigError>>()?;
    let (mut spec, own) = config.spec(&image, &claim.command, overrides);
    spec.options = without_gpus(spec.options);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    spec.anchor(&agent.folder, home.as_deref());
    let run_id: RunId = match claim.attempt {
        1 => claim.id.parse(),
        attempt => format!("{}-{attempt}", claim.id).parse(),
    }
    .map_err(CommandError::user)?;
    let prepared = super::containers::wait(agent.containers.engine.prepare(
        spec,
        &without_gpus(own),
        &claim.gpus,
        run_id.clone(),
        &agent.folder,
        &crate::cli::support::output::Terminal::default(),
    ))?;
    let name = format!(
        "mlbuild-{}-{}",
        claim.id.to_lowercase(),
        claim.fencing_token
    );
    let mut labels = vec![
        (LABEL_JOB, claim.id.clone()),
        (LABEL_STORE, agent.store_id.clone()),
        (LABEL_EPOCH, claim.fencing_token.to_string()),
    ];
    if prepared.remove {
        labels.push((LABEL_REMOVE, "true".to_owned()));
    }
    let container = prepared.create(&name, &labels)?;
    let start = Start {
        container: container.clone(),
        run_id: run_id.to_string(),
        records: agent.project.to_string_lossy().into_owned(),
        image: prepared.image().to_owned(),
    };
    let may = agent.retry(|store| store.begin(&agent.registration, claim, &start));
    if may != Some(true) {
        agent.containers.remove(&container);
        return Ok(match may {
            // Cancelled, or lost: the store tells the two apart.
            Some(_) => cancelled(),
            None => JobOutcome::NotStarted,
        });
    }
    // From here on the job counts as started, whoever has it. A record that is there already is of
    // an agent that was lost before it started anything: the store would know otherwise.
    StartedRun::discard(&agent.project, &run_id);
    let record = match prepared.write(
        agent.project.clone(),
        code,
        &crate::cli::support::output::Terminal::default(),
    ) {
        Ok(record) => record,
        Err(error) => {
            agent.containers.remove(&container);
            return Ok(failed(&error.into(), handle));
        }
    };
    output::note(&format!("job {}: {}", claim.id, start.image));
    if let Err(why) = agent.containers.start(&container) {
        if agent.retry(|store| store.has(&agent.registration, claim)) != Some(true) {
            // Whoever has the job now may have removed the container.
            return Ok(JobOutcome::Lost);
        }
        let _ = record.finish(RunExit::default());
        let error = CommandError::runtime(format!("the container can't be started: {why}"));
        let JobOutcome::Ended(end, _) = failed(&error, handle) else {
            return Ok(JobOutcome::Lost);
        };
        return Ok(JobOutcome::Ended(end, Some(container)));
    }
    let remove = prepared.remove.then(|| container.clone());
    Ok(follow(
        agent,
        claim,
        &container,
        Some(record),
        remove,
        handle,
    ))
}

fn cancelled() -> JobOutcome {
    let end = End {
        cancelled: true,
        ..End::default()
    };
    JobOutcome::Ended(end, None)
}

/// Waits for the end of a container that was started, and writes it down.
pub(super) fn follow(
    agent: &Agent,
    claim: &Claim,
    container: &str,
    record: Option<StartedRun>,
    remove: Option<String>,
    handle: &JobHandle,
) -> JobOutcome {
    handle.set_container(agent, container);
    let state = agent.containers.end(container);
    if agent.retry(|store| store.has(&agent.registration, claim)) != Some(true) {
        // Whoever has it writes down how it ended.
        return JobOutcome::Lost;
    }
    let code = state.as_ref().map(|state| state.exit_code);
    if let Some(record) = record {
        let exit = code.map_or_else(RunExit::default, |code| RunExit::of_code(code as i32));
        if let Err(error) = record.finish(exit) {
            output::warning(&format!("the end of the run isn't recorded: {error}"));
        }
    }
    let end = End {
        exit_code: code,
        error: match &state {
            None => Some("its container was removed before it ended".to_owned()),
            Some(state) if !state.error.is_empty() => Some(state.error.clone()),
            Some(_) => None,
        },
        log: match state {
            Some(_) => agent.containers.log(container),
            None => String::new(),
        },
        cancelled: handle.is_cancelled(),
    };
    JobOutcome::Ended(end, remove)
}

/// The image of a job, and the code in it.
fn image_of(
    agent: &Agent,
    claim: &Claim,
    config: &QueueConfig,
    handle: &JobHandle,
) -> CommandResult<(String, Option<Snapshot>)> {
    match &claim.source {
        crate::queue::Source::Image { image } => Ok((image.clone(), None)),
        source => build::image(agent, claim, source, config, handle),
    }
}
