//! A job that nobody started yet.
//!
//! A container is made, then the store is asked, and only after its yes it is started: so of all
//! who might have the job, one starts one container. Whoever takes the job over sees in the store
//! whether that yes was given.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mlbuild_manifests::RunId;

use super::containers::Containers;
use super::error::JobError;
use super::follow::{JobOutcome, follow};
use super::handle::JobHandle;
use super::state::Agent;
use super::{image, labels};
use crate::env_vars::WANDB_API_KEY;
use crate::queue::{
    Claim, End, JobFacts, PolicyError, PolicyQuestion, QueueConfig, QueueConfigError, QueueKind,
    Source, Start, override_of, split_overrides, without_gpus,
};
use crate::records::{RunExit, StartedRun};
use crate::runtime::{Options, RunSpec};
use crate::start::job::{JobStart, Prepared, has_tracker_key};

/// Does the job from its beginning to its end.
pub(super) fn run(
    agent: &Agent,
    containers: &Arc<Containers>,
    claim: &Claim,
    handle: &JobHandle,
) -> JobOutcome {
    match prepare_and_start(agent, containers, claim, handle) {
        Ok(outcome) => outcome,
        // What a signal for the agent broke is no failure of the job.
        Err(_) if agent.is_stopping() => JobOutcome::NotStarted,
        Err(error) => JobOutcome::Ended(failed(agent, error, handle), None),
    }
}

/// How a job ended that failed.
pub(super) fn failed(agent: &Agent, error: JobError, handle: &JobHandle) -> End {
    End {
        error: Some((agent.words)(error)),
        cancelled: handle.is_cancelled(),
        ..End::default()
    }
}

/// The id of the run of a job's try.
///
/// # Errors
/// Where the job's id is none of a run.
pub(super) fn run_id_of(claim: &Claim) -> Result<RunId, JobError> {
    Ok(match claim.attempt {
        1 => claim.id.parse(),
        attempt => format!("{}-{attempt}", claim.id).parse(),
    }?)
}

fn prepare_and_start(
    agent: &Agent,
    containers: &Arc<Containers>,
    claim: &Claim,
    handle: &JobHandle,
) -> Result<JobOutcome, JobError> {
    let config = QueueConfig::parse(&claim.config, Path::new(&format!("queue {}", claim.queue)))
        .map_err(QueueConfigError::from)?;
    let (values, overrides) = split_overrides(&claim.overrides);
    if config.kind() != QueueKind::Docker {
        return Err(JobError::OtherKind {
            queue: claim.queue.clone(),
            kind: config.kind().as_str(),
        });
    }
    let config = config.of_job(&values, &overrides)?;
    let (image, code) = match &claim.source {
        Source::Image { image } => (image.clone(), None),
        source => image::of_code(agent, claim, source, &config, handle)?,
    };
    if handle.is_cancelled() {
        return Ok(JobOutcome::cancelled());
    }
    let run_id = run_id_of(claim)?;
    let prepared = prepare(agent, containers, claim, &config, &image, &run_id)?;
    let container = create(agent, claim, &prepared)?;
    let start = Start {
        container,
        run_id: run_id.to_string(),
        records: agent.project.to_string_lossy().into_owned(),
        image: prepared.image().to_owned(),
    };
    if let Some(outcome) = refused(agent, containers, claim, &start) {
        return Ok(outcome);
    }
    // From here on the job counts as started, whoever has it. A record that is there already is of
    // an agent that was lost before it started anything: the store would know otherwise.
    StartedRun::discard(&agent.project, &run_id);
    let record = match prepared.write(&agent.project, code, &*agent.reporter) {
        Ok(record) => record,
        Err(error) => {
            containers.remove(&start.container);
            let end = failed(agent, error.into(), handle);
            return Ok(JobOutcome::Ended(end, None));
        }
    };
    Ok(start_container(
        agent,
        containers,
        claim,
        &start,
        record,
        prepared.remove,
        handle,
    ))
}

