//! How far a Job got, from what the cluster says of it and of its pods.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, PodStatus};

use super::{points, ranks};

/// Why a container that can't start won't start later either.
const FATAL_REASONS: [&str; 7] = [
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "StartError",
];

/// How far it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// No pod is there, or none has a node.
    Waiting {
        /// What it waits for.
        why: String,
    },
    /// Its pod can't start.
    Stuck {
        /// The pod.
        pod: String,
        /// Why.
        why: String,
    },
    /// Its program runs.
    Running {
        /// The pod.
        pod: String,
    },
    /// A pod ended, and the Job makes another one.
    Again {
        /// The pod that ended.
        pod: String,
    },
    /// It is over.
    Ended(End),
}

/// The end of a Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The last pod, where there is one still.
    pub pod: Option<String>,
    /// The program's exit code, where it is known.
    pub code: Option<i32>,
    /// What else there is to say: evicted, out of memory, a limit of the Job.
    pub why: Option<String>,
}

/// The state. `container` is the one that counts.
pub fn look(job: &Job, pods: &[Pod], container: &str) -> State {
    if let Some(array) = points::array(job) {
        let count = u32::try_from(array.len()).unwrap_or(u32::MAX);
        return points::whole(job, count, pods, container);
    }
    if let Some(count) = ranks::count(job) {
        return ranks::whole(job, count, pods, container);
    }
    let over = over(job);
    let newest = pods.iter().max_by_key(|pod| {
        let made = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (made, name(pod))
    });
    let Some(pod) = newest else {
        return match over {
            Some((true, _)) => State::Ended(End {
                pod: None,
                code: Some(0),
                why: None,
            }),
            Some((false, why)) => State::Ended(End {
                pod: None,
                code: None,
                why,
            }),
            None if suspended(job) => State::Waiting {
                why: "its queue has not let it start yet".to_owned(),
            },
            None => State::Waiting {
                why: "no pod is made yet".to_owned(),
            },
        };
    };
    let state = state_of(pod, container);
    match (state, over) {
        (State::Ended(mut end), Some((_, why))) => {
            end.why = end.why.or(why.filter(|_| end.code.is_none()));
            State::Ended(end)
        }
        // The Job gave up, or its time is over: its pods are on their way out.
        (State::Waiting { .. } | State::Stuck { .. }, Some((false, why))) => State::Ended(End {
            pod: Some(name(pod)),
            code: None,
            why,
        }),
        (State::Ended(end), None) if may_retry(job, &end) => State::Again { pod: name(pod) },
        (state, _) => state,
    }
}

/// Whether the Job is over: well or not, and why.
pub(super) fn over(job: &Job) -> Option<(bool, Option<String>)> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let met = conditions.iter().filter(|c| c.status == "True");
    met.filter_map(|c| match c.type_.as_str() {
        "Complete" | "SuccessCriteriaMet" => Some((true, None)),
        "Failed" | "FailureTarget" => {
            let reason = c.reason.clone().unwrap_or_default();
            let why = match c.message.clone().filter(|message| !message.is_empty()) {
                Some(message) => format!("{reason}: {message}"),
                None => reason,
            };
            Some((false, Some(why).filter(|why| !why.is_empty())))
        }
        _ => None,
    })
    .next_back()
}

/// Whether its queue holds it back.
pub(super) fn suspended(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true)
}

/// How many times the Job makes a pod anew.
pub(super) fn retries(job: &Job) -> i32 {
    let limit = job.spec.as_ref().and_then(|spec| spec.backoff_limit);
    limit.unwrap_or(6)
}

fn may_retry(job: &Job, end: &End) -> bool {
    retries(job) > 0 && end.code != Some(0)
}

pub(super) fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

/// What the cluster says of the container that counts.
pub(super) fn ours<'a>(status: &'a PodStatus, container: &str) -> Option<&'a ContainerStatus> {
    let all = status.container_statuses.as_deref().unwrap_or_default();
    all.iter().find(|s| s.name == container).or(match all {
        [only] => Some(only),
        _ => None,
    })
}

