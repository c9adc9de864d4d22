//! Images of jobs from code, built once for the same inputs.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use mlbuild_templates::reference;
use sha2::{Digest as _, Sha256};

use super::builds::{BuildFailure, ImageBuild, RunningBuild};
use super::code::{self, unwritable};
use super::error::JobError;
use super::handle::JobHandle;
use super::state::{Agent, JobEngine};
use crate::env_vars;
use crate::queue::{BuilderKind, Claim, QueueConfig, Source};
use crate::records::Snapshot;

/// Lines of a failed build that are told.
const TAIL_LINES: usize = 15;

/// The image, built where it has to be, and the state of its code.
///
/// # Errors
/// Where the agent builds nothing, the code can't be had, or the build fails.
pub(super) fn of_code(
    agent: &Agent,
    claim: &Claim,
    source: &Source,
    config: &QueueConfig,
    handle: &JobHandle,
) -> Result<(String, Option<Snapshot>), JobError> {
    if agent.builder.kind == BuilderKind::Noop {
        return Err(JobError::BuildsNothing);
    }
    if agent.registry.is_none() {
        match &agent.engine {
            JobEngine::Cluster(_) => return Err(JobError::NoRegistryForCluster),
            JobEngine::Machine(containers) if containers.engine.is_podman() => {
                return Err(JobError::NoRegistryForPodman);
            }
            JobEngine::Machine(_) => {}
        }
    }
    let base = config
        .base_image
        .as_ref()
        .or(agent.builder.base_image.as_ref());
    let key = key(agent, source, base);
    let folder = env_vars::state_dir().ok_or(JobError::NoHome)?.join("jobs");
    let code = folder.join(&key);
    // One build of the same inputs at a time on this machine; the second finds the first one's.
    // Others on this machine have no business with the code of jobs, whatever the umask.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .and_then(|()| fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)))
        .map_err(unwritable(&folder))?;
    let lock = File::create(folder.join(format!("{key}.lock")));
    let lock = lock.and_then(|file| file.lock().map(|()| file));
    let _lock = lock.map_err(unwritable(&folder))?;
    code::fetch(agent, source, &code)?;
    let state = match source {
        Source::Git { .. } => Snapshot::take(&code).unwrap_or_default(),
        _ => None,
    };
    if let Some(image) = agent.retry(|store| store.built(&key)).flatten()
        && (agent.registry.is_some() || agent.engine.has_image(&image))
    {
        return Ok((image, state));
    }
    let told = |what: &str| agent.reporter.note(format!("job {}: {what}", claim.id));
    told(&format!("builds {}", source.shown()));
    let image = build(agent, (&key, source.variant()), &code, base, handle)?;
    told(&format!("built {image}"));
    agent.retry(|store| store.remember_build(&key, &image));
    Ok((image, state))
}

/// What an image is made from.
fn key(agent: &Agent, source: &Source, base: Option<&String>) -> String {
    let code: &str = match source {
        Source::Image { image } => image,
        Source::Folder { digest, .. } => digest,
        Source::Git { commit, .. } => commit,
    };
    // An image that isn't pushed is on one engine only.
    let place = agent
        .registry
        .as_ref()
        .map_or(&agent.registration.engine, |to| &to.repository);
    let mut hash = Sha256::new();
    let parts = [
        code,
        place,
        base.map_or("", String::as_str),
        env!("CARGO_PKG_VERSION"),
    ];
    // What an agent without that rule has built is another image.
    let places = base_registries(agent).unwrap_or_default();
    let variant = source.variant().map(|name| format!("variant {name}"));
    let more = variant.iter().chain(&places).map(String::as_str);
    for part in parts.into_iter().chain(more) {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex::encode(hash.finalize())[..20].to_owned()
}

/// Where the images come from that an image is made of: as the policy says, and the agent's own base.
fn base_registries(agent: &Agent) -> Option<Vec<String>> {
    let mut places = agent.policy.registries.clone()?;
    let own = agent.builder.base_image.as_ref();
    if let Some(own) = own.and_then(|base| reference::parse(base).ok()) {
        places.push(format!("{}/{}", own.registry(), own.repository()));
    }
    Some(places)
}

fn build(
    agent: &Agent,
    (key, variant): (&str, Option<&str>),
    code: &Path,
    base: Option<&String>,
    handle: &JobHandle,
) -> Result<String, JobError> {
    let tag = match variant {
        Some(variant) => format!("{key}-{variant}"),
        None => key.to_owned(),
    };
    let request = ImageBuild {
        folder: code.to_owned(),
        name: match &agent.registry {
            Some(to) => to.image(&tag),
            None => format!("mlbuild-job:{tag}"),
        },
        variant: variant.map(str::to_owned),
        push: agent.registry.is_some(),
        // A cluster has nothing of this machine's Docker.
        with_docker: agent.builder.kind == BuilderKind::Docker
            && matches!(agent.engine, JobEngine::Machine(_)),
        base: base.cloned(),
        base_registries: base_registries(agent),
        log: code.with_extension("log"),
    };
    let started = agent.builds.start(&request);
    let build: Arc<dyn RunningBuild> = started.map_err(JobError::BuildProcess)?.into();
    handle.set_build(Some(build.clone()));
    if handle.is_cancelled() || agent.is_stopping() {
        handle.end_build();
    }
    let built = build.wait();
    handle.set_build(None);
    if handle.is_cancelled() {
        return Err(JobError::Cancelled);
    }
    built.map_err(|failure| match failure {
        BuildFailure::Process(error) => JobError::BuildProcess(error),
        BuildFailure::Answer(error) => JobError::BuildAnswer(error),
        BuildFailure::Failed => JobError::Build {
            tail: tail(&request.log),
            host: agent.registration.host.clone(),
            log: request.log,
        },
    })
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
