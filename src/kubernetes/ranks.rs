//! A Job of several pods, each with a number: how far each got, and what that means for all of them.
//!
//! One that fails ends the others, so that how they end says nothing: the end of all is that of the first one
//! that failed.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use super::points;
use super::state::{End, State, name, ours, over, retries, state_of, suspended};
use crate::runtime::kubernetes::INDEX_ANNOTATION as INDEX;

/// One of the pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rank {
    /// Its number, from 0.
    pub number: u32,
    /// Its pod, where there is one.
    pub pod: Option<String>,
    /// How far it got.
    pub state: State,
}

impl Rank {
    fn has_failed(&self) -> bool {
        matches!(&self.state, State::Ended(end) if end.code != Some(0))
    }
}

/// How many pods with numbers a Job has, where it is one of several that are one run.
pub(super) fn count(job: &Job) -> Option<u32> {
    let spec = job.spec.as_ref()?;
    if points::array(job).is_some() {
        return None;
    }
    if spec.completion_mode.as_deref() != Some("Indexed") {
        return None;
    }
    let count = u32::try_from(spec.completions?).ok()?;
    (count > 1).then_some(count)
}

/// How far each of `count` pods got. `container` is the one that counts.
/// A pod that failed is followed by another one where `may_retry` says so.
pub(super) fn ranks(
    count: u32,
    pods: &[Pod],
    container: &str,
    may_retry: impl Fn(u32) -> bool,
) -> Vec<Rank> {
    let of_number = |number: u32| {
        let all = pods.iter().filter(|pod| index(pod) == Some(number));
        let newest = all.max_by_key(|pod| {
            let made = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (made, name(pod))
        });
        let state = match newest {
            None => State::Waiting {
                why: "no pod is made yet".to_owned(),
            },
            Some(pod) => match state_of(pod, container) {
                State::Ended(end) if end.code != Some(0) && may_retry(number) => {
                    State::Again { pod: name(pod) }
                }
                state => state,
            },
        };
        Rank {
            number,
            pod: newest.map(name),
            state,
        }
    };
    (0..count).map(of_number).collect()
}

/// The same of a Job whose pods are nodes of one run.
pub(super) fn nodes(job: &Job, count: u32, pods: &[Pod], container: &str) -> Vec<Rank> {
    let may_retry = retries(job) > 0 && over(job).is_none();
    ranks(count, pods, container, |_| may_retry)
}

/// The state of a Job of `count` pods.
pub(super) fn whole(job: &Job, count: u32, pods: &[Pod], container: &str) -> State {
    let all = nodes(job, count, pods, container);
    let over = over(job);
    let is_done = matches!(over, Some((true, _)));
    // What still runs when the cluster says that all is well, an operator may end.
    let has_failed = !is_done && all.iter().any(Rank::has_failed);
    let is_failed = matches!(over, Some((false, _))) || has_failed;
    if is_failed {
        let why = over.and_then(|(_, why)| why);
        return State::Ended(first_failure(&all, pods, container, why));
    }
    let is_done = |rank: &Rank| matches!(rank.state, State::Ended(_));
    if over.is_some() || all.iter().all(is_done) {
        return State::Ended(End {
            pod: all.into_iter().find_map(|rank| rank.pod),
            code: Some(0),
            why: None,
        });
    }
    let stuck = |rank: &Rank| matches!(rank.state, State::Stuck { .. });
    let running = |rank: &Rank| matches!(rank.state, State::Running { .. });
    let first = all.iter().find(|rank| stuck(rank));
    if let Some(rank) = first.or_else(|| all.iter().find(|rank| running(rank))) {
        return rank.state.clone();
    }
    if suspended(job) {
        return State::Waiting {
            why: "its queue has not let it start yet".to_owned(),
        };
    }
    let waiting = all.iter().find_map(|rank| match &rank.state {
        State::Waiting { why } => Some(why.clone()),
        State::Again { pod } => Some(format!("{pod} failed; the Job makes another pod")),
        _ => None,
    });
    State::Waiting {
        why: waiting.unwrap_or_default(),
    }
}

