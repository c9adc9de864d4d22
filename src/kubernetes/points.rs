//! A Job that is an array: how far each point got, and what that means for all of them.
//!
//! A point that fails ends no other one. Where a point's pod is gone, the Job's status still says how it ended.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use super::ranks::{Rank, ranks};
use super::state::{End, State, name, over, suspended};
use crate::runtime::array::Array;
use crate::runtime::kubernetes::ARRAY_ANNOTATION;

/// The grid of a Job that is an array. Whoever made the Job wrote it: one that doesn't fit the Job is none.
pub(super) fn array(job: &Job) -> Option<Array> {
    let annotations = job.metadata.annotations.as_ref()?;
    let texts: Vec<String> = serde_json::from_str(annotations.get(ARRAY_ANNOTATION)?).ok()?;
    let array = Array::of(texts).ok()??;
    let spec = job.spec.as_ref()?;
    let fits = spec.completion_mode.as_deref() == Some("Indexed")
        && usize::try_from(spec.completions?).ok()? == array.len();
    fits.then_some(array)
}

/// How far each of `count` points got.
pub(super) fn points(job: &Job, count: u32, pods: &[Pod], container: &str) -> Vec<Rank> {
    let status = job.status.clone().unwrap_or_default();
    let done = Numbers::read(status.completed_indexes.as_deref());
    let failed = Numbers::read(status.failed_indexes.as_deref());
    let end = final_end(job);
    let retries = job.spec.as_ref().map_or(0, |spec| {
        spec.backoff_limit_per_index
            .or(spec.backoff_limit)
            .unwrap_or(0)
    });
    let may_retry = |number| retries > 0 && end.is_none() && !failed.has(number);
    let mut all = ranks(count, pods, container, may_retry);
    for point in &mut all {
        if matches!(point.state, State::Ended(_)) {
            continue;
        }
        let ended = |code, why: &str| {
            State::Ended(End {
                pod: None,
                code,
                why: Some(why.to_owned()).filter(|why| !why.is_empty()),
            })
        };
        point.state = match &end {
            _ if done.has(point.number) => ended(Some(0), ""),
            _ if failed.has(point.number) => ended(None, "its pod was removed"),
            // The whole Job was ended, as by its time limit.
            Some((false, why)) => ended(None, why.as_deref().unwrap_or("the Job failed")),
            Some((true, _)) => ended(Some(0), ""),
            None => continue,
        };
    }
    all
}

/// The state of all of them.
pub(super) fn whole(job: &Job, count: u32, pods: &[Pod], container: &str) -> State {
    let all = points(job, count, pods, container);
    let ends = all.iter().filter_map(|point| match &point.state {
        State::Ended(end) => Some(end),
        _ => None,
    });
    let has_ended = ends.clone().count();
    if has_ended == all.len() {
        let failed = ends.filter(|end| end.code != Some(0));
        let number = failed.clone().count();
        let first = failed.clone().next();
        return State::Ended(End {
            pod: first.and_then(|end| end.pod.clone()),
            code: first.map_or(Some(0), |end| end.code),
            why: (number > 0).then(|| format!("{number} of {count} points failed")),
        });
    }
    let is_running = |point: &&Rank| matches!(point.state, State::Running { .. });
    if let Some(point) = all.iter().find(is_running) {
        return point.state.clone();
    }
    let stuck = all.iter().find_map(|point| match &point.state {
        State::Stuck { pod, why } => Some((pod.clone(), why.clone())),
        _ => None,
    });
    match stuck {
        // All have the same image: where none began, none will.
        Some((pod, why)) if has_ended == 0 => return State::Stuck { pod, why },
        Some((_, why)) => return State::Waiting { why },
        None => {}
    }
    if suspended(job) {
        return State::Waiting {
            why: "its queue has not let it start yet".to_owned(),
        };
    }
    let waiting = all.iter().find_map(|point| match &point.state {
        State::Waiting { why } if point.pod.is_some() => Some(why.clone()),
        State::Again { pod } => Some(format!("{pod} failed; the Job makes another pod")),
        _ => None,
    });
    State::Waiting {
        why: waiting.unwrap_or_else(|| "no pod is made yet".to_owned()),
    }
}

/// How the Job ended: only when the cluster has seen all pods end.
fn final_end(job: &Job) -> Option<(bool, Option<String>)> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let is_final = conditions
        .iter()
        .any(|c| c.status == "True" && matches!(c.type_.as_str(), "Complete" | "Failed"));
    over(job).filter(|_| is_final)
}

/// The pods of one point.
pub(super) fn of_point(pods: Vec<Pod>, point: u32) -> Vec<Pod> {
    let is_its = |pod: &Pod| super::ranks::index(pod) == Some(point);
    pods.into_iter().filter(is_its).collect()
}

/// The point's newest pod.
pub(super) fn newest(pods: &[Pod]) -> Option<&Pod> {
    pods.iter().max_by_key(|pod| {
        let made = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (made, name(pod))
    })
}

/// Numbers as a Job's status has them: `1,3-5`.
struct Numbers(Vec<(u32, u32)>);

