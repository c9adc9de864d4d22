//! Objects of any kind: how the cluster asks for them is looked up there.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Namespace, Pod};
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
    Preconditions,
};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::{Cluster, KubernetesError};

/// An object's place: where it is, what it is, and which one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRef {
    /// Its namespace.
    pub namespace: String,
    /// Group and version: `batch/v1`, `v1`.
    pub api_version: String,
    /// Its kind: `Job`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What tells it from others that had or will have its name, where it is known to have been made.
    pub uid: Option<String>,
}

/// Before the text of a place.
const PLACE: &str = "kubernetes:";

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (group, version) = self.group_and_version();
        let Self {
            namespace,
            kind,
            name,
            ..
        } = self;
        write!(f, "{PLACE}{namespace}/{group}/{version}/{kind}/{name}")?;
        match &self.uid {
            Some(uid) => write!(f, "/{uid}"),
            None => Ok(()),
        }
    }
}

impl ObjectRef {
    /// Reads the text of a place; `None` where it is none.
    pub fn read(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.strip_prefix(PLACE)?.split('/').collect();
        let (&[namespace, group, version, kind, name], uid) = parts.split_first_chunk::<5>()?;
        let api_version = match group {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        };
        Some(Self {
            namespace: namespace.to_owned(),
            api_version,
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: uid.first().map(|uid| (*uid).to_owned()),
        })
    }

    fn group_and_version(&self) -> (&str, &str) {
        self.api_version
            .split_once('/')
            .unwrap_or(("", &self.api_version))
    }

    /// For people: `Job ml/train`.
    pub fn shown(&self) -> String {
        format!("{} {}/{}", self.kind, self.namespace, self.name)
    }

    /// Whether it is a Job of Kubernetes itself.
    pub fn is_job(&self) -> bool {
        self.kind == "Job" && self.group_and_version().0 == "batch"
    }
}

/// How the cluster asks for objects of a kind.
#[derive(Debug, Clone)]
pub struct ObjectKind(ApiResource);

/// An object as it was when it was looked at.
#[derive(Debug, Clone)]
pub struct FoundObject {
    /// What tells it from others of its name.
    pub uid: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its status; null where it has none.
    pub status: Value,
}

impl FoundObject {
    fn of(object: DynamicObject) -> Self {
        Self {
            uid: object.uid().unwrap_or_default(),
            labels: object.labels().clone(),
            annotations: object.annotations().clone(),
            status: object.data.get("status").cloned().unwrap_or(Value::Null),
        }
    }
}

impl Cluster {
    /// What tells the cluster from others, whoever asks and by whichever address; its address where
    /// that may not be asked.
    ///
    /// # Errors
    /// Where it doesn't answer.
    pub async fn id(&self) -> Result<String, KubernetesError> {
        let all = Api::<Namespace>::all(self.client.clone());
        match all.get("kube-system").await {
            Ok(namespace) => Ok(namespace.uid().unwrap_or_else(|| self.url.clone())),
            Err(kube::Error::Api(_)) => Ok(self.url.clone()),
            Err(error) => Err(self.error("get the Namespace kube-system", error)),
        }
    }

