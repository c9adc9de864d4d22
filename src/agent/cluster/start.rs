//! A job that nobody started yet.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use mlbuild_manifests::run_record::{RunCluster, RunCommand};
use mlbuild_manifests::{LockFile, RunId, lock};

use super::follow::{Followed, follow};
use super::{CONTAINER_ANNOTATION, JobCluster, is_of};
use crate::agent::error::JobError;
use crate::agent::follow::JobOutcome;
use crate::agent::handle::JobHandle;
use crate::agent::image;
use crate::agent::labels;
use crate::agent::start::{failed, run_id_of};
use crate::agent::state::{Agent, RETRY_INTERVAL};
use crate::env_vars::{MLBUILD_IMAGE, MLBUILD_RUN_ID, WANDB_API_KEY, WANDB_DOCKER};
use crate::kubernetes::{FoundObject, KubernetesError, ObjectKind, ObjectRef, is_endless};
use crate::queue::{
    Claim, JobFacts, JobObject, Manifest, ObjectFacts, QueueConfig, QueueConfigError, Source,
    Start, may_set, split_overrides,
};
use crate::records::{RunExit, RunStart, Snapshot, StartedRun, this_host};
use crate::registry::{Registry, RegistryError, RegistryOptions};
use crate::start::job::has_tracker_key;
use crate::start::record::{OfFiles, PendingRecord, begin, image as image_of_record};

/// Does the job from its beginning to its end.
pub(super) fn run(
    agent: &Agent,
    cluster: &Arc<JobCluster>,
    claim: &Claim,
    handle: &JobHandle,
) -> JobOutcome {
    match prepare_and_start(agent, cluster, claim, handle) {
        Ok(outcome) => outcome,
        // What a signal for the agent broke is no failure of the job.
        Err(_) if agent.is_stopping() => JobOutcome::NotStarted,
        Err(error) => JobOutcome::Ended(failed(agent, error, handle), None),
    }
}

/// Everything about a job's object, before it is made.
struct Planned {
    object: JobObject,
    kind: ObjectKind,
    place: ObjectRef,
    /// The image as it was named, and by digest.
    named: String,
    pinned: String,
    run_id: RunId,
}

fn prepare_and_start(
    agent: &Agent,
    cluster: &Arc<JobCluster>,
    claim: &Claim,
    handle: &JobHandle,
) -> Result<JobOutcome, JobError> {
    let name = format!("queue {}", claim.queue);
    let config =
        QueueConfig::parse(&claim.config, Path::new(&name)).map_err(QueueConfigError::from)?;
    let (values, overrides) = split_overrides(&claim.overrides);
    let config = config.of_job(&values, &overrides)?;
    let Some(manifest) = &config.manifest else {
        return Err(JobError::OtherKind {
            queue: claim.queue.clone(),
            kind: config.kind().as_str(),
        });
    };
    may_set(&config, &overrides).map_err(|source| refused_by(agent, source))?;
    let (named, code) = match &claim.source {
        Source::Image { image } => {
            let admitted = agent.policy.admit_image(image);
            admitted.map_err(|source| refused_by(agent, source))?;
            (image.clone(), None)
        }
        source => image::of_code(agent, claim, source, &config, handle)?,
    };
    if handle.is_cancelled() {
        return Ok(JobOutcome::cancelled());
    }
    let Some(planned) = plan(agent, cluster, claim, manifest, named)? else {
        return Ok(JobOutcome::NotStarted);
    };
    let start = Start {
        container: planned.place.to_string(),
        run_id: planned.run_id.to_string(),
        records: agent.project.to_string_lossy().into_owned(),
        image: planned.pinned.clone(),
    };
    match agent.retry(|store| store.begin(&agent.registration, claim, &start)) {
        Some(true) => {}
        // Cancelled, or lost: the store tells the two apart.
        Some(false) => return Ok(JobOutcome::cancelled()),
        None => return Ok(JobOutcome::NotStarted),
    }
    // From here on the job counts as started, whoever has it. A record that is there already is of
    // an agent that was lost before it started anything: the store would know otherwise.
    StartedRun::discard(&agent.project, &planned.run_id);
    let record = record(agent, cluster, claim, &planned, code)?;
    Ok(make_and_follow(
        agent, cluster, claim, planned, record, handle,
    ))
}

