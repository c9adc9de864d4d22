//! The image: from the variables that mlbuild set itself, else from the cluster.

use std::time::Duration;

use oci_spec::image::Digest;

use super::EnvArgs;
use crate::cli::output;
use crate::cli::registry_args::RegistryArgs;
use crate::env_vars::{MLBUILD_CONTAINER, MLBUILD_IMAGE, MLBUILD_POD_NAME, MLBUILD_POD_NAMESPACE};
use crate::error::{CommandError, CommandResult};
use crate::kubernetes::{
    Cluster, ImageId, KubernetesError, Running, Whereabouts, connect, mounts, running,
};
use crate::registry::{Registry, RegistryError};

/// How often a status that doesn't name the image yet is asked for, and a cluster that doesn't
/// answer: a proxy beside this container may need a moment.
const TRIES: u32 = 15;
const PAUSE: Duration = Duration::from_secs(1);
/// How long a registry may take to tell what a digest is of.
const REGISTRY: Duration = Duration::from_secs(5);

/// What is known of this container.
pub(super) struct Answer {
    pub(super) image: String,
    /// `index`, `manifest` or `configuration`; `pulled` where no registry told which of the first two.
    pub(super) digest_of: &'static str,
    pub(super) container: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) pod: Option<String>,
}

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

pub(super) async fn look_up(args: &EnvArgs, asks_kind: bool) -> CommandResult<Answer> {
    // Whoever started this container by digest said so.
    if let Some(image) = set(MLBUILD_IMAGE).filter(|image| image.contains("@sha256:")) {
        let digest_of = if asks_kind {
            kind(&image).await
        } else {
            "pulled"
        };
        return Ok(Answer {
            image,
            digest_of,
            container: set(MLBUILD_CONTAINER),
            namespace: set(MLBUILD_POD_NAMESPACE),
            pod: set(MLBUILD_POD_NAME),
        });
    }
    let namespace = args
        .namespace
        .clone()
        .or_else(|| set(MLBUILD_POD_NAMESPACE));
    let cluster = connect(&Whereabouts {
        namespace,
        ..Whereabouts::default()
    })
    .await
    .map_err(|error| match error {
        KubernetesError::NoConfig { .. } => CommandError::environment(
            "this is no pod of Kubernetes: KUBERNETES_SERVICE_HOST isn't set",
        )
        .hint("mlbuild run and mlbuild submit tell their containers the image themselves"),
        error => error.into(),
    })?;
    let pod = args
        .pod
        .clone()
        .or_else(|| set(MLBUILD_POD_NAME))
        .unwrap_or_else(|| {
            let name = rustix::system::uname();
            set("HOSTNAME").unwrap_or_else(|| name.nodename().to_string_lossy().into_owned())
        });
    let found = ask(args, &cluster, &pod).await?;
    let (image, digest_of) = pinned(&found, asks_kind).await;
    Ok(Answer {
        image,
        digest_of,
        container: Some(found.container),
        namespace: Some(cluster.namespace),
        pod: Some(pod),
    })
}

/// Asks the cluster, until it knows.
async fn ask(args: &EnvArgs, cluster: &Cluster, pod: &str) -> CommandResult<Running> {
    let named = args.container.clone().or_else(|| set(MLBUILD_CONTAINER));
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts = mounts(&mountinfo);
    let command = first_command();
    for attempt in 1.. {
        let why = match cluster.pod(pod).await {
            Ok(found) => {
                let running = running(&found, named.as_deref(), &mounts, &command)
                    .map_err(|error| CommandError::environment(error).hint(
                        "say it: --container NAME, or MLBUILD_CONTAINER and MLBUILD_POD_NAME in the pod's specification",
                    ))?;
                if running.image.is_some() {
                    return Ok(running);
                }
                CommandError::environment(format!(
                    "the cluster doesn't know yet what the container {} of {pod} runs",
                    running.container
                ))
            }
            Err(error @ KubernetesError::Unreachable { .. }) => error.into(),
            Err(error) => return Err(explained(error, cluster, pod)),
        };
        if attempt == TRIES {
            return Err(why);
        }
        tokio::time::sleep(PAUSE).await;
    }
    unreachable!("the loop returns")
}

fn explained(error: KubernetesError, cluster: &Cluster, pod: &str) -> CommandError {
    match error {
        KubernetesError::NotFound { .. } => CommandError::environment(format!(
            "the namespace {} has no pod {pod}, which is this host's name",
            cluster.namespace
        ))
        .hint("hand the name in by downward API: MLBUILD_POD_NAME from metadata.name"),
        KubernetesError::Forbidden { .. } => {
            let namespace = &cluster.namespace;
            CommandError::environment(error).hint(format!(
                "allow it: mlbuild env --rbac --namespace {namespace} | kubectl apply -f -"
            ))
        }
        error => error.into(),
    }
}

/// The words of the container's first process.
fn first_command() -> Vec<String> {
    let bytes = std::fs::read("/proc/1/cmdline").unwrap_or_default();
    let words = bytes
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty());
    words
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

/// The image as it is told, and what its digest is of.
async fn pinned(found: &Running, asks_kind: bool) -> (String, &'static str) {
    let asked = RegistryError::reference(&found.asked).ok();
    let id = match found.image.clone() {
        Some(ImageId::Pulled(image)) => {
            let kind = if asks_kind {
                kind(&image).await
            } else {
                "pulled"
            };
            return (image, kind);
        }
        Some(ImageId::Configuration(id)) => id,
        None => return (found.asked.clone(), "unknown"),
    };
    // The pod itself names a digest: by that it was pulled.
    if let Some((reference, digest)) = asked.as_ref().and_then(|r| r.digest().map(|d| (r, d))) {
        let image = reference.clone_with_digest(digest.to_owned()).to_string();
        let kind = if asks_kind {
            kind(&image).await
        } else {
            "pulled"
        };
        return (image, kind);
    }
    // The node names the configuration, by which nothing can be pulled: whose is it?
    if let Some(image) = owner(&found.asked, &id).await {
        return (image, "manifest");
    }
    output::warning(&format!(
        "{} is known to the node by its configuration alone, {id}: nothing can be pulled by that",
        found.asked
    ));
    (id.to_string(), "configuration")
}

fn registry() -> Option<Registry> {
    let folder = crate::settings::current_folder().ok()?;
    RegistryArgs::default().client(&folder).ok()
}

/// The manifest behind a tag that has this configuration.
async fn owner(asked: &str, id: &Digest) -> Option<String> {
    let reference = RegistryError::reference(asked).ok()?;
    let registry = registry()?;
    let images = tokio::time::timeout(REGISTRY, registry.images(&reference, None)).await;
    let images = images.ok()?.ok()?;
    let image = images.iter().find(|image| image.config.digest() == id)?;
    let digest = image.manifest.digest().to_string();
    Some(reference.clone_with_digest(digest).to_string())
}

/// What a digest is of, where its registry says so.
async fn kind(image: &str) -> &'static str {
    let told = async {
        let reference = RegistryError::reference(image).ok()?;
        registry()?.resolve(&reference, None).await.ok()
    };
    match tokio::time::timeout(REGISTRY, told).await {
        Ok(Some(resolved)) if resolved.is_index => "index",
        Ok(Some(_)) => "manifest",
        _ => "pulled",
    }
}
