//! Jobs, and objects of operators that stand for them: made, found, listed, watched, removed.

use std::fmt;
use std::time::Duration;

use futures::TryStreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, PostParams, WatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt as _};
use mlbuild_manifests::run_record::RunCluster;
use serde_json::{Value, json};

use super::{Beside, Cluster, KubernetesError, Rank, State, look, points, ranks, seen};
use crate::runtime::array::{Array, point_of_record};
use crate::runtime::kubernetes::JobKind;

/// Where the watch isn't allowed or says nothing, it is asked again after this.
const WATCH_TIMEOUT: Duration = Duration::from_secs(10);
/// At least this lies between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A run's object: its kind and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRef {
    /// The kind.
    pub kind: JobKind,
    /// The name.
    pub name: String,
    /// Which point of it, where it is an array and one is meant.
    pub point: Option<u32>,
}

impl JobRef {
    /// The Job of a recorded run, whose flags say of which kind it is, and whether the run is a point of it.
    pub fn of_run(run: &str, place: &RunCluster) -> Self {
        let options = place.options.iter();
        let mut words = options.filter_map(|option| option.strip_prefix("--kind="));
        let kind = words.next_back().and_then(JobKind::of_word);
        Self {
            kind: kind.unwrap_or_default(),
            name: place.job.clone(),
            point: point_of_record(run, &place.options),
        }
    }

    /// The Job, with all its points.
    pub fn whole(&self) -> Self {
        Self {
            point: None,
            ..self.clone()
        }
    }
}

/// `PyTorchJob train`, or `point 3 of the Job train`.
impl fmt::Display for JobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(point) = self.point {
            write!(f, "point {point} of the ")?;
        }
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// A Job and its pods, as they were when they were looked at.
#[derive(Debug, Clone)]
pub struct FoundJob {
    /// Of which kind it is.
    pub kind: JobKind,
    /// The Job; an object of another kind in a Job's words.
    pub job: Job,
    /// Its pods: of an MPIJob the launcher's, of one point those of this point.
    pub pods: Vec<Pod>,
    /// Which point of an array it is, where one is meant.
    pub point: Option<u32>,
    /// The pods on which an MPIJob's launcher starts processes, and how many there are to be.
    workers: (Vec<Pod>, u32),
    version: String,
}

impl FoundJob {
    fn of(kind: JobKind, object: DynamicObject, pods: Vec<Pod>, version: String) -> Self {
        let count = seen::workers(&object);
        let (pods, workers) = seen::sort(kind, pods);
        Self {
            kind,
            job: seen::as_job(kind, object),
            pods,
            point: None,
            workers: (workers, count),
            version,
        }
    }

    /// Which one it is.
    pub fn at(&self) -> JobRef {
        JobRef {
            kind: self.kind,
            name: self.job.name_any(),
            point: self.point,
        }
    }

    /// The grid, where it is an array.
    pub fn array(&self) -> Option<Array> {
        points::array(&self.job)
    }

    /// One point of an array; `None` where it is none, or has no such point.
    pub fn into_point(mut self, point: u32) -> Option<Self> {
        let array = self.array()?;
        if point as usize >= array.len() {
            return None;
        }
        self.pods = points::of_point(self.pods, point);
        self.point = Some(point);
        Some(self)
    }

    /// The points of an array, by their numbers; `None` for one of them, and for every other Job.
    pub fn points(&self) -> Option<Vec<Rank>> {
        match self.point {
            Some(_) => None,
            None => self.all_points(),
        }
    }

    fn all_points(&self) -> Option<Vec<Rank>> {
        let count = u32::try_from(self.array()?.len()).ok()?;
        let container = self.container();
        Some(points::points(&self.job, count, &self.pods, container))
    }

