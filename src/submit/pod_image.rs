//! The image that this very container runs: from the variables that mlbuild set itself, else from the
//! cluster.

use std::time::Duration;

use oci_spec::image::Digest;

use super::error::SubmitError;
use crate::env_vars::{MLBUILD_CONTAINER, MLBUILD_IMAGE, MLBUILD_POD_NAME, MLBUILD_POD_NAMESPACE};
use crate::kubernetes::{
    Cluster, ClusterTarget, ImageId, KubernetesError, Running, connect, mounts, running,
};
use crate::registry::{Registry, RegistryError, RegistryOptions};
use crate::reporter::Reporter;

/// How often a status that doesn't name the image yet is asked for, and a cluster that doesn't
/// answer: a proxy beside this container may need a moment.
const TRIES: u32 = 15;
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long a registry may take to tell what a digest is of.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(5);

/// Which container is meant; what isn't named is taken from its surroundings.
#[derive(Debug, Clone, Default)]
pub struct PodQuery {
    /// The pod's name.
    pub pod: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// The container's name.
    pub container: Option<String>,
    /// Whether a registry is asked what the digest is of, where the cluster doesn't say it.
    pub asks_kind: bool,
    /// How registries are reached; `None`: none is asked.
    pub registry: Option<RegistryOptions>,
}

/// What is known of this container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodImage {
    /// The image, by digest where that is known.
    pub image: String,
    /// `index`, `manifest` or `configuration`; `pulled` where no registry said which of the first two,
    /// `unknown` where there is no digest.
    pub digest_of: &'static str,
    /// The container's name.
    pub container: Option<String>,
    /// The pod's namespace.
    pub namespace: Option<String>,
    /// The pod's name.
    pub pod: Option<String>,
}

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Looks it up.
///
/// # Errors
/// Where this is no pod, the cluster refuses, or it can't be known which container this is.
pub async fn look_up(query: &PodQuery, reporter: &dyn Reporter) -> Result<PodImage, SubmitError> {
    // Whoever started this container by digest said so.
    if let Some(image) = set(MLBUILD_IMAGE).filter(|image| image.contains("@sha256:")) {
        let digest_of = query.kind(&image).await;
        return Ok(PodImage {
            image,
            digest_of,
            container: set(MLBUILD_CONTAINER),
            namespace: set(MLBUILD_POD_NAMESPACE),
            pod: set(MLBUILD_POD_NAME),
        });
    }
    let namespace = query
        .namespace
        .clone()
        .or_else(|| set(MLBUILD_POD_NAMESPACE));
    let cluster = connect(&ClusterTarget {
        namespace,
        ..ClusterTarget::default()
    })
    .await
    .map_err(|error| match error {
        KubernetesError::NoConfig { .. } => SubmitError::NoPod,
        error => error.into(),
    })?;
    let pod = query
        .pod
        .clone()
        .or_else(|| set(MLBUILD_POD_NAME))
        .unwrap_or_else(|| {
            let name = rustix::system::uname();
            set("HOSTNAME").unwrap_or_else(|| name.nodename().to_string_lossy().into_owned())
        });
    let found = ask(query, &cluster, &pod).await?;
    let (image, digest_of) = query.pinned(&found, reporter).await;
    Ok(PodImage {
        image,
        digest_of,
        container: Some(found.container),
        namespace: Some(cluster.namespace),
        pod: Some(pod),
    })
}

/// Asks the cluster, until it knows.
async fn ask(query: &PodQuery, cluster: &Cluster, pod: &str) -> Result<Running, SubmitError> {
    let named = query.container.clone().or_else(|| set(MLBUILD_CONTAINER));
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts = mounts(&mountinfo);
    let command = first_command();
    for attempt in 1.. {
        let why = match cluster.pod(pod).await {
            Ok(found) => {
                let running = running(&found, named.as_deref(), &mounts, &command)?;
                if running.image.is_some() {
                    return Ok(running);
                }
                SubmitError::ImageUnknown {
                    container: running.container,
                    pod: pod.to_owned(),
                }
            }
            Err(error @ KubernetesError::Unreachable { .. }) => error.into(),
            Err(error) => return Err(explained(error, cluster, pod)),
        };
        if attempt == TRIES {
            return Err(why);
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    unreachable!("the loop returns")
}

fn explained(error: KubernetesError, cluster: &Cluster, pod: &str) -> SubmitError {
    let namespace = cluster.namespace.clone();
    match error {
        KubernetesError::NotFound { .. } => SubmitError::NoSuchPod {
            namespace,
            pod: pod.to_owned(),
        },
        KubernetesError::Forbidden { .. } => SubmitError::PodForbidden {
            namespace,
            source: error,
        },
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

impl PodQuery {
    /// The image, and what its digest is of.
    async fn pinned(&self, found: &Running, reporter: &dyn Reporter) -> (String, &'static str) {
        let asked = RegistryError::reference(&found.asked).ok();
        let id = match found.image.clone() {
            Some(ImageId::Pulled(image)) => {
                let kind = self.kind(&image).await;
                return (image, kind);
            }
            Some(ImageId::Configuration(id)) => id,
            None => return (found.asked.clone(), "unknown"),
        };
        // The pod itself names a digest: by that it was pulled.
        if let Some((reference, digest)) = asked.as_ref().and_then(|r| r.digest().map(|d| (r, d))) {
            let image = reference.clone_with_digest(digest.to_owned()).to_string();
            let kind = self.kind(&image).await;
            return (image, kind);
        }
        // The node names the configuration, by which nothing can be pulled: whose is it?
        if let Some(image) = self.owner(&found.asked, &id).await {
            return (image, "manifest");
        }
        reporter.warning(format!(
            "{} is known to the node by its configuration alone, {id}: nothing can be pulled by that",
            found.asked
        ));
        (id.to_string(), "configuration")
    }

    fn registry(&self) -> Option<Registry> {
        self.registry.clone().map(Registry::new)
    }

    /// The manifest behind a tag that has this configuration.
    async fn owner(&self, asked: &str, id: &Digest) -> Option<String> {
        let reference = RegistryError::reference(asked).ok()?;
        let registry = self.registry()?;
        let images = registry.images(&reference, None);
        let images = tokio::time::timeout(REGISTRY_TIMEOUT, images).await;
        let images = images.ok()?.ok()?;
        let image = images.iter().find(|image| image.config.digest() == id)?;
        let digest = image.manifest.digest().to_string();
        Some(reference.clone_with_digest(digest).to_string())
    }

    /// What a digest is of, where its registry says so.
    async fn kind(&self, image: &str) -> &'static str {
        if !self.asks_kind {
            return "pulled";
        }
        let resolved = async {
            let reference = RegistryError::reference(image).ok()?;
            self.registry()?.resolve(&reference, None).await.ok()
        };
        match tokio::time::timeout(REGISTRY_TIMEOUT, resolved).await {
            Ok(Some(resolved)) if resolved.is_index => "index",
            Ok(Some(_)) => "manifest",
            _ => "pulled",
        }
    }
}