    /// The same cluster, in another namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            ..self.clone()
        }
    }

    /// How objects of a kind are asked for.
    ///
    /// # Errors
    /// Where the cluster has no such kind, its objects are in no namespace, or it doesn't answer.
    pub async fn kind(&self, api_version: &str, kind: &str) -> Result<ObjectKind, KubernetesError> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let wanted = GroupVersionKind::gvk(group, version, kind);
        let missing = || KubernetesError::Invalid {
            why: format!("it has no kind {kind} of {api_version}"),
        };
        let (resource, how) = match pinned_kind(&self.client, &wanted).await {
            Ok(found) => found,
            Err(kube::Error::Discovery(_)) => return Err(missing()),
            Err(kube::Error::Api(status)) if status.code == 404 => return Err(missing()),
            Err(error) => return Err(self.error(&format!("look up the kind {kind}"), error)),
        };
        match how.scope {
            Scope::Namespaced => Ok(ObjectKind(resource)),
            Scope::Cluster => Err(KubernetesError::Invalid {
                why: format!("objects of the kind {kind} are in no namespace"),
            }),
        }
    }

    fn objects(&self, kind: &ObjectKind, of: &ObjectRef) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &of.namespace, &kind.0)
    }

    /// Makes an object; with `dry_run` it is only asked whether the cluster would take it.
    ///
    /// # Errors
    /// Where it refuses; [`KubernetesError::Exists`] where the name is taken.
    pub async fn make_object(
        &self,
        kind: &ObjectKind,
        place: &ObjectRef,
        object: &Value,
        dry_run: bool,
    ) -> Result<FoundObject, KubernetesError> {
        let object: DynamicObject =
            serde_json::from_value(object.clone()).map_err(|error| KubernetesError::Invalid {
                why: error.to_string(),
            })?;
        let how = PostParams {
            dry_run,
            field_manager: Some("mlbuild".to_owned()),
        };
        let made = self.objects(kind, place).create(&how, &object).await;
        let doing = format!("create the {} {}", place.kind, place.name);
        let here = self.in_namespace(&place.namespace);
        made.map(FoundObject::of)
            .map_err(|error| here.error(&doing, error))
    }

    /// An object; `None` where there is none.
    ///
    /// # Errors
    /// Where the cluster refuses or doesn't answer.
    pub async fn object(
        &self,
        kind: &ObjectKind,
        place: &ObjectRef,
    ) -> Result<Option<FoundObject>, KubernetesError> {
        let found = self.objects(kind, place).get_opt(&place.name).await;
        let here = self.in_namespace(&place.namespace);
        let doing = format!("get the {} {}", place.kind, place.name);
        let found = found.map_err(|error| here.error(&doing, error))?;
        Ok(found.map(FoundObject::of))
    }

    /// Removes an object with all that it made, where it is the one that is meant. One that is gone is no
    /// error.
    ///
    /// # Errors
    /// Where the cluster refuses or doesn't answer.
    pub async fn remove_object(
        &self,
        kind: &ObjectKind,
        place: &ObjectRef,
    ) -> Result<(), KubernetesError> {
        let how = DeleteParams {
            preconditions: place.uid.as_ref().map(|uid| Preconditions {
                uid: Some(uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        match self.objects(kind, place).delete(&place.name, &how).await {
            Ok(_) => Ok(()),
            // It is gone, or its name is another one's by now.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => {
                let here = self.in_namespace(&place.namespace);
                Err(here.error(&format!("delete the {} {}", place.kind, place.name), error))
            }
        }
    }

    /// Has a Job removed so many seconds after its end.
    ///
    /// # Errors
    /// Where the cluster refuses. One that is gone is no error.
    pub async fn keep_for(&self, job: &str, seconds: i64) -> Result<(), KubernetesError> {
        let change = json!({"spec": {"ttlSecondsAfterFinished": seconds}});
        let (jobs, how) = (self.api::<Job>(), PatchParams::default());
        match jobs.patch(job, &how, &Patch::Merge(change)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(self.error(&format!("patch the Job {job}"), error)),
        }
    }

    /// The pods of this namespace that have a label, oldest first.
    ///
    /// # Errors
    /// Where the cluster refuses or doesn't answer.
    pub async fn pods(&self, label: (&str, &str)) -> Result<Vec<Pod>, KubernetesError> {
        let wanted = ListParams::default().labels(&format!("{}={}", label.0, label.1));
        let pods = self.api::<Pod>().list(&wanted).await;
        let mut pods = pods
            .map_err(|error| self.error("list the Pods", error))?
            .items;
        pods.sort_by_key(|pod| (pod.creation_timestamp().map(|time| time.0), pod.name_any()));
        Ok(pods)
    }

    /// Whether something of this namespace and name is remembered, though it may be gone: by the cluster's
    /// events, which it keeps for an hour.
    ///
    /// # Errors
    /// Where the cluster refuses or doesn't answer.
    pub async fn remembers(&self, kind: &str, name: &str) -> Result<bool, KubernetesError> {
        let fields = format!("involvedObject.kind={kind},involvedObject.name={name}");
        let events = self
            .api::<Event>()
            .list(&ListParams::default().fields(&fields))
            .await;
        let events = events.map_err(|error| self.error("list the Events", error))?;
        Ok(!events.items.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::ObjectRef;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for text in [
            "kubernetes:ml/batch/v1/Job/train",
            "kubernetes:ml//v1/Pod/train/0-1-2",
            "kubernetes:ml/batch.volcano.sh/v1alpha1/Job/train/0-1-2",
        ] {
            assert_eq!(ObjectRef::read(text).unwrap().to_string(), text);
        }
        for text in ["", "0123456789abcdef", "kubernetes:ml/Job/train"] {
            assert_eq!(ObjectRef::read(text), None, "{text}");
        }
        let is_job = |text| ObjectRef::read(text).unwrap().is_job();
        assert!(is_job("kubernetes:ml/batch/v1/Job/train"));
        assert!(!is_job("kubernetes:ml/batch.volcano.sh/v1alpha1/Job/train"));
    }
}
