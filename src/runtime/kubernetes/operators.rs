//! The objects of operators: what a Job would be, in their words.

use k8s_openapi::api::batch::v1::JobSpec;
use k8s_openapi::api::core::v1::{Container, ContainerPort, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};

use super::job_kind::{JOBSET_JOB, JobKind};
use super::nodes;
use crate::runtime::array::Array;
use crate::runtime::distributed::MASTER_PORT;
use crate::runtime::distributed::names::MASTER_PORT as MASTER_PORT_NAME;

/// The port that a PyTorchJob's pods meet at is the one of this name.
const PYTORCH_PORT: &str = "pytorchjob-port";

/// What an object is made of, whatever its kind.
pub(super) struct Parts {
    pub(super) meta: ObjectMeta,
    pub(super) template: PodTemplateSpec,
    /// How many pods.
    pub(super) nodes: u32,
    /// The points of an array, each a pod of its own.
    pub(super) points: Option<Points>,
    /// How many processes on each of them, where that was said.
    pub(super) processes: Option<u32>,
    /// How many times it is started again.
    pub(super) retries: i32,
    /// Seconds after which it is ended.
    pub(super) time_limit: Option<i64>,
    /// Seconds for which it is kept after its end.
    pub(super) kept: Option<i32>,
    /// The port that the pods meet at, where it isn't the usual one.
    pub(super) port: Option<i32>,
    /// The home folder of whoever runs in the pods, where it was said.
    pub(super) home: Option<String>,
    /// Whether that is somebody else than root.
    pub(super) is_user: bool,
}

/// How many points an array has.
#[derive(Clone, Copy)]
pub(super) struct Points {
    number: i32,
    /// How many of them may run at once.
    at_once: i32,
}

impl Points {
    pub(super) fn of(array: &Array) -> Self {
        let number = i32::try_from(array.len()).unwrap_or(i32::MAX);
        let at_once = array.at_once.and_then(|limit| i32::try_from(limit).ok());
        Self {
            number,
            at_once: at_once.unwrap_or(number).min(number),
        }
    }
}

/// The spec of a Job whose pods are the points of an array: none ends another one.
fn array_spec(parts: &Parts, points: Points) -> JobSpec {
    JobSpec {
        // Not a limit for all of them together: it has none beside one for each.
        backoff_limit: None,
        backoff_limit_per_index: Some(parts.retries),
        completion_mode: Some("Indexed".to_owned()),
        completions: Some(points.number),
        parallelism: Some(points.at_once),
        active_deadline_seconds: parts.time_limit,
        ttl_seconds_after_finished: parts.kept,
        template: parts.template.clone(),
        ..JobSpec::default()
    }
}

/// The spec of a Job that runs the template on so many pods, each with a number where there are several.
pub(super) fn job_spec(parts: &Parts) -> JobSpec {
    if let Some(points) = parts.points {
        return array_spec(parts, points);
    }
    let number = (parts.nodes > 1).then(|| i32::try_from(parts.nodes).unwrap_or(i32::MAX));
    JobSpec {
        backoff_limit: Some(parts.retries),
        completion_mode: number.map(|_| "Indexed".to_owned()),
        completions: number,
        parallelism: number,
        pod_failure_policy: number.map(|_| nodes::all_fail_with_one()),
        active_deadline_seconds: parts.time_limit,
        ttl_seconds_after_finished: parts.kept,
        template: parts.template.clone(),
        ..JobSpec::default()
    }
}

/// The object of a kind.
pub(super) fn object(kind: JobKind, parts: Parts) -> Value {
    let spec = match kind {
        JobKind::Job => json!(job_spec(&parts)),
        JobKind::JobSet => jobset(&parts),
        JobKind::PyTorchJob => pytorchjob(&parts),
        JobKind::MpiJob => mpijob(&parts),
    };
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        "metadata": parts.meta,
        "spec": spec,
    })
}

/// A table without what isn't said.
fn said<const N: usize>(entries: [(&str, Option<Value>); N]) -> Value {
    let known = entries
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(known.collect::<Map<_, _>>())
}

