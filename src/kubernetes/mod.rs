//! A Kubernetes cluster: the log-in, Jobs and objects of any other kind made and removed, their pods
//! followed to the end, logs, programs in a running pod, and the image that a pod of the cluster runs.
//!
//! What a Job holds is `runtime`'s business; what is printed, the commands'.

mod beside;
mod connect;
mod error;
mod exec;
mod forward;
mod image_id;
mod jobs;
mod limited;
mod logs;
mod objects;
mod own_pod;
mod points;
mod progress;
mod ranks;
pub mod rbac;
mod seen;
mod state;

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource};

pub use beside::Beside;
pub use connect::{ClusterTarget, connect, is_known};
pub use error::KubernetesError;
pub use exec::Program;
pub use image_id::ImageId;
pub use jobs::{FoundJob, JobRef};
pub use logs::LogLines;
pub use objects::{FoundObject, ObjectKind, ObjectRef};
pub use own_pod::{Mounts, OwnPodError, Running, mounts, running};
pub use progress::{Progress, is_endless, progress};
pub use ranks::Rank;
pub use state::{End, State, look};

/// A cluster, as one user and in one namespace.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    /// The API server's address, without a log-in.
    pub url: String,
    /// The kubeconfig's context; none in a pod.
    pub context: Option<String>,
    /// The namespace.
    pub namespace: String,
}

impl Cluster {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn error(&self, doing: &str, error: kube::Error) -> KubernetesError {
        KubernetesError::of(self, doing, error)
    }

    /// Whether it answers anything at all.
    pub async fn answers(&self) -> bool {
        let version = self.client.apiserver_version().await;
        matches!(version, Ok(_) | Err(kube::Error::Api(_)))
    }

    /// The cluster's version, such as `v1.36.3`.
    ///
    /// # Errors
    /// Where it doesn't answer.
    pub async fn version(&self) -> Result<String, KubernetesError> {
        let version = self.client.apiserver_version().await;
        Ok(version
            .map_err(|error| self.error("ask for the version", error))?
            .git_version)
    }
}
