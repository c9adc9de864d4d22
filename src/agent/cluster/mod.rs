//! Jobs of Kubernetes queues, as an agent does them.
//!
//! To make an object is to start it. So the store is asked first, and only after its yes the object is
//! made, under a name that is the job's and its try's: whoever makes it a second time is told that it is
//! there. That it was made is written down, with what tells it from others of its name. Whoever takes the
//! job over finds the object; or finds none, and sees whether there was one: in the store, else among the
//! cluster's events. Nothing removes a finished object before its end is written down: the seconds after
//! which the cluster is to remove a Job are set only then.

mod follow;
mod recover;
mod start;

use std::collections::BTreeSet;
use std::future::Future;
use std::thread;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use tokio::runtime::Handle;

use super::follow::JobOutcome;
use super::handle::JobHandle;
use super::labels;
use super::state::{Agent, RETRY_INTERVAL};
use crate::kubernetes::{
    Cluster, ClusterTarget, FoundObject, KubernetesError, LogLines, ObjectKind, ObjectRef, connect,
};
use crate::queue::{Claim, KEPT_ANNOTATION};

/// Lines, and bytes, of a job's output that are kept.
const LINES: i64 = 2000;
const BYTES: usize = 64 << 10;

/// The annotation with the name of the container that runs the job's image.
const CONTAINER_ANNOTATION: &str = "mlbuild/container";

/// The cluster that an agent has objects made in.
pub(super) struct JobCluster {
    cluster: Cluster,
    /// Does the calls. They are waited for on the agent's own threads, never on the runtime's.
    runtime: Handle,
    /// What tells it from others.
    id: String,
}

impl JobCluster {
    /// A cluster that answers.
    ///
    /// # Errors
    /// Where it doesn't, or none is known.
    pub(super) fn of(target: &ClusterTarget, runtime: Handle) -> Result<Self, KubernetesError> {
        let (cluster, id) = runtime.block_on(async {
            let cluster = connect(target).await?;
            let id = cluster.id().await?;
            Ok((cluster, id))
        })?;
        Ok(Self {
            cluster,
            runtime,
            id: format!("kubernetes:{id}"),
        })
    }

    /// What tells it from other clusters, and from container engines.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Where it is, for people.
    pub(super) fn shown(&self) -> String {
        format!("{}, namespace {}", self.cluster.url, self.cluster.namespace)
    }

    fn wait<T>(&self, call: impl Future<Output = T>) -> T {
        self.runtime.block_on(call)
    }

    /// Asks the cluster until it answers; `None` where the agent is to stop meanwhile.
    ///
    /// # Errors
    /// What doesn't pass by itself.
    fn retry<T, F: Future<Output = Result<T, KubernetesError>>>(
        &self,
        agent: &Agent,
        ask: impl Fn() -> F,
    ) -> Result<Option<T>, KubernetesError> {
        let mut told = false;
        loop {
            match self.wait(ask()) {
                Err(error) if error.may_pass() => {
                    if !std::mem::replace(&mut told, true) {
                        agent
                            .reporter
                            .warning(format!("{error}; it is asked again until it answers"));
                    }
                    if agent.is_stopping() {
                        return Ok(None);
                    }
                    thread::sleep(RETRY_INTERVAL);
                }
                done => return done.map(Some),
            }
        }
    }

    /// Removes an object; tries until it is done or refused.
    fn remove(&self, kind: &ObjectKind, place: &ObjectRef) -> Result<(), KubernetesError> {
        loop {
            match self.wait(self.cluster.remove_object(kind, place)) {
                Err(error) if error.may_pass() => thread::sleep(RETRY_INTERVAL),
                done => return done,
            }
        }
    }

    /// The pods of a job's try.
    async fn pods(&self, place: &ObjectRef, run: &str) -> Result<Vec<Pod>, KubernetesError> {
        let cluster = self.cluster.in_namespace(&place.namespace);
        cluster.pods((labels::RUN, run)).await
    }

    /// The end of what the pods of a job's try printed.
    fn log(&self, place: &ObjectRef, run: &str, container: &str) -> String {
        let bytes = self.wait(async {
            let cluster = self.cluster.in_namespace(&place.namespace);
            let pods = self.pods(place, run).await.unwrap_or_default();
            let mut bytes: Vec<u8> = Vec::new();
            for pod in &pods {
                let name = pod.name_any();
                if pods.len() > 1 {
                    bytes.extend(format!("==> {name} <==\n").bytes());
                }
                let mut log = LogLines::of(&container_in(pod, container));
                log.tail = Some(LINES);
                let line = |text: &[u8]| {
                    bytes.extend(text);
                    Ok::<(), KubernetesError>(())
                };
                // Its node may be gone; what the others printed is worth having.
                let _ = log.read_whole(&cluster, &name, line).await;
            }
            bytes
        });
        let tail = &bytes[bytes.len().saturating_sub(BYTES)..];
        // PostgreSQL keeps no NUL in a text.
        String::from_utf8_lossy(tail).replace('\0', "\u{fffd}")
    }

