//! Objects of operators, seen as Jobs: what they say of their state in their own words, in those of a Job, so
//! that one piece of code tells how far a run got, whatever its kind.

use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::runtime::kubernetes::{INDEX_ANNOTATION, JobKind};

/// Where Kubeflow's operators write which of its kind a pod is.
const REPLICA_INDEX: &str = "training.kubeflow.org/replica-index";
/// Where the training operator writes of which kind it is.
const REPLICA_TYPE: &str = "training.kubeflow.org/replica-type";
/// Where the MPI operator does.
const ROLE: &str = "training.kubeflow.org/job-role";

/// An object of a kind as a Job.
pub(super) fn as_job(kind: JobKind, object: DynamicObject) -> Job {
    if kind == JobKind::Job {
        let metadata = object.metadata;
        return Job {
            spec: part(&object.data, "/spec"),
            status: part(&object.data, "/status"),
            metadata,
        };
    }
    let data = &object.data;
    let run_policy = |key: &str| part::<Value>(data, &format!("/spec/runPolicy/{key}"));
    let (template, count, retries, suspend) = match kind {
        JobKind::Job | JobKind::JobSet => {
            let child = "/spec/replicatedJobs/0/template/spec";
            (
                part(data, &format!("{child}/template")),
                part(data, &format!("{child}/completions")),
                part(data, "/spec/failurePolicy/maxRestarts"),
                part(data, "/spec/suspend"),
            )
        }
        JobKind::PyTorchJob => {
            let replicas = |kind: &str| {
                let path = format!("/spec/pytorchReplicaSpecs/{kind}/replicas");
                part::<i32>(data, &path).unwrap_or_default()
            };
            (
                part(data, "/spec/pytorchReplicaSpecs/Master/template"),
                Some(replicas("Master").saturating_add(replicas("Worker"))),
                None,
                run_policy("suspend").and_then(|value| value.as_bool()),
            )
        }
        JobKind::MpiJob => (
            part(data, "/spec/mpiReplicaSpecs/Launcher/template"),
            None,
            run_policy("backoffLimit").and_then(|value| i32::try_from(value.as_i64()?).ok()),
            run_policy("suspend").and_then(|value| value.as_bool()),
        ),
    };
    let conditions: Vec<JobCondition> = data
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(condition)
        .collect();
    let done = conditions
        .iter()
        .find(|c| c.type_ == "Complete" && c.status == "True");
    let done = done.and_then(|c| c.last_transition_time.clone());
    Job {
        spec: Some(JobSpec {
            template: template.unwrap_or_default(),
            completion_mode: count.map(|_| "Indexed".to_owned()),
            completions: count,
            backoff_limit: Some(retries.unwrap_or_default()),
            suspend,
            ..JobSpec::default()
        }),
        status: Some(JobStatus {
            start_time: part::<Time>(data, "/status/startTime"),
            completion_time: part::<Time>(data, "/status/completionTime").or(done),
            conditions: Some(conditions),
            ..JobStatus::default()
        }),
        metadata: object.metadata,
    }
}

/// How many workers an MPIJob has.
pub(super) fn workers(object: &DynamicObject) -> u32 {
    let number = part(&object.data, "/spec/mpiReplicaSpecs/Worker/replicas");
    number.unwrap_or_default()
}

/// A part of an object that others wrote: what isn't of its type isn't there.
fn part<T: DeserializeOwned>(data: &Value, path: &str) -> Option<T> {
    let value = data.pointer(path)?;
    serde_json::from_value(value.clone()).ok()
}

/// A condition, by a Job's word for it.
fn condition(value: &Value) -> JobCondition {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    let word = text("type").unwrap_or_default();
    JobCondition {
        type_: match word.as_str() {
            "Completed" | "Succeeded" => "Complete".to_owned(),
            _ => word,
        },
        status: text("status").unwrap_or_default(),
        reason: text("reason"),
        message: text("message"),
        last_transition_time: part(value, "/lastTransitionTime"),
        ..JobCondition::default()
    }
}

/// The pods of an object by what they do: those that are the run, each with its number where an indexed Job has
/// it; and the workers of a launcher.
pub(super) fn sort(kind: JobKind, pods: Vec<Pod>) -> (Vec<Pod>, Vec<Pod>) {
    match kind {
        JobKind::Job | JobKind::JobSet => (pods, Vec::new()),
        JobKind::PyTorchJob => {
            // An MPIJob may have the same name, and has the same label.
            let numbered = pods.into_iter().filter_map(|pod| {
                let is_worker = pod.labels().get(REPLICA_TYPE)? == "worker";
                Some(number(pod, u32::from(is_worker)))
            });
            (numbered.collect(), Vec::new())
        }
        JobKind::MpiJob => {
            let is = |pod: &Pod, role: &str| pod.labels().get(ROLE).is_some_and(|own| own == role);
            let is_typed = |pod: &Pod| pod.labels().contains_key(REPLICA_TYPE);
            let own = pods.into_iter().filter(|pod| !is_typed(pod));
            let (launchers, others): (Vec<_>, Vec<_>) = own.partition(|pod| is(pod, "launcher"));
            let workers = others.into_iter().filter(|pod| is(pod, "worker"));
            (launchers, workers.map(|pod| number(pod, 0)).collect())
        }
    }
}

/// Writes a pod's number where a Job's has it: the one that its operator wrote, and so many more.
fn number(mut pod: Pod, more: u32) -> Pod {
    let own = pod.labels().get(REPLICA_INDEX);
    let own = own.and_then(|text| text.parse::<u32>().ok());
    if let Some(number) = own.and_then(|own| own.checked_add(more)) {
        let annotations = pod.metadata.annotations.get_or_insert_default();
        annotations.insert(INDEX_ANNOTATION.to_owned(), number.to_string());
    }
    pod
}