fn jobset(parts: &Parts) -> Value {
    let child = Parts {
        retries: 0,
        kept: None,
        template: parts.template.clone(),
        meta: ObjectMeta::default(),
        home: None,
        ..*parts
    };
    // Its time is over for good.
    let rules = (parts.time_limit.is_some() && parts.retries > 0).then(|| {
        json!([{"name": "timeLimit", "action": "FailJobSet", "onJobFailureReasons": ["DeadlineExceeded"]}])
    });
    let again = said([
        ("maxRestarts", Some(json!(parts.retries))),
        ("rules", rules),
    ]);
    said([
        (
            "network",
            Some(json!({"enableDNSHostnames": true, "publishNotReadyAddresses": true})),
        ),
        ("successPolicy", Some(json!({"operator": "All"}))),
        ("failurePolicy", Some(again)),
        (
            "ttlSecondsAfterFinished",
            parts.kept.map(|kept| json!(kept)),
        ),
        (
            "replicatedJobs",
            Some(json!([{
                "name": JOBSET_JOB, "replicas": 1, "template": {"spec": job_spec(&child)},
            }])),
        ),
    ])
}

/// What Kubeflow's operators say of an end: the pods that still run are removed then.
fn run_policy(parts: &Parts, retries: Option<i32>) -> Value {
    said([
        ("cleanPodPolicy", Some(json!("Running"))),
        ("backoffLimit", retries.map(|number| json!(number))),
        (
            "activeDeadlineSeconds",
            parts.time_limit.map(|limit| json!(limit)),
        ),
        (
            "ttlSecondsAfterFinished",
            parts.kept.map(|kept| json!(kept)),
        ),
    ])
}

/// The only container of a template.
fn container(template: &mut PodTemplateSpec) -> Option<&mut Container> {
    template.spec.as_mut()?.containers.first_mut()
}

fn pytorchjob(parts: &Parts) -> Value {
    let mut template = parts.template.clone();
    if let Some(pod) = &mut template.spec {
        // That is the replicas' to say.
        pod.restart_policy = None;
    }
    if let Some(container) = container(&mut template) {
        JobKind::PyTorchJob
            .container()
            .clone_into(&mut container.name);
        // The operator sets it, from the port.
        if let Some(env) = &mut container.env {
            env.retain(|variable| variable.name != MASTER_PORT_NAME);
        }
        let ports = container.ports.get_or_insert_default();
        ports.push(ContainerPort {
            name: Some(PYTORCH_PORT.to_owned()),
            container_port: parts.port.unwrap_or_else(|| MASTER_PORT.into()),
            ..ContainerPort::default()
        });
    }
    let replicas =
        |number: u32| json!({"replicas": number, "restartPolicy": "Never", "template": template});
    let others = (parts.nodes > 1).then(|| replicas(parts.nodes - 1));
    said([
        (
            "nprocPerNode",
            parts.processes.map(|number| json!(number.to_string())),
        ),
        ("runPolicy", Some(run_policy(parts, None))),
        (
            "pytorchReplicaSpecs",
            Some(said([("Master", Some(replicas(1))), ("Worker", others)])),
        ),
    ])
}

fn mpijob(parts: &Parts) -> Value {
    let mut launcher = parts.template.clone();
    let mut worker = parts.template.clone();
    for template in [&mut launcher, &mut worker] {
        if let Some(pod) = &mut template.spec {
            pod.restart_policy = None;
        }
    }
    // It starts the others' processes and has none itself: what they need would be taken from them.
    if let Some(container) = container(&mut launcher) {
        container.resources = None;
    }
    if let Some(pod) = &mut launcher.spec
        && let Some(affinity) = &mut pod.affinity
    {
        affinity.pod_affinity = None;
        affinity.pod_anti_affinity = None;
    }
    let keys = match &parts.home {
        Some(home) => format!("{}/.ssh", home.trim_end_matches('/')),
        None => "/root/.ssh".to_owned(),
    };
    if let Some(container) = container(&mut worker) {
        container.command = Some(vec!["/usr/sbin/sshd".to_owned()]);
        let mut words = vec!["-De".to_owned()];
        // Of whoever isn't root it is another file, which images for this operator have.
        if let (true, Some(home)) = (parts.is_user, &parts.home) {
            words.push("-f".to_owned());
            words.push(format!("{}/.sshd_config", home.trim_end_matches('/')));
        }
        container.args = Some(words);
    }
    let replicas = |number: u32, template: &PodTemplateSpec| json!({"replicas": number, "restartPolicy": "Never", "template": template});
    said([
        ("slotsPerWorker", Some(json!(parts.processes.unwrap_or(1)))),
        ("runPolicy", Some(run_policy(parts, Some(parts.retries)))),
        ("sshAuthMountPath", Some(json!(keys))),
        // One that comes first finds nobody, and has failed.
        ("launcherCreationPolicy", Some(json!("WaitForWorkersReady"))),
        (
            "mpiReplicaSpecs",
            Some(said([
                ("Launcher", Some(replicas(1, &launcher))),
                ("Worker", Some(replicas(parts.nodes, &worker))),
            ])),
        ),
    ])
}
