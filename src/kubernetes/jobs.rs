//! Jobs: made, found, listed, watched, removed.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::TryStreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, PostParams, WatchParams};

use super::{Beside, Cluster, KubernetesError, Rank, State, look, ranks};

/// The label by which a Job's pods are found.
const OF_JOB: &str = "batch.kubernetes.io/job-name";
/// Where the watch isn't allowed or says nothing, it is asked again after this.
const WATCH_TIMEOUT: Duration = Duration::from_secs(10);
/// At least this lies between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A Job and its pods, as they were when they were looked at.
#[derive(Debug, Clone)]
pub struct FoundJob {
    /// The Job.
    pub job: Job,
    /// Its pods.
    pub pods: Vec<Pod>,
    version: String,
}

impl FoundJob {
    /// How far it got.
    pub fn state(&self, container: &str) -> State {
        look(&self.job, &self.pods, container)
    }

    /// The pods of a Job of several, by their numbers; `None` for a Job of one.
    pub fn ranks(&self, container: &str) -> Option<Vec<Rank>> {
        let count = ranks::count(&self.job)?;
        Some(ranks::ranks(&self.job, count, &self.pods, container))
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
        let status = self.job.status.as_ref()?;
        let mut failed = status.conditions.iter().flatten().filter_map(|condition| {
            let is_end = condition.type_ == "Failed" && condition.status == "True";
            condition.last_transition_time.as_ref().filter(|_| is_end)
        });
        let ended = status.completion_time.as_ref().or(failed.next_back());
        ended.map(|time| time.0)
    }
}

impl Cluster {
    /// The Job as the cluster would take it, with what it needs beside it; nothing is made.
    ///
    /// # Errors
    /// Where it wouldn't.
    pub async fn check(&self, job: &Job, beside: &Beside<'_>) -> Result<Job, KubernetesError> {
        let taken = self.api::<Job>().create(&post(true), job).await;
        let doing = format!("create the Job {}", job.name_any());
        let taken = taken.map_err(|error| self.error(&doing, error))?;
        self.check_beside(beside).await?;
        Ok(taken)
    }

    /// Makes the Job and what it needs beside it, which goes with it when it is removed.
    ///
    /// # Errors
    /// Where the cluster refuses; nothing of it is left there then. [`KubernetesError::Unknown`], where
    /// it was lost in between.
    pub async fn create(&self, job: &Job, beside: &Beside<'_>) -> Result<Job, KubernetesError> {
        self.make_beside(beside).await?;
        let made = match self.make(job).await {
            Ok(made) => made,
            // It may need them.
            Err(error @ KubernetesError::Unknown { .. }) => return Err(error),
            Err(error) => return Err(self.without(beside, error).await),
        };
        let Err(error) = self.own_beside(beside, &made).await else {
            return Ok(made);
        };
        // They would stay for ever.
        match self.remove(&made.name_any()).await {
            Ok(()) => Err(self.without(beside, error).await),
            Err(_) => Err(unknown(job, error)),
        }
    }

    /// Makes the Job. Where the answer is lost, the cluster is asked whether it has it.
    async fn make(&self, job: &Job) -> Result<Job, KubernetesError> {
        let name = job.name_any();
        let jobs = self.api::<Job>();
        let error = match jobs.create(&post(false), job).await {
            Ok(made) => return Ok(made),
            Err(error) => error,
        };
        let is_refused = is_refused(&error);
        let error = self.error(&format!("create the Job {name}"), error);
        if is_refused {
            return Err(error);
        }
        match jobs.get_opt(&name).await {
            Ok(Some(found)) if has_labels_of(&found, job) => Ok(found),
            Ok(_) => Err(error),
            Err(_) => Err(unknown(job, error)),
        }
    }

    /// Removes a Job with its pods.
    ///
    /// # Errors
    /// Where the cluster refuses. One that is gone is no error.
    pub async fn remove(&self, name: &str) -> Result<(), KubernetesError> {
        match self
            .api::<Job>()
            .delete(name, &DeleteParams::background())
            .await
        {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(self.error(&format!("delete the Job {name}"), error)),
        }
    }

    /// The Jobs that have a label, oldest first.
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

    /// The Jobs that have a label, with their pods, oldest first. The pods have the label too.
    ///
    /// # Errors
    /// Where the cluster refuses.
    pub async fn find_all(&self, label: (&str, &str)) -> Result<Vec<FoundJob>, KubernetesError> {
        let jobs = self.jobs(label).await?;
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = ListParams::default().labels(&format!("{}={}", label.0, label.1));
        let pods = self.api::<Pod>().list(&wanted).await;
        let pods = pods.map_err(|error| self.error("list the Pods", error))?;
        let version = pods.metadata.resource_version.unwrap_or_default();
        let mut of_job: BTreeMap<String, Vec<Pod>> = BTreeMap::new();
        for pod in pods.items {
            if let Some(job) = pod.labels().get(OF_JOB) {
                of_job.entry(job.clone()).or_default().push(pod);
            }
        }
        let with_pods = jobs.into_iter().map(|job| FoundJob {
            pods: of_job.remove(&job.name_any()).unwrap_or_default(),
            version: version.clone(),
            job,
        });
        Ok(with_pods.collect())
    }

    /// A Job by its name, with its pods.
    ///
    /// # Errors
    /// Where there is none, or the cluster refuses.
    pub async fn find(&self, name: &str) -> Result<FoundJob, KubernetesError> {
        let job = self.api::<Job>().get(name).await;
        let job = job.map_err(|error| match error {
            kube::Error::Api(status) if status.code == 404 => KubernetesError::NotFound {
                what: format!("Job {name}"),
                namespace: self.namespace.clone(),
            },
            error => self.error(&format!("get the Job {name}"), error),
        })?;
        let wanted = ListParams::default().labels(&format!("{OF_JOB}={name}"));
        let pods = self.api::<Pod>().list(&wanted).await;
        let pods = pods.map_err(|error| self.error("list the Pods", error))?;
        Ok(FoundJob {
            job,
            version: pods.metadata.resource_version.unwrap_or_default(),
            pods: pods.items,
        })
    }

    /// Waits until something may have changed since the Job was found.
    pub async fn changed(&self, found: &FoundJob) {
        let name = found.job.name_any();
        let wanted = WatchParams::default()
            .labels(&format!("{OF_JOB}={name}"))
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
    pub async fn why_no_pod(&self, job: &str) -> Option<String> {
        let wanted = ListParams::default().fields(&format!(
            "involvedObject.kind=Job,involvedObject.name={job},reason=FailedCreate"
        ));
        let events = self.api::<Event>().list(&wanted).await.ok()?;
        events
            .items
            .into_iter()
            .filter_map(|event| event.message)
            .next_back()
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

fn unknown(job: &Job, source: KubernetesError) -> KubernetesError {
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