pub(super) fn state_of(pod: &Pod, container: &str) -> State {
    let status = pod.status.clone().unwrap_or_default();
    let ours = ours(&status, container);
    let reason = status.reason.clone();
    let said = match (&reason, &status.message) {
        (Some(reason), Some(message)) => Some(format!("{}: {message}", reason.to_lowercase())),
        (Some(reason), None) => Some(reason.to_lowercase()),
        (None, message) => message.clone(),
    };
    if let Some(code) = ours.and_then(exit_code) {
        let reason = ours.and_then(ended_because);
        return State::Ended(End {
            pod: Some(name(pod)),
            code: Some(code),
            why: said.or(reason),
        });
    }
    let inits = status
        .init_container_statuses
        .as_deref()
        .unwrap_or_default();
    match status.phase.as_deref() {
        Some("Failed") => {
            let why = said.or(inits.iter().find_map(failed_before));
            return State::Ended(End {
                pod: Some(name(pod)),
                code: None,
                why: Some(why.unwrap_or_else(|| "the pod failed".to_owned())),
            });
        }
        Some("Succeeded") => {
            return State::Ended(End {
                pod: Some(name(pod)),
                code: Some(0),
                why: None,
            });
        }
        _ => {}
    }
    if is_running(ours) {
        return State::Running { pod: name(pod) };
    }
    let waiting = ours.into_iter().chain(inits).find_map(waits_for);
    if let Some((reason, why)) = waiting {
        return if FATAL_REASONS.contains(&reason.as_str()) {
            State::Stuck {
                pod: name(pod),
                why,
            }
        } else {
            State::Waiting { why }
        };
    }
    let conditions = status.conditions.unwrap_or_default();
    let unplaced = conditions
        .into_iter()
        .find(|c| c.type_ == "PodScheduled" && c.status == "False");
    let why = match unplaced {
        Some(c) => format!(
            "no node takes it: {}",
            c.message.or(c.reason).unwrap_or_default()
        ),
        None => "its pod waits for a node".to_owned(),
    };
    State::Waiting { why }
}

fn state_in(status: &ContainerStatus) -> Option<&ContainerState> {
    status.state.as_ref()
}

fn is_running(status: Option<&ContainerStatus>) -> bool {
    status
        .and_then(state_in)
        .is_some_and(|state| state.running.is_some())
}

fn exit_code(status: &ContainerStatus) -> Option<i32> {
    Some(state_in(status)?.terminated.as_ref()?.exit_code)
}

/// What is worth saying beside the exit code.
fn ended_because(status: &ContainerStatus) -> Option<String> {
    let ended = state_in(status)?.terminated.as_ref()?;
    match ended.reason.as_deref() {
        Some("OOMKilled") => Some("it used more memory than its limit".to_owned()),
        Some("Error" | "Completed") | None => ended.message.clone(),
        Some(reason) => Some(match &ended.message {
            Some(message) => format!("{reason}: {message}"),
            None => reason.to_owned(),
        }),
    }
}

/// What is said of a container that has to end well before the program starts, and hasn't.
fn failed_before(status: &ContainerStatus) -> Option<String> {
    let ended = state_in(status)?.terminated.as_ref()?;
    let said = ended.message.as_deref().map(str::trim).unwrap_or_default();
    let colon = if said.is_empty() { "" } else { ": " };
    (ended.exit_code != 0).then(|| {
        format!(
            "its container `{}` failed with exit code {}{colon}{said}",
            status.name, ended.exit_code
        )
    })
}