/// The end of the pod that failed first. Times are whole seconds: of those that ended in one, it is one that
/// no signal ended, and the one that the cluster names.
fn first_failure(all: &[Rank], pods: &[Pod], container: &str, why: Option<String>) -> End {
    let named = why.as_deref().and_then(Named::read);
    let of = |pod: &str| pods.iter().find(|known| name(known) == pod);
    let failed = all.iter().filter(|rank| rank.has_failed());
    let first = failed.min_by_key(|rank| {
        let pod = rank.pod.as_deref().and_then(of);
        let at = pod.and_then(|pod| ended_at(pod, container));
        let by_signal =
            matches!(&rank.state, State::Ended(end) if end.code.is_some_and(|code| code > 128));
        let is_named = named.as_ref().map(|named| named.pod) == rank.pod.as_deref();
        (at.is_none(), at, by_signal, !is_named, rank.number)
    });
    match first {
        Some(Rank {
            number,
            state: State::Ended(end),
            ..
        }) => {
            let first = format!("rank {number} failed first");
            End {
                why: Some(match &end.why {
                    Some(why) => format!("{first}: {why}"),
                    None => first,
                }),
                ..end.clone()
            }
        }
        // Its pod is gone; the cluster may have told its end.
        _ => End {
            pod: None,
            code: named.map(|named| named.code),
            why,
        },
    }
}

/// The failure that the cluster names, where the Job's own rule made it the end of all
/// (`Container main for pod ml/train-1-x failed with exit code 7 matching FailJob rule at index 1`).
struct Named<'a> {
    pod: &'a str,
    code: i32,
}

impl<'a> Named<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (_, rest) = text.split_once(" for pod ")?;
        let (pod, rest) = rest.split_once(" failed with exit code ")?;
        let (_, pod) = pod.split_once('/')?;
        let code = rest.split(' ').next()?.parse().ok()?;
        Some(Self { pod, code })
    }
}

pub(super) fn index(pod: &Pod) -> Option<u32> {
    let annotations = pod.metadata.annotations.as_ref()?;
    annotations.get(INDEX)?.parse().ok()
}