impl Numbers {
    fn read(text: Option<&str>) -> Self {
        let parts = text.into_iter().flat_map(|text| text.split(','));
        let part = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
        };
        Self(parts.filter_map(part).collect())
    }

    fn has(&self, number: u32) -> bool {
        let holds = |(first, last): &(u32, u32)| (*first..=*last).contains(&number);
        self.0.iter().any(holds)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kubernetes::look;
    use crate::runtime::kubernetes::INDEX_ANNOTATION as INDEX;

    fn pod(number: u32, status: Value) -> Value {
        json!({
            "metadata": {"name": format!("p-{number}"), "annotations": {INDEX: number.to_string()}},
            "status": status,
        })
    }

    fn main(number: u32, state: Value) -> Value {
        let container = json!({
            "name": "main", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": state,
        });
        pod(number, json!({"containerStatuses": [container]}))
    }

    fn exit(number: u32, code: i32) -> Value {
        main(number, json!({"terminated": {"exitCode": code}}))
    }

    fn runs(number: u32) -> Value {
        main(number, json!({"running": {}}))
    }

    fn job(axes: &str, retries: i32, status: Value) -> Job {
        serde_json::from_value(json!({
            "metadata": {"annotations": {ARRAY_ANNOTATION: axes}},
            "spec": {
                "completionMode": "Indexed", "completions": 3, "template": {},
                "backoffLimit": i32::MAX, "backoffLimitPerIndex": retries,
            },
            "status": status,
        }))
        .unwrap()
    }

    const AXES: &str = r#"["n=1..3"]"#;

    fn told(state: &State) -> String {
        match state {
            State::Waiting { why } => format!("waits: {why}"),
            State::Stuck { pod, why } => format!("{pod} is stuck: {why}"),
            State::Running { pod } => format!("runs in {pod}"),
            State::Again { pod } => format!("again {pod}"),
            State::Ended(End { code, why, .. }) => format!(
                "{} {}",
                code.map_or("-".to_owned(), |code| code.to_string()),
                why.as_deref().unwrap_or("-")
            ),
        }
    }

    fn see(job: &Job, pods: &[Value]) -> String {
        let pods = serde_json::from_value(json!(pods)).unwrap();
        let pods: Vec<Pod> = pods;
        let each = points(job, 3, &pods, "main");
        let each: Vec<String> = each.iter().map(|point| told(&point.state)).collect();
        format!("{} | {}", told(&look(job, &pods, "main")), each.join("; "))
    }

    #[test]
    fn a_grid_that_does_not_fit_is_none() {
        assert_eq!(array(&job(AXES, 0, json!({}))).unwrap().len(), 3);
        for axes in ["", "[]", r#"["n=1..4"]"#, r#"["n"]"#, r#"{"n": 1}"#, "[3]"] {
            assert_eq!(array(&job(axes, 0, json!({}))), None, "{axes}");
        }
    }

    #[test]
    fn points_end_each_by_itself() {
        let evicted = pod(
            1,
            json!({"phase": "Failed", "reason": "Evicted", "message": "no memory"}),
        );
        let killed = main(
            1,
            json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
        );
        let stuck = |number| {
            main(
                number,
                json!({"waiting": {"reason": "ImagePullBackOff", "message": "none"}}),
            )
        };
        let none = json!({});
        let failed = |indexes: &str, done: &str, reason: &str| {
            json!({"failedIndexes": indexes, "completedIndexes": done, "conditions": [
                {"type": "Failed", "status": "True", "reason": reason, "message": "so"}]})
        };
        for (retries, status, pods, wanted) in [
            (
                0,
                none.clone(),
                vec![],
                "waits: no pod is made yet | waits: no pod is made yet; waits: no pod is made yet; waits: no pod is made yet",
            ),
            // One failed, and the others go on.
            (
                0,
                none.clone(),
                vec![exit(0, 7), runs(1)],
                "runs in p-1 | 7 -; runs in p-1; waits: no pod is made yet",
            ),
            (
                0,
                none.clone(),
                vec![exit(0, 0), killed, exit(2, 9)],
                "137 2 of 3 points failed | 0 -; 137 it used more memory than its limit; 9 -",
            ),
            (
                0,
                none.clone(),
                vec![exit(0, 0), evicted, exit(2, 0)],
                "- 1 of 3 points failed | 0 -; - evicted: no memory; 0 -",
            ),
            // Tried again, until the Job says that it isn't.
            (
                2,
                none.clone(),
                vec![exit(0, 7), exit(1, 0), exit(2, 0)],
                "waits: p-0 failed; the Job makes another pod | again p-0; 0 -; 0 -",
            ),
            (
                2,
                json!({"failedIndexes": "0"}),
                vec![exit(0, 7), runs(1)],
                "runs in p-1 | 7 -; runs in p-1; waits: no pod is made yet",
            ),
            // Pods that are gone.
            (
                0,
                failed("1", "0,2", "FailedIndexes"),
                vec![],
                "- 1 of 3 points failed | 0 -; - its pod was removed; 0 -",
            ),
            (
                0,
                failed("", "0-1", "DeadlineExceeded"),
                vec![],
                "- 1 of 3 points failed | 0 -; 0 -; - DeadlineExceeded: so",
            ),
            (
                0,
                json!({"conditions": [{"type": "Complete", "status": "True"}]}),
                vec![],
                "0 - | 0 -; 0 -; 0 -",
            ),
            // On its way out: the time is over, and a pod has still to end.
            (
                0,
                json!({"conditions": [{"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded"}]}),
                vec![exit(0, 0), runs(1)],
                "runs in p-1 | 0 -; runs in p-1; waits: no pod is made yet",
            ),
            (
                0,
                none.clone(),
                vec![stuck(0)],
                "p-0 is stuck: ImagePullBackOff: none | p-0 is stuck: ImagePullBackOff: none; waits: no pod is made yet; waits: no pod is made yet",
            ),
            (
                0,
                none.clone(),
                vec![exit(0, 0), stuck(1)],
                "waits: ImagePullBackOff: none | 0 -; p-1 is stuck: ImagePullBackOff: none; waits: no pod is made yet",
            ),
        ] {
            assert_eq!(
                see(&job(AXES, retries, status.clone()), &pods),
                wanted,
                "{retries} {status}"
            );
        }
    }
}