    /// Has the cluster remove a finished Job after the seconds that its queue says, now that its end is
    /// written down.
    pub(super) fn release(&self, agent: &Agent, place: &str) {
        let Some(place) = ObjectRef::read(place).filter(ObjectRef::is_job) else {
            return;
        };
        let released = self.wait(async {
            let kind = self.cluster.kind(&place.api_version, &place.kind).await?;
            let Some(found) = self.cluster.object(&kind, &place).await? else {
                return Ok(());
            };
            self.keep_as_said(&place, &found.annotations.get(KEPT_ANNOTATION).cloned())
                .await
        });
        if let Err(error) = released {
            agent
                .reporter
                .warning(format!("the {} stays: {error}", place.shown()));
        }
    }

    async fn keep_as_said(
        &self,
        place: &ObjectRef,
        said: &Option<String>,
    ) -> Result<(), KubernetesError> {
        let Some(seconds) = said.as_ref().and_then(|seconds| seconds.parse().ok()) else {
            return Ok(());
        };
        let cluster = self.cluster.in_namespace(&place.namespace);
        cluster.keep_for(&place.name, seconds).await
    }

    /// Finished Jobs of this store that an agent was lost over, between writing down their end and having
    /// them removed. `is_over` is asked for each job.
    pub(super) fn release_left<E>(
        &self,
        agent: &Agent,
        is_over: impl Fn(&str) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut namespaces: BTreeSet<&str> = agent
            .policy
            .kubernetes
            .namespaces
            .iter()
            .map(String::as_str)
            .collect();
        namespaces.insert(&self.cluster.namespace);
        for namespace in namespaces {
            let cluster = self.cluster.in_namespace(namespace);
            let jobs = self.wait(cluster.jobs((labels::STORE, &agent.store_id)));
            // Where the cluster doesn't answer, it is looked again soon.
            for job in jobs.unwrap_or_default() {
                let spec = job.spec.as_ref();
                let is_released =
                    spec.is_some_and(|spec| spec.ttl_seconds_after_finished.is_some());
                let status = job.status.as_ref();
                let is_finished = status.is_some_and(|status| {
                    let mut met = status
                        .conditions
                        .iter()
                        .flatten()
                        .filter(|c| c.status == "True");
                    met.any(|c| matches!(c.type_.as_str(), "Complete" | "Failed"))
                });
                let Some(id) = job
                    .labels()
                    .get(labels::JOB)
                    .filter(|_| !is_released && is_finished)
                else {
                    continue;
                };
                if is_over(id)? {
                    let place = ObjectRef {
                        namespace: namespace.to_owned(),
                        api_version: "batch/v1".to_owned(),
                        kind: "Job".to_owned(),
                        name: job.name_any(),
                        uid: job.uid(),
                    };
                    self.release(agent, &place.to_string());
                }
            }
        }
        Ok(())
    }
}

/// The container whose output counts, or the only one.
fn container_in(pod: &Pod, container: &str) -> String {
    let names = pod
        .spec
        .iter()
        .flat_map(|spec| &spec.containers)
        .map(|of| of.name.as_str());
    let names: Vec<&str> = names.collect();
    match names[..] {
        _ if names.contains(&container) => container.to_owned(),
        [first, ..] => first.to_owned(),
        [] => container.to_owned(),
    }
}

/// Whether an object is that of a job's try, and not another one of its name.
fn is_of(found: &FoundObject, agent: &Agent, claim: &Claim, run: &str) -> bool {
    let has = |label: &str, value: &str| found.labels.get(label).map(String::as_str) == Some(value);
    has(labels::STORE, &agent.store_id) && has(labels::JOB, &claim.id) && has(labels::RUN, run)
}

/// Does a job from where it is.
pub(super) fn run(
    agent: &Agent,
    cluster: &std::sync::Arc<JobCluster>,
    claim: &Claim,
    handle: &JobHandle,
) -> JobOutcome {
    match &claim.started {
        None => start::run(agent, cluster, claim, handle),
        Some(started) => recover::run(agent, cluster, claim, started, handle),
    }
}