    /// The container that runs its image.
    pub fn container(&self) -> &'static str {
        self.kind.container()
    }

    /// How far it got.
    pub fn state(&self) -> State {
        if let Some(point) = self.point
            && let Some(all) = self.all_points()
            && let Some(point) = all.into_iter().find(|known| known.number == point)
        {
            return point.state;
        }
        let state = look(&self.job, &self.pods, self.container());
        let (workers, _) = &self.workers;
        match state {
            // A launcher waits for its workers.
            State::Waiting { .. } if self.pods.is_empty() => {
                let of_workers = workers
                    .iter()
                    .map(|pod| look(&Job::default(), std::slice::from_ref(pod), self.container()));
                let mut held_up = of_workers
                    .filter(|state| matches!(state, State::Waiting { .. } | State::Stuck { .. }));
                held_up.next().unwrap_or(state)
            }
            state => state,
        }
    }

    /// The pods of a Job of several, by their numbers; `None` for one whose program runs in one pod.
    pub fn ranks(&self) -> Option<Vec<Rank>> {
        let count = ranks::count(&self.job)?;
        let container = self.container();
        Some(ranks::nodes(&self.job, count, &self.pods, container))
    }

    /// The pods that have a number each: those of [`Self::ranks`], or a launcher's workers.
    pub fn nodes(&self) -> Option<Vec<Rank>> {
        if self.kind != JobKind::MpiJob {
            return self.ranks();
        }
        let (pods, count) = &self.workers;
        let container = self.container();
        Some(ranks::nodes(&Job::default(), *count, pods, container))
    }

    /// Whether the cluster has said that it is over.
    pub fn is_over(&self) -> bool {
        let status = self.job.status.as_ref();
        let mut conditions = status
            .and_then(|status| status.conditions.as_ref())
            .into_iter()
            .flatten();
        conditions.any(|c| c.status == "True" && matches!(c.type_.as_str(), "Complete" | "Failed"))
    }

    /// When the cluster saw its end.
    pub fn ended(&self) -> Option<Timestamp> {
        let pod = self.point.and_then(|_| points::newest(&self.pods));
        if let Some(at) = pod.and_then(|pod| ranks::ended_at(pod, self.container())) {
            return Some(at);
        }
        let status = self.job.status.as_ref()?;
        let mut failed = status.conditions.iter().flatten().filter_map(|condition| {
            let is_end = condition.type_ == "Failed" && condition.status == "True";
            condition.last_transition_time.as_ref().filter(|_| is_end)
        });
        let ended = status.completion_time.as_ref().or(failed.next_back());
        ended.map(|time| time.0)
    }
}

/// What is made, as an object of its kind.
fn read(object: &Value) -> Result<(JobKind, DynamicObject), KubernetesError> {
    let invalid = |why: String| KubernetesError::Invalid { why };
    let object: DynamicObject =
        serde_json::from_value(object.clone()).map_err(|error| invalid(error.to_string()))?;
    let types = object.types.clone().unwrap_or_default();
    let kind = JobKind::of(&types.api_version, &types.kind)
        .ok_or_else(|| invalid(format!("{} of {} is no run", types.kind, types.api_version)))?;
    Ok((kind, object))
}

fn resource(kind: JobKind) -> ApiResource {
    let (group, version) = kind.api_version().split_once('/').unwrap_or_default();
    let of = GroupVersionKind::gvk(group, version, kind.name());
    ApiResource::from_gvk_with_plural(&of, kind.plural())
}