fn waits_for(status: &ContainerStatus) -> Option<(String, String)> {
    let waiting = state_in(status)?.waiting.as_ref()?;
    let reason = waiting.reason.clone()?;
    let why = match &waiting.message {
        Some(message) => format!("{reason}: {message}"),
        None => reason.clone(),
    };
    Some((reason, why))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn see(job: Value, pods: Value) -> State {
        let job: Job = serde_json::from_value(
            json!({"metadata": {}, "spec": job["spec"], "status": job["status"]}),
        )
        .unwrap();
        let pods: Vec<Pod> = serde_json::from_value(pods).unwrap();
        look(&job, &pods, "main")
    }

    fn with(status: Value) -> State {
        see(
            json!({"spec": {"backoffLimit": 0, "template": {}}}),
            json!([pod("p", status)]),
        )
    }

    fn pod(name: &str, status: Value) -> Value {
        json!({"metadata": {"name": name}, "status": status})
    }

    fn main(state: Value) -> Value {
        json!({"containerStatuses": [
            {"name": "proxy", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}},
            {"name": "main", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": state},
        ]})
    }

    fn waiting(why: &str) -> State {
        State::Waiting {
            why: why.to_owned(),
        }
    }

    fn ended(code: Option<i32>, why: Option<&str>) -> State {
        State::Ended(End {
            pod: Some("p".to_owned()),
            code,
            why: why.map(str::to_owned),
        })
    }

    #[test]
    fn a_pod_on_its_way() {
        assert_eq!(with(json!({})), waiting("its pod waits for a node"));
        let unplaced = json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes: no gpu"}]});
        assert_eq!(
            with(unplaced),
            waiting("no node takes it: 0/3 nodes: no gpu")
        );
        let pulling =
            main(json!({"waiting": {"reason": "ErrImagePull", "message": "no such host"}}));
        assert_eq!(with(pulling), waiting("ErrImagePull: no such host"));
        let back_off =
            main(json!({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}));
        assert_eq!(
            with(back_off),
            State::Stuck {
                pod: "p".to_owned(),
                why: "ImagePullBackOff: not found".to_owned()
            }
        );
        assert_eq!(
            with(main(json!({"running": {}}))),
            State::Running {
                pod: "p".to_owned()
            }
        );
    }

    #[test]
    fn ends_of_every_kind() {
        let exit = |code: i32, reason: &str| {
            main(json!({"terminated": {"exitCode": code, "reason": reason}}))
        };
        assert_eq!(with(exit(0, "Completed")), ended(Some(0), None));
        assert_eq!(with(exit(7, "Error")), ended(Some(7), None));
        assert_eq!(
            with(exit(137, "OOMKilled")),
            ended(Some(137), Some("it used more memory than its limit"))
        );
        let evicted = json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."});
        assert_eq!(
            with(evicted),
            ended(None, Some("evicted: The node was low on memory."))
        );
    }

    #[test]
    fn a_job_without_pods() {
        let job = |spec: Value, status: Value| {
            let mut spec = spec;
            spec["template"] = json!({});
            see(json!({"spec": spec, "status": status}), json!([]))
        };
        assert_eq!(job(json!({}), json!({})), waiting("no pod is made yet"));
        assert_eq!(
            job(json!({"suspend": true}), json!({})),
            waiting("its queue has not let it start yet")
        );
        let failed = json!({"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long"}]});
        let end = End {
            pod: None,
            code: None,
            why: Some("DeadlineExceeded: too long".to_owned()),
        };
        assert_eq!(job(json!({}), failed), State::Ended(end));
    }

    #[test]
    fn a_job_with_retries_goes_on() {
        let spec = json!({"backoffLimit": 2, "template": {}});
        let failed = main(json!({"terminated": {"exitCode": 1}}));
        let pods = json!([pod("p", failed.clone())]);
        assert_eq!(
            see(json!({"spec": spec}), pods.clone()),
            State::Again {
                pod: "p".to_owned()
            }
        );
        let status = json!({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]});
        assert_eq!(
            see(json!({"spec": spec, "status": status}), pods),
            ended(Some(1), None)
        );
        // The newest pod counts.
        let at = |name: &str, time: &str, status: Value| {
            let mut pod = pod(name, status);
            pod["metadata"]["creationTimestamp"] = json!(time);
            pod
        };
        let two = json!([
            at("new", "2026-01-02T00:00:00Z", json!({})),
            at("old", "2026-01-01T00:00:00Z", failed)
        ]);
        assert_eq!(
            see(json!({"spec": spec}), two),
            waiting("its pod waits for a node")
        );
    }
}