fn refused_by(agent: &Agent, source: crate::queue::PolicyError) -> JobError {
    JobError::Policy {
        source,
        file: agent.policy_file.clone(),
        host: agent.registration.host.clone(),
    }
}

/// Pins the image, fills the manifest, and asks policy and cluster whether it may be made. `None` where
/// the agent is to stop meanwhile.
fn plan(
    agent: &Agent,
    cluster: &JobCluster,
    claim: &Claim,
    manifest: &Manifest,
    named: String,
) -> Result<Option<Planned>, JobError> {
    let run_id = run_id_of(claim)?;
    let pinned = cluster.wait(pin(&named))?;
    let facts = JobFacts::of(&claim.source, &pinned, run_id.as_str(), &claim.command)
        .of_entity(agent.entity.clone());
    let name = format!("mlbuild-{}-{}", claim.id.to_lowercase(), claim.attempt);
    let own = [
        (labels::JOB, claim.id.clone()),
        (labels::STORE, agent.store_id.clone()),
        (labels::RUN, run_id.to_string()),
    ];
    let env = [
        (MLBUILD_RUN_ID, run_id.to_string()),
        (MLBUILD_IMAGE, pinned.clone()),
        (WANDB_DOCKER, pinned.clone()),
    ];
    let made = manifest.object(&ObjectFacts {
        facts: &facts,
        command: &claim.command,
        name,
        namespace: &cluster.cluster.namespace,
        labels: &own,
        env: &env,
    });
    let mut object = made.map_err(QueueConfigError::from)?;
    let admitted = agent
        .policy
        .admit_object(&object, &pinned, &cluster.cluster.namespace);
    admitted.map_err(|source| refused_by(agent, source))?;
    object.object["metadata"]["annotations"][CONTAINER_ANNOTATION] =
        object.container.clone().into();
    tell(agent, claim, &object);
    let place = ObjectRef {
        namespace: object.namespace.clone(),
        api_version: object.api_version.clone(),
        kind: object.kind.clone(),
        name: object.name.clone(),
        uid: None,
    };
    let kind = cluster.retry(agent, || {
        cluster.cluster.kind(&place.api_version, &place.kind)
    })?;
    let Some(kind) = kind else { return Ok(None) };
    // What the cluster would refuse is known before the store is asked.
    let tried = cluster.retry(agent, || {
        cluster
            .cluster
            .make_object(&kind, &place, &object.object, true)
    });
    match tried {
        Ok(None) => return Ok(None),
        // One of this job's, from an agent that was lost, or another one's: that is seen when it is made.
        Ok(Some(_)) | Err(KubernetesError::Exists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Some(Planned {
        object,
        kind,
        place,
        named,
        pinned,
        run_id,
    }))
}

/// What was decided over the manifest's head.
fn tell(agent: &Agent, claim: &Claim, object: &JobObject) {
    let note = |text: &str| agent.reporter.note(format!("job {}: {text}", claim.id));
    object.notes.iter().for_each(|text| note(text));
    if is_endless(&object.api_version, &object.kind) {
        note(&format!(
            "a {} has no end: it runs until the job is cancelled",
            object.kind
        ));
    }
    if has_tracker_key() && !object.object.to_string().contains(WANDB_API_KEY) {
        note(&format!(
            "doesn't get this machine's {WANDB_API_KEY}; keep it in a Secret of the cluster, name that in the \
             manifest (valueFrom: secretKeyRef) and under policy.kubernetes.objects of launch-config.yaml"
        ));
    }
}

/// The image by digest: every node and every retry then starts the same.
async fn pin(named: &str) -> Result<String, RegistryError> {
    let reference = RegistryError::reference(named)?;
    let digest = match reference.digest() {
        Some(digest) => digest.to_owned(),
        None => {
            let registry = Registry::new(RegistryOptions::default());
            let resolved = registry.resolve(&reference, None).await?;
            resolved.descriptor.digest().to_string()
        }
    };
    Ok(reference.clone_with_digest(digest).to_string())
}

/// Writes down that the run starts.
fn record(
    agent: &Agent,
    cluster: &JobCluster,
    claim: &Claim,
    planned: &Planned,
    code: Option<Snapshot>,
) -> Result<StartedRun, JobError> {
    let pending = PendingRecord::of(&agent.project, code);
    let OfFiles { place, code, data } = pending.of_files(&*agent.reporter)?;
    let project = place.project();
    let locks = LockFile::load(&project.join(lock::FILE_NAME)).unwrap_or_default();
    let (image, entry) = image_of_record(&planned.named, &planned.pinned, &locks);
    let mut host = this_host();
    host.runtime = Some("kubernetes".to_owned());
    let at = &cluster.cluster;
    // Other kinds aren't asked later how they ended.
    let in_cluster = planned.place.is_job().then(|| RunCluster {
        context: at.context.clone(),
        kubeconfig: None,
        server: at.url.clone(),
        namespace: planned.place.namespace.clone(),
        job: planned.place.name.clone(),
        options: Vec::new(),
    });
    let run = RunStart {
        id: planned.run_id.clone(),
        lock: entry.and_then(|entry| locks.checksum(&entry.key())),
        image,
        code,
        command: RunCommand {
            program: Some("kubernetes".to_owned()),
            argv: claim.command.clone(),
            project: Some(project.to_string_lossy().into_owned()),
            ..RunCommand::default()
        },
        host,
        cluster: in_cluster,
        slurm: None,
        data,
    };
    Ok(begin(run, &place)?)
}

/// Has the object made, and follows it to its end.
fn make_and_follow(
    agent: &Agent,
    cluster: &Arc<JobCluster>,
    claim: &Claim,
    mut planned: Planned,
    record: StartedRun,
    handle: &JobHandle,
) -> JobOutcome {
    let made = match make(agent, cluster, claim, &planned, handle) {
        Made::There(found) => found,
        Made::Lost => return JobOutcome::Lost,
        Made::Refused(error) => {
            let _ = record.finish(RunExit::default());
            let mut end = failed(agent, error, handle);
            if handle.is_cancelled() {
                end.error = None;
            }
            return JobOutcome::Ended(end, None);
        }
    };
    planned.place.uid = Some(made.uid);
    let text = planned.place.to_string();
    if agent.retry(|store| store.note_made(&agent.registration, claim, &text)) == Some(false) {
        return JobOutcome::Lost;
    }
    agent.reporter.note(format!(
        "job {}: {}: {}",
        claim.id,
        planned.place.shown(),
        planned.pinned
    ));
    let followed = Followed {
        kind: planned.kind,
        place: planned.place,
        run: planned.run_id.to_string(),
        container: planned.object.container,
    };
    follow(agent, cluster, claim, followed, Some(record), handle)
}

/// What became of making it.
enum Made {
    /// It is there, and this job's.
    There(FoundObject),
    /// It isn't, and won't be.
    Refused(JobError),
    /// Another agent has the job.
    Lost,
}

/// Has the object made. Where the answer is lost, the cluster is asked whether it has it, and no second
/// one comes of asking again: the name is the same.
fn make(
    agent: &Agent,
    cluster: &JobCluster,
    claim: &Claim,
    planned: &Planned,
    handle: &JobHandle,
) -> Made {
    let (at, kind, place) = (&cluster.cluster, &planned.kind, &planned.place);
    let mut told = false;
    loop {
        if agent.retry(|store| store.has(&agent.registration, claim)) != Some(true) {
            return Made::Lost;
        }
        if handle.is_cancelled() {
            return Made::Refused(JobError::Cancelled);
        }
        let error = match cluster.wait(at.make_object(kind, place, &planned.object.object, false)) {
            Ok(made) => return Made::There(made),
            Err(error) => error,
        };
        let is_taken = matches!(error, KubernetesError::Exists { .. });
        if !is_taken && !error.may_pass() {
            return Made::Refused(error.into());
        }
        match cluster.wait(at.object(kind, place)) {
            Ok(Some(found)) if is_of(&found, agent, claim, planned.run_id.as_str()) => {
                return Made::There(found);
            }
            Ok(Some(_)) => {
                return Made::Refused(JobError::NameTaken {
                    object: place.shown(),
                });
            }
            // It was refused, in the cluster's words.
            Ok(None) if matches!(error, KubernetesError::Failed { .. }) => {
                return Made::Refused(error.into());
            }
            _ => {}
        }
        if !std::mem::replace(&mut told, true) {
            agent
                .reporter
                .warning(format!("{error}; it is asked again until it answers"));
        }
        thread::sleep(RETRY_INTERVAL);
    }
}