impl Cluster {
    fn runs(&self, kind: JobKind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource(kind))
    }

    /// The kinds of runs that the cluster has.
    ///
    /// # Errors
    /// Where it can't be asked.
    pub async fn job_kinds(&self) -> Result<Vec<JobKind>, KubernetesError> {
        let mut known = vec![JobKind::Job];
        for kind in JobKind::ALL
            .into_iter()
            .filter(|kind| *kind != JobKind::Job)
        {
            match self
                .client
                .list_api_group_resources(kind.api_version())
                .await
            {
                Ok(list) if list.resources.iter().any(|of| of.name == kind.plural()) => {
                    known.push(kind);
                }
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(self.error(&format!("look up the kind {kind}"), error)),
            }
        }
        Ok(known)
    }

    /// The versions of a kind's group that the cluster serves, whichever of them have the kind.
    ///
    /// # Errors
    /// Where it can't be asked.
    pub async fn versions_of(&self, kind: JobKind) -> Result<Vec<String>, KubernetesError> {
        let groups = self.client.list_api_groups().await;
        let groups = groups.map_err(|error| self.error("list the groups of kinds", error))?;
        let (group, _) = kind.api_version().split_once('/').unwrap_or_default();
        let found = groups.groups.into_iter().find(|known| known.name == group);
        let versions = found.into_iter().flat_map(|known| known.versions);
        Ok(versions.map(|version| version.version).collect())
    }

    /// The Job as the cluster would take it, with what it needs beside it; nothing is made.
    ///
    /// # Errors
    /// Where it wouldn't.
    pub async fn check(&self, job: &Value, beside: &Beside<'_>) -> Result<Value, KubernetesError> {
        let (kind, object) = read(job)?;
        let taken = self.runs(kind).create(&post(true), &object).await;
        let doing = format!("create the {kind} {}", object.name_any());
        let taken = taken.map_err(|error| self.error(&doing, error))?;
        self.check_beside(beside).await?;
        Ok(json!(taken))
    }

    /// Makes the Job and what it needs beside it, which goes with it when it is removed.
    ///
    /// # Errors
    /// Where the cluster refuses; nothing of it is left there then. [`KubernetesError::Unknown`], where
    /// it was lost in between.
    pub async fn create(&self, job: &Value, beside: &Beside<'_>) -> Result<Value, KubernetesError> {
        let (kind, object) = read(job)?;
        self.make_beside(beside).await?;
        let made = match self.make(kind, &object).await {
            Ok(made) => made,
            // It may need them.
            Err(error @ KubernetesError::Unknown { .. }) => return Err(error),
            Err(error) => return Err(self.without(beside, error).await),
        };
        let Err(error) = self.own_beside(beside, &made).await else {
            return Ok(json!(made));
        };
        // They would stay for ever.
        let name = made.name_any();
        let made = JobRef {
            kind,
            name,
            point: None,
        };
        match self.remove(&made).await {
            Ok(()) => Err(self.without(beside, error).await),
            Err(_) => Err(unknown(&object, error)),
        }
    }

    /// Makes the Job. Where the answer is lost, the cluster is asked whether it has it.
    async fn make(
        &self,
        kind: JobKind,
        job: &DynamicObject,
    ) -> Result<DynamicObject, KubernetesError> {
        let name = job.name_any();
        let jobs = self.runs(kind);
        let error = match jobs.create(&post(false), job).await {
            Ok(made) => return Ok(made),
            Err(error) => error,
        };
        let is_refused = is_refused(&error);
        let error = self.error(&format!("create the {kind} {name}"), error);
        if is_refused {
            return Err(error);
        }
        match jobs.get_opt(&name).await {
            Ok(Some(found)) if has_labels_of(&found, job) => Ok(found),
            Ok(_) => Err(error),
            Err(_) => Err(unknown(job, error)),
        }
    }

    /// Ends one point of an array: the cluster doesn't try one again whose pod was removed, where it wasn't to be
    /// tried again at all.
    ///
    /// # Errors
    /// Where the cluster refuses.
    pub async fn remove_pod(&self, pod: &str) -> Result<(), KubernetesError> {
        match self
            .api::<Pod>()
            .delete(pod, &DeleteParams::default())
            .await
        {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(self.error(&format!("delete the Pod {pod}"), error)),
        }
    }

    /// Removes a Job with its pods, of an array with all its points.
    ///
    /// # Errors
    /// Where the cluster refuses. One that is gone is no error.
    pub async fn remove(&self, job: &JobRef) -> Result<(), KubernetesError> {
        let all = self.runs(job.kind);
        match all.delete(&job.name, &DeleteParams::background()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(self.error(&format!("delete the {job}"), error)),
        }
    }

    /// The Jobs of Kubernetes itself that have a label, oldest first.
    ///
    /// # Errors
    /// Where the cluster refuses.
    pub async fn jobs(&self, label: (&str, &str)) -> Result<Vec<Job>, KubernetesError> {
        let wanted = ListParams::default().labels(&format!("{}={}", label.0, label.1));
        let jobs = self.api::<Job>().list(&wanted).await;
        let mut jobs = jobs
            .map_err(|error| self.error("list the Jobs", error))?
            .items;
        jobs.sort_by_key(|job| job.creation_timestamp().map(|time| time.0));
        Ok(jobs)
    }

    /// The Jobs of all kinds that have a label, with their pods, oldest first. The pods have the label too.
    ///
    /// # Errors
    /// Where the cluster refuses.
    pub async fn find_all(&self, label: (&str, &str)) -> Result<Vec<FoundJob>, KubernetesError> {
        let wanted = ListParams::default().labels(&format!("{}={}", label.0, label.1));
        let mut jobs = Vec::new();
        for kind in self.job_kinds().await? {
            match self.runs(kind).list(&wanted).await {
                Ok(list) => jobs.extend(list.items.into_iter().map(|job| (kind, job))),
                // Who may not look at them has made none.
                Err(kube::Error::Api(status))
                    if kind != JobKind::Job && matches!(status.code, 403 | 404) => {}
                Err(error) => return Err(self.error(&format!("list the {kind}s"), error)),
            }
        }
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        jobs.sort_by_key(|(_, job)| job.creation_timestamp().map(|time| time.0));
        let pods = self.api::<Pod>().list(&wanted).await;
        let pods = pods.map_err(|error| self.error("list the Pods", error))?;
        let version = pods.metadata.resource_version.unwrap_or_default();
        let with_pods = jobs.into_iter().map(|(kind, job)| {
            let name = job.name_any();
            let own = pods.items.iter();
            let own = own.filter(|pod| pod.labels().get(kind.pod_label()) == Some(&name));
            FoundJob::of(kind, job, own.cloned().collect(), version.clone())
        });
        Ok(with_pods.collect())
    }

    /// A Job with its pods.
    ///
    /// # Errors
    /// Where there is none, or the cluster refuses.
    pub async fn find(&self, at: &JobRef) -> Result<FoundJob, KubernetesError> {
        let JobRef { kind, name, point } = at;
        let not_found = || KubernetesError::NotFound {
            what: at.to_string(),
            namespace: self.namespace.clone(),
        };
        let job = self.runs(*kind).get(name).await;
        let job = job.map_err(|error| match error {
            kube::Error::Api(status) if status.code == 404 => not_found(),
            error => self.error(&format!("get the {at}"), error),
        })?;
        let wanted = ListParams::default().labels(&format!("{}={name}", kind.pod_label()));
        let pods = self.api::<Pod>().list(&wanted).await;
        let pods = pods.map_err(|error| self.error("list the Pods", error))?;
        let version = pods.metadata.resource_version.unwrap_or_default();
        let found = FoundJob::of(*kind, job, pods.items, version);
        match point {
            Some(point) => found.into_point(*point).ok_or_else(not_found),
            None => Ok(found),
        }
    }

    /// A Job of any kind by its name, with its pods: Kubernetes' own goes before those of operators.
    ///
    /// # Errors
    /// Where there is none, or the cluster refuses.
    pub async fn find_any(&self, name: &str) -> Result<FoundJob, KubernetesError> {
        let of = |kind| JobRef {
            kind,
            name: name.to_owned(),
            point: None,
        };
        let missing = match self.find(&of(JobKind::Job)).await {
            Err(error @ KubernetesError::NotFound { .. }) => error,
            found => return found,
        };
        for kind in self.job_kinds().await?.into_iter().skip(1) {
            match self.find(&of(kind)).await {
                Err(KubernetesError::NotFound { .. } | KubernetesError::Forbidden { .. }) => {}
                found => return found,
            }
        }
        Err(missing)
    }

    /// Waits until something may have changed since the Job was found.
    pub async fn changed(&self, found: &FoundJob) {
        let JobRef { kind, name, .. } = found.at();
        let wanted = WatchParams::default()
            .labels(&format!("{}={name}", kind.pod_label()))
            .timeout(60);
        let pods = self.api::<Pod>();
        let event = async {
            if let Ok(events) = pods.watch(&wanted, &found.version).await {
                let mut events = Box::pin(events);
                if let Ok(Some(_)) = events.try_next().await {
                    return;
                }
            }
            // It ended early, or isn't allowed.
            tokio::time::sleep(POLL_INTERVAL * 5).await;
        };
        let _ = tokio::time::timeout(WATCH_TIMEOUT, event).await;
        tokio::time::sleep(POLL_INTERVAL).await;
    }

    /// Why the cluster couldn't make a pod for a Job, in its newest words.
    pub async fn why_no_pod(&self, job: &JobRef) -> Option<String> {
        let JobRef { kind, name, .. } = job;
        // Pods of a set are made by its Job.
        let (kind, name) = match kind {
            JobKind::JobSet => (JobKind::Job, kind.first_job(name)),
            kind => (*kind, name.clone()),
        };
        let wanted = ListParams::default().fields(&format!(
            "involvedObject.kind={kind},involvedObject.name={name},type=Warning"
        ));
        let events = self.api::<Event>().list(&wanted).await.ok()?;
        let mut refused = events.items.into_iter().filter(|event| {
            let reason = event.reason.as_deref().unwrap_or_default();
            reason.starts_with("FailedCreate")
        });
        refused.next_back()?.message
    }
}

/// Whether the cluster has said no.
pub(super) fn is_refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code < 500)
}

/// Whether what was found is what was asked for: its labels name the run.
pub(super) fn has_labels_of<K: kube::Resource>(found: &K, wanted: &K) -> bool {
    let labels = found.labels();
    wanted
        .labels()
        .iter()
        .all(|(name, value)| labels.get(name) == Some(value))
}

fn unknown(job: &DynamicObject, source: KubernetesError) -> KubernetesError {
    KubernetesError::Unknown {
        job: job.name_any(),
        source: Box::new(source),
    }
}

pub(super) fn post(dry_run: bool) -> PostParams {
    PostParams {
        dry_run,
        field_manager: Some("mlbuild".to_owned()),
    }
}
