//! How far an object of any kind got.
//!
//! A Job of Kubernetes says so by its conditions. For other kinds the rule is that of W&B's agent
//! (`wandb.sdk.launch.runner.kubernetes_monitor`): `status.state.phase` as Volcano has it, else the
//! conditions that are true, by words that Kubeflow and JobSet use; beside it `status.phase`, which pods
//! have. Deployments and their like have no end.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use super::objects::ObjectRef;
use super::state::{State, look};

/// How far it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Nothing of it runs yet.
    Waiting {
        /// What it waits for.
        why: String,
    },
    /// A pod of it runs, or ran.
    Running,
    /// A pod can't start, and won't.
    Stuck {
        /// The pod.
        pod: String,
        /// Why.
        why: String,
    },
    /// It is over.
    Ended {
        /// Whether it did what it was to do.
        succeeded: bool,
        /// The program's exit code, where it is known.
        code: Option<i32>,
        /// What else there is to say.
        why: Option<String>,
    },
}

/// What the words of a status mean.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Succeeded,
    Failed,
    Running,
}

fn word(text: &str) -> Option<Word> {
    Some(match text.to_ascii_lowercase().as_str() {
        "succeeded" | "completed" | "complete" => Word::Succeeded,
        "failed" | "aborted" | "timeout" | "terminated" | "error" => Word::Failed,
        "running" | "completing" | "terminating" => Word::Running,
        _ => return None,
    })
}

/// Kinds whose objects run until they are removed, as `kubectl` names them.
const ENDLESS: [&str; 5] = [
    "CronJob.batch",
    "DaemonSet.apps",
    "Deployment.apps",
    "ReplicaSet.apps",
    "StatefulSet.apps",
];

/// Whether objects of a kind have no end.
pub fn is_endless(api_version: &str, kind: &str) -> bool {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    ENDLESS.contains(&format!("{kind}.{group}").as_str())
}

/// How far an object with this status and these pods got. `container` runs the job's image.
pub fn progress(of: &ObjectRef, status: &Value, pods: &[Pod], container: &str) -> Progress {
    let end = if is_endless(&of.api_version, &of.kind) {
        None
    } else if of.is_job() {
        end_of_job(status)
    } else {
        end_of_other(status)
    };
    if let Some((succeeded, why)) = end {
        let code = match succeeded {
            true => Some(0),
            false => pods.iter().find_map(|pod| failed_with(pod, container)),
        };
        return Progress::Ended {
            succeeded,
            code,
            why: why.filter(|_| code.is_none()),
        };
    }
    let mut waits = None;
    let mut runs = false;
    for pod in pods {
        match look(&Job::default(), std::slice::from_ref(pod), container) {
            State::Stuck { pod, why } => return Progress::Stuck { pod, why },
            State::Waiting { why } => waits = Some(why),
            _ => runs = true,
        }
    }
    match waits {
        _ if runs => Progress::Running,
        Some(why) => Progress::Waiting { why },
        None => Progress::Waiting {
            why: "no pod is made yet".to_owned(),
        },
    }
}

/// The exit code of a container that failed.
fn failed_with(pod: &Pod, container: &str) -> Option<i32> {
    let statuses = pod.status.as_ref()?.container_statuses.as_deref()?;
    let ours = statuses
        .iter()
        .filter(|status| status.name == container || statuses.len() == 1);
    let ended = ours.filter_map(|status| status.state.as_ref()?.terminated.as_ref());
    ended.map(|ended| ended.exit_code).find(|code| *code != 0)
}

/// Whether a Job is over: `Complete` and `Failed` are said when its pods have ended, too.
fn end_of_job(status: &Value) -> Option<(bool, Option<String>)> {
    conditions(status).find_map(|(kind, why)| match kind {
        "Complete" => Some((true, None)),
        "Failed" => Some((false, why)),
        _ => None,
    })
}

fn end_of_other(status: &Value) -> Option<(bool, Option<String>)> {
    let phase = match &status["state"] {
        Value::Object(state) => state.get("phase").and_then(Value::as_str),
        _ => status["phase"].as_str(),
    };
    let (found, why) = match phase {
        Some(phase) => {
            let said = [&status["state"]["message"], &status["message"]];
            let said = said.iter().find_map(|text| text.as_str());
            (
                word(phase)?,
                said.map(|said| format!("{phase}: {said}"))
                    .or(Some(phase.to_owned())),
            )
        }
        None => {
            let known = conditions(status);
            known
                .filter_map(|(kind, why)| Some((word(kind)?, why)))
                .min_by_key(|(word, _)| *word)?
        }
    };
    match found {
        Word::Succeeded => Some((true, None)),
        Word::Failed => Some((false, why)),
        Word::Running => None,
    }
}

