//! What a Job needs beside it: the Secret that it reads, the Service by which its pods find one another. They
//! are made before the Job, belong to it, and are removed with it.

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::{Api, Resource, ResourceExt as _};
use serde_json::json;

use super::jobs::{has_labels_of, is_refused, post};
use super::{Cluster, KubernetesError};

/// What a Job needs beside it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside<'a> {
    /// The Secret that it reads.
    pub secret: Option<&'a Secret>,
    /// The Secrets that hold its code.
    pub code: &'a [Secret],
    /// The Service by which its pods find one another.
    pub service: Option<&'a Service>,
}

/// One of them, whatever its kind.
struct One {
    resource: ApiResource,
    object: DynamicObject,
}

impl One {
    fn of<K>(object: &K) -> Result<Self, serde_json::Error>
    where
        K: Resource<DynamicType = ()> + serde::Serialize,
    {
        Ok(Self {
            resource: ApiResource::erase::<K>(&()),
            object: serde_json::from_value(json!(object))?,
        })
    }

    /// `Secret train`.
    fn shown(&self) -> String {
        format!("{} {}", self.resource.kind, self.object.name_any())
    }
}

impl Beside<'_> {
    /// All of them, in the order in which they are made.
    fn all(&self) -> Result<Vec<One>, KubernetesError> {
        let secret = self.secret.map(One::of);
        let code = self.code.iter().map(One::of);
        let service = self.service.map(One::of);
        let all = secret.into_iter().chain(code).chain(service);
        let all: Result<_, serde_json::Error> = all.collect();
        all.map_err(|error| KubernetesError::Invalid {
            why: error.to_string(),
        })
    }
}

impl Cluster {
    fn api_of(&self, one: &One) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &one.resource)
    }

    /// Whether the cluster would take them; nothing is made.
    pub(super) async fn check_beside(&self, beside: &Beside<'_>) -> Result<(), KubernetesError> {
        for one in beside.all()? {
            let made = self.post_one(&one, true).await;
            made.map_err(|(error, _)| error)?;
        }
        Ok(())
    }

    /// Makes them. Where the cluster refuses, or an answer is lost, none of them is left.
    pub(super) async fn make_beside(&self, beside: &Beside<'_>) -> Result<(), KubernetesError> {
        for (number, one) in beside.all()?.iter().enumerate() {
            let Err((error, is_refused)) = self.post_one(one, false).await else {
                continue;
            };
            // The first one that was refused has left nothing.
            if is_refused && number == 0 {
                return Err(error);
            }
            return Err(self.without(beside, error).await);
        }
        Ok(())
    }

    /// Has them removed with the Job.
    pub(super) async fn own_beside(
        &self,
        beside: &Beside<'_>,
        job: &DynamicObject,
    ) -> Result<(), KubernetesError> {
        let types = job.types.clone().unwrap_or_default();
        let owner = json!({"metadata": {"ownerReferences": [{
            "apiVersion": types.api_version, "kind": types.kind, "name": job.name_any(), "uid": job.uid(),
        }]}});
        for one in beside.all()? {
            let (all, name) = (self.api_of(&one), one.object.name_any());
            let owned = all
                .patch(&name, &PatchParams::default(), &Patch::Merge(&owner))
                .await;
            let doing = format!("patch the {}", one.shown());
            owned.map_err(|error| self.error(&doing, error))?;
        }
        Ok(())
    }

    /// Removes those of a Job that isn't there, since nothing else would; returns `error`, or that they may be
    /// left.
    pub(super) async fn without(
        &self,
        beside: &Beside<'_>,
        error: KubernetesError,
    ) -> KubernetesError {
        let mut left = Vec::new();
        for one in beside.all().unwrap_or_default() {
            left.extend(self.remove_one(&one).await.err());
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
    async fn post_one(&self, one: &One, dry_run: bool) -> Result<(), (KubernetesError, bool)> {
        let made = self.api_of(one).create(&post(dry_run), &one.object).await;
        made.map(drop).map_err(|error| {
            let is_refused = is_refused(&error);
            let doing = format!("create the {}", one.shown());
            (self.error(&doing, error), is_refused)
        })
    }

    /// Removes one, should it be there and of this run; its name where that can't be done.
    async fn remove_one(&self, one: &One) -> Result<(), String> {
        let name = one.object.name_any();
        let all = self.api_of(one);
        let removed = match all.get_opt(&name).await {
            Ok(Some(found)) if has_labels_of(&found, &one.object) => {
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
            Err(_) => Err(one.shown()),
            Ok(()) => Ok(()),
        }
    }
}
