//! What a Job needs beside it: the Secret that it reads, the Service by which its pods find one another. They
//! are made before the Job, belong to it, and are removed with it.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::jobs::{has_labels_of, is_refused, post};
use super::{Cluster, KubernetesError};

/// What a Job needs beside it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside<'a> {
    /// The Secret that it reads.
    pub secret: Option<&'a Secret>,
    /// The Service by which its pods find one another.
    pub service: Option<&'a Service>,
}

/// An object of a known kind, in a namespace.
trait Kind:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
{
}

impl Kind for Secret {}
impl Kind for Service {}

/// `Secret train`.
fn shown<K: Kind>(object: &K) -> String {
    format!("{} {}", K::kind(&()), object.name_any())
}

impl Cluster {
    /// Whether the cluster would take them; nothing is made.
    pub(super) async fn check_beside(&self, beside: &Beside<'_>) -> Result<(), KubernetesError> {
        if let Some(secret) = beside.secret {
            self.post_one(secret, true)
                .await
                .map_err(|(error, _)| error)?;
        }
        if let Some(service) = beside.service {
            self.post_one(service, true)
                .await
                .map_err(|(error, _)| error)?;
        }
        Ok(())
    }

    /// Makes them. Where the cluster refuses, or an answer is lost, none of them is left.
    pub(super) async fn make_beside(&self, beside: &Beside<'_>) -> Result<(), KubernetesError> {
        if let Some(secret) = beside.secret
            && let Err((error, is_refused)) = self.post_one(secret, false).await
        {
            if is_refused {
                return Err(error);
            }
            return Err(self.without(beside, error).await);
        }
        let Some(service) = beside.service else {
            return Ok(());
        };
        match self.post_one(service, false).await {
            Ok(()) => Ok(()),
            Err((error, _)) => Err(self.without(beside, error).await),
        }
    }

    /// Has them removed with the Job.
    pub(super) async fn own_beside(
        &self,
        beside: &Beside<'_>,
        job: &Job,
    ) -> Result<(), KubernetesError> {
        if let Some(secret) = beside.secret {
            self.own_one(secret, job).await?;
        }
        match beside.service {
            Some(service) => self.own_one(service, job).await,
            None => Ok(()),
        }
    }

    /// Removes those of a Job that isn't there, since nothing else would; returns `error`, or that they may be
    /// left.
    pub(super) async fn without(
        &self,
        beside: &Beside<'_>,
        error: KubernetesError,
    ) -> KubernetesError {
        let mut left = Vec::new();
        if let Some(secret) = beside.secret {
            left.extend(self.remove_one(secret).await.err());
        }
        if let Some(service) = beside.service {
            left.extend(self.remove_one(service).await.err());
        }
        if left.is_empty() {
            return error;
        }
        KubernetesError::Left {
            what: left,
            namespace: self.namespace.clone(),
            source: Box::new(error),
        }
    }

    /// Makes one; the error, and whether the cluster has said no.
    async fn post_one<K: Kind>(
        &self,
        object: &K,
        dry_run: bool,
    ) -> Result<(), (KubernetesError, bool)> {
        let made = self.api::<K>().create(&post(dry_run), object).await;
        made.map(drop).map_err(|error| {
            let is_refused = is_refused(&error);
            let doing = format!("create the {}", shown(object));
            (self.error(&doing, error), is_refused)
        })
    }

    async fn own_one<K: Kind>(&self, object: &K, job: &Job) -> Result<(), KubernetesError> {
        let owner = json!({"metadata": {"ownerReferences": [{
            "apiVersion": "batch/v1", "kind": "Job", "name": job.name_any(), "uid": job.uid(),
        }]}});
        let owned = self
            .api::<K>()
            .patch(
                &object.name_any(),
                &PatchParams::default(),
                &Patch::Merge(owner),
            )
            .await;
        let doing = format!("patch the {}", shown(object));
        owned.map(drop).map_err(|error| self.error(&doing, error))
    }

    /// Removes one, should it be there and of this run; its name where that can't be done.
    async fn remove_one<K: Kind>(&self, object: &K) -> Result<(), String> {
        let name = object.name_any();
        let all = self.api::<K>();
        let removed = match all.get_opt(&name).await {
            Ok(Some(found)) if has_labels_of(&found, object) => {
                let only = DeleteParams::default().preconditions(Preconditions {
                    uid: found.uid(),
                    resource_version: None,
                });
                all.delete(&name, &only).await.map(drop)
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        match removed {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(_) => Err(shown(object)),
            Ok(()) => Ok(()),
        }
    }
}