/// The conditions that are true, each with its reason.
fn conditions(status: &Value) -> impl Iterator<Item = (&str, Option<String>)> {
    let all = status["conditions"].as_array().into_iter().flatten();
    all.filter(|condition| condition["status"] == "True")
        .filter_map(|condition| {
            let text = |key: &str| condition[key].as_str().filter(|text| !text.is_empty());
            let why = match (text("reason"), text("message")) {
                (Some(reason), Some(message)) => Some(format!("{reason}: {message}")),
                (reason, message) => reason.or(message).map(str::to_owned),
            };
            Some((condition["type"].as_str()?, why))
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn see(kind: &str, status: Value, pods: Value) -> String {
        let (api_version, kind) = kind.rsplit_once('/').unwrap();
        let of = ObjectRef {
            namespace: "ml".to_owned(),
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: "x".to_owned(),
            uid: None,
        };
        let pods: Vec<Pod> = serde_json::from_value(pods).unwrap();
        match progress(&of, &status, &pods, "main") {
            Progress::Waiting { why } => format!("waits: {why}"),
            Progress::Running => "runs".to_owned(),
            Progress::Stuck { pod, why } => format!("{pod} is stuck: {why}"),
            Progress::Ended {
                succeeded: true,
                code,
                ..
            } => format!("succeeded {code:?}"),
            Progress::Ended { code, why, .. } => format!("failed {code:?} {why:?}"),
        }
    }

    fn pod(state: Value) -> Value {
        json!({"metadata": {"name": "p"}, "status": {"containerStatuses": [
            {"name": "beside", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}},
            {"name": "main", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": state},
        ]}})
    }

    fn condition(kind: &str, status: &str) -> Value {
        json!({"type": kind, "status": status, "reason": "Why", "message": "so"})
    }

    #[test]
    fn each_kind_says_how_far_it_got_in_its_own_words() {
        let failed = json!([pod(json!({"terminated": {"exitCode": 7}}))]);
        let runs = json!([pod(json!({"running": {}}))]);
        let with = |all: &[Value]| json!({ "conditions": all });
        for (kind, status, pods, wanted) in [
            (
                "batch/v1/Job",
                json!(null),
                json!([]),
                "waits: no pod is made yet",
            ),
            ("batch/v1/Job", json!({"active": 1}), runs.clone(), "runs"),
            // One pod of several has ended.
            (
                "batch/v1/Job",
                json!({"succeeded": 1}),
                json!([pod(json!({"terminated": {"exitCode": 0}}))]),
                "runs",
            ),
            (
                "batch/v1/Job",
                with(&[condition("Complete", "True")]),
                json!([]),
                "succeeded Some(0)",
            ),
            (
                "batch/v1/Job",
                with(&[condition("FailureTarget", "True")]),
                failed.clone(),
                "runs",
            ),
            (
                "batch/v1/Job",
                with(&[condition("Failed", "True")]),
                failed.clone(),
                "failed Some(7) None",
            ),
            (
                "batch/v1/Job",
                with(&[condition("Failed", "True")]),
                json!([]),
                "failed None Some(\"Why: so\")",
            ),
            (
                "batch/v1/Job",
                with(&[condition("Suspended", "True")]),
                json!([]),
                "waits: no pod is made yet",
            ),
            (
                "batch/v1/Job",
                json!({}),
                json!([pod(
                    json!({"waiting": {"reason": "ImagePullBackOff", "message": "none"}})
                )]),
                "p is stuck: ImagePullBackOff: none",
            ),
            (
                "batch.volcano.sh/v1alpha1/Job",
                json!({"state": {"phase": "Pending"}}),
                json!([]),
                "waits: no pod is made yet",
            ),
            (
                "batch.volcano.sh/v1alpha1/Job",
                json!({"state": {"phase": "Completing"}}),
                runs.clone(),
                "runs",
            ),
            (
                "batch.volcano.sh/v1alpha1/Job",
                json!({"state": {"phase": "Completed"}}),
                json!([]),
                "succeeded Some(0)",
            ),
            (
                "batch.volcano.sh/v1alpha1/Job",
                json!({"state": {"phase": "Aborted"}}),
                json!([]),
                "failed None Some(\"Aborted\")",
            ),
            (
                "kubeflow.org/v1/PyTorchJob",
                with(&[
                    condition("Created", "True"),
                    condition("Running", "False"),
                    condition("Succeeded", "True"),
                ]),
                json!([]),
                "succeeded Some(0)",
            ),
            (
                "kubeflow.org/v1/PyTorchJob",
                with(&[condition("Created", "True"), condition("Running", "True")]),
                runs.clone(),
                "runs",
            ),
            (
                "kubeflow.org/v1/PyTorchJob",
                with(&[condition("Failed", "True")]),
                failed.clone(),
                "failed Some(7) None",
            ),
            (
                "jobset.x-k8s.io/v1alpha2/JobSet",
                with(&[condition("Completed", "True")]),
                json!([]),
                "succeeded Some(0)",
            ),
            (
                "v1/Pod",
                json!({"phase": "Failed"}),
                failed.clone(),
                "failed Some(7) None",
            ),
            ("v1/Pod", json!({"phase": "Running"}), runs.clone(), "runs"),
            (
                "apps/v1/Deployment",
                with(&[condition("Available", "True")]),
                runs.clone(),
                "runs",
            ),
            (
                "x.example/v1/Thing",
                json!({"state": "done", "conditions": "none"}),
                runs.clone(),
                "runs",
            ),
        ] {
            assert_eq!(see(kind, status.clone(), pods), wanted, "{kind} {status}");
        }
    }
}