/// Pulls what is missing, and decides everything about the container.
fn prepare<'a>(
    agent: &'a Agent,
    containers: &'a Containers,
    claim: &Claim,
    config: &QueueConfig,
    image: &str,
    run_id: &RunId,
) -> Result<Prepared<'a>, JobError> {
    let (_, overrides) = split_overrides(&claim.overrides);
    let overrides = overrides.into_iter().map(override_of);
    let overrides: Options = overrides.collect::<Result<_, QueueConfigError>>()?;
    let facts = JobFacts::of(&claim.source, image, run_id.as_str(), &claim.command)
        .of_entity(agent.entity.clone());
    let (mut spec, own) = config.spec_of(&facts, &claim.command, overrides.clone())?;
    spec.options = without_gpus(spec.options);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    spec.anchor(&agent.folder, home.as_deref());
    let question = PolicyQuestion {
        queue: config,
        overrides: &overrides,
        gpus: claim.gpus.len(),
    };
    let admitted = admit(agent, claim, &mut spec, &own, &question);
    admitted.map_err(|source| JobError::Policy {
        source,
        file: agent.policy_file.clone(),
        host: agent.registration.host.clone(),
    })?;
    let start = JobStart {
        spec,
        own: &without_gpus(own),
        gpus: &claim.gpus,
        run_id: run_id.clone(),
        folder: &agent.folder,
        hands_key: hands_key(agent, claim, config),
    };
    let prepared = containers.engine.prepare(start, &*agent.reporter);
    Ok(containers.wait(prepared)?)
}

/// Whether a job gets the tracker's key of this machine: where the queue or the policy names it. Where
/// neither does, and there is one, that is said.
fn hands_key(agent: &Agent, claim: &Claim, config: &QueueConfig) -> bool {
    let is_named = agent.policy.hands_on(WANDB_API_KEY, config);
    if !is_named && has_tracker_key() {
        let file = agent.policy_file.as_deref();
        agent.reporter.note(format!(
            "job {}: doesn't get this machine's {WANDB_API_KEY}; to hand it on, write `env: [{WANDB_API_KEY}]` \
             into the configuration of the queue {}, or `policy: {{env: [{WANDB_API_KEY}]}}` into {}",
            claim.id,
            claim.queue,
            file.unwrap_or(Path::new("the agent's launch-config.yaml")).display(),
        ));
    }
    is_named
}

/// Asks the agent's policy. An image that was built for the job comes from the agent itself: the images
/// that it is made from were held against the policy when it was built.
fn admit(
    agent: &Agent,
    claim: &Claim,
    spec: &mut RunSpec,
    own: &Options,
    question: &PolicyQuestion<'_>,
) -> Result<(), PolicyError> {
    let mut policy = agent.policy.clone();
    if !matches!(claim.source, Source::Image { .. }) {
        policy.registries = None;
    }
    policy.admit(spec, question)?;
    policy.admit_options(own, question)
}

/// Has the container made, and not started; returns its id.
fn create(agent: &Agent, claim: &Claim, prepared: &Prepared<'_>) -> Result<String, JobError> {
    let name = format!(
        "mlbuild-{}-{}",
        claim.id.to_lowercase(),
        claim.fencing_token
    );
    let mut labels = vec![
        (labels::JOB, claim.id.clone()),
        (labels::STORE, agent.store_id.clone()),
        (labels::FENCING_TOKEN, claim.fencing_token.to_string()),
    ];
    if prepared.remove {
        labels.push((labels::REMOVE, "true".to_owned()));
    }
    Ok(prepared.create(&name, &labels)?)
}

/// Asks the store for its yes; without it the container goes.
fn refused(
    agent: &Agent,
    containers: &Containers,
    claim: &Claim,
    start: &Start,
) -> Option<JobOutcome> {
    let may = agent.retry(|store| store.begin(&agent.registration, claim, start));
    if may == Some(true) {
        return None;
    }
    containers.remove(&start.container);
    Some(match may {
        // Cancelled, or lost: the store tells the two apart.
        Some(_) => JobOutcome::cancelled(),
        None => JobOutcome::NotStarted,
    })
}

/// Starts the container, and follows it to its end.
fn start_container(
    agent: &Agent,
    containers: &Arc<Containers>,
    claim: &Claim,
    start: &Start,
    record: StartedRun,
    remove: bool,
    handle: &JobHandle,
) -> JobOutcome {
    let container = &start.container;
    let text = format!("job {}: {}", claim.id, start.image);
    agent.reporter.note(text);
    if let Err(why) = containers.start(container) {
        if agent.retry(|store| store.has(&agent.registration, claim)) != Some(true) {
            // Whoever has the job now may have removed the container.
            return JobOutcome::Lost;
        }
        let _ = record.finish(RunExit::default());
        let end = failed(agent, JobError::NotStarted { why }, handle);
        return JobOutcome::Ended(end, Some(container.clone()));
    }
    let remove = remove.then(|| container.clone());
    follow(
        agent,
        containers,
        claim,
        container,
        Some(record),
        remove,
        handle,
    )
}