/// When a pod's container ended, or the pod was thrown out.
pub(super) fn ended_at(pod: &Pod, container: &str) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let ended =
        ours(status, container).and_then(|status| status.state.as_ref()?.terminated.as_ref());
    if let Some(time) = ended.and_then(|ended| ended.finished_at.as_ref()) {
        return Some(time.0);
    }
    let conditions = status.conditions.iter().flatten();
    let mut thrown_out = conditions.filter(|c| c.type_ == "DisruptionTarget" && c.status == "True");
    Some(thrown_out.next()?.last_transition_time.as_ref()?.0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kubernetes::look;

    fn pod(number: u32, state: Value) -> Value {
        json!({
            "metadata": {"name": format!("p-{number}"), "annotations": {INDEX: number.to_string()}},
            "status": {"containerStatuses": [
                {"name": "main", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": state},
            ]},
        })
    }

    fn exit(number: u32, code: i32, second: u32) -> Value {
        let at = format!("2026-01-01T00:00:{second:02}Z");
        pod(
            number,
            json!({"terminated": {"exitCode": code, "finishedAt": at}}),
        )
    }

    fn runs(number: u32) -> Value {
        pod(number, json!({"running": {}}))
    }

    fn waits(number: u32) -> Value {
        json!({
            "metadata": {"name": format!("p-{number}"), "annotations": {INDEX: number.to_string()}},
            "status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "no gpu"}]},
        })
    }

    fn see(conditions: Value, pods: &[Value]) -> State {
        let job: Job = serde_json::from_value(json!({
            "metadata": {},
            "spec": {"completionMode": "Indexed", "completions": 3, "backoffLimit": 0, "template": {}},
            "status": {"conditions": conditions},
        }))
        .unwrap();
        let pods: Vec<Pod> = pods
            .iter()
            .map(|pod| serde_json::from_value(pod.clone()).unwrap())
            .collect();
        look(&job, &pods, "main")
    }

    fn told(conditions: Value, pods: &[Value]) -> String {
        match see(conditions, pods) {
            State::Waiting { why } => format!("waits: {why}"),
            State::Stuck { pod, why } => format!("{pod} is stuck: {why}"),
            State::Running { pod } => format!("runs in {pod}"),
            State::Again { pod } => format!("again {pod}"),
            State::Ended(End { pod, code, why }) => format!(
                "{} {} {}",
                pod.as_deref().unwrap_or("-"),
                code.map_or("-".to_owned(), |code| code.to_string()),
                why.as_deref().unwrap_or("-")
            ),
        }
    }

    #[test]
    fn all_of_them_are_one_job() {
        let stuck = |number| {
            pod(
                number,
                json!({"waiting": {"reason": "ImagePullBackOff", "message": "none"}}),
            )
        };
        for (pods, wanted) in [
            (vec![], "waits: no pod is made yet"),
            (vec![waits(0), waits(1)], "waits: no node takes it: no gpu"),
            (vec![waits(0), runs(1), runs(2)], "runs in p-1"),
            (vec![exit(0, 0, 1), runs(1), runs(2)], "runs in p-1"),
            (
                vec![runs(0), runs(1), stuck(2)],
                "p-2 is stuck: ImagePullBackOff: none",
            ),
            (vec![exit(0, 0, 1), exit(1, 0, 2), exit(2, 0, 3)], "p-0 0 -"),
            (
                vec![runs(0), exit(1, 7, 2), runs(2)],
                "p-1 7 rank 1 failed first",
            ),
        ] {
            assert_eq!(told(json!([]), &pods), wanted);
        }
    }

    #[test]
    fn the_first_failure_is_the_end_of_all() {
        let thrown_out = json!({
            "metadata": {"name": "p-2", "annotations": {INDEX: "2"}},
            "status": {"phase": "Failed", "reason": "Evicted", "message": "no memory", "conditions": [
                {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"}]},
        });
        let named = |pod: &str, code: i32| {
            let message = format!(
                "Container main for pod ml/{pod} failed with exit code {code} matching FailJob rule at index 1"
            );
            json!([{"type": "FailureTarget", "status": "True", "reason": "PodFailurePolicy", "message": message}])
        };
        let none = json!([]);
        for (conditions, pods, wanted) in [
            (
                &none,
                vec![exit(0, 1, 9), exit(1, 7, 8), exit(2, 143, 9)],
                "p-1 7 rank 1 failed first",
            ),
            // In one second: one that no signal ended, and the one that the cluster names.
            (
                &none,
                vec![exit(0, 143, 8), exit(1, 7, 8)],
                "p-1 7 rank 1 failed first",
            ),
            (
                &named("p-1", 7),
                vec![exit(0, 1, 8), exit(1, 7, 8)],
                "p-1 7 rank 1 failed first",
            ),
            (
                &none,
                vec![exit(0, 1, 3), runs(1), thrown_out],
                "p-2 - rank 2 failed first: evicted: no memory",
            ),
            // Its pod is gone.
            (
                &named("p-1", 7),
                vec![],
                "- 7 PodFailurePolicy: Container main for pod ml/p-1 failed with exit code 7 matching FailJob rule at index 1",
            ),
        ] {
            assert_eq!(told(conditions.clone(), &pods), wanted);
        }
        let late = json!([{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long"}]);
        assert_eq!(told(late, &[runs(0)]), "- - DeadlineExceeded: too long");
        let done = json!([{"type": "Complete", "status": "True"}]);
        assert_eq!(told(done, &[]), "- 0 -");
    }
}
