//! Jobs of a Kubernetes cluster, beside those of queues: whatever `mlbuild submit` made there.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt as _;
use mlbuild_waits::Wait;
use serde::Serialize;

use super::{Kind, ListArgs, LogsArgs, POLL_INTERVAL, or_none, rows, time};
use crate::commands::logs;
use crate::error::{CommandError, CommandResult};
use crate::support::cluster_args::ClusterArgs;
use crate::support::output;
use mlbuild::agent::RUN_LABEL;
use mlbuild::env_vars::MLBUILD_RUN_ID;
use mlbuild::error::ErrorKind;
use mlbuild::kubernetes::{
    self, Cluster, ClusterTarget, FoundJob, KubernetesError, LogLines, ObjectRef, Rank, connect,
};
use mlbuild::queue::{Job, State, Store};
use mlbuild::runtime::array::run_of_point;
use mlbuild::runtime::kubernetes::{
    ASKED_ANNOTATION, JobKind, KUEUE_QUEUE, MANAGED_BY, run_of_all_points,
};
use mlbuild::runtime::shell_line;
use mlbuild::shell::word;

/// A Job of the cluster.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ClusterJob {
    /// Its name.
    pub(super) id: String,
    /// Of which kind it is, as objects of the cluster have it.
    #[serde(rename = "object")]
    kind: &'static str,
    /// Where it is.
    pub(super) namespace: String,
    /// The API server's address.
    cluster: String,
    /// Kueue's queue.
    pub(super) queue: Option<String>,
    /// How far it got, in the words of queues.
    state: State,
    /// What it waits for, or why it failed, in the cluster's words.
    error: Option<String>,
    exit_code: Option<i32>,
    /// The pod that runs it, or ran it last.
    pod: Option<String>,
    /// How far each pod got, where it has several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<ClusterNode>,
    /// How far each point got, where it is an array.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    points: Vec<ClusterPoint>,
    run_id: Option<String>,
    pub(super) image: String,
    /// The image as it was asked for.
    asked: Option<String>,
    pub(super) command: Vec<String>,
    pub(super) created: Timestamp,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
}

/// One of several pods of a Job.
#[derive(Debug, Clone, Serialize)]
struct ClusterNode {
    /// Its number, from 0.
    rank: u32,
    pod: Option<String>,
    /// How far it got, in the words of queues.
    state: State,
    /// What it waits for, or why it failed.
    error: Option<String>,
    exit_code: Option<i32>,
}

impl ClusterNode {
    fn of(rank: Rank) -> Self {
        let seen = Seen::of(rank.state);
        Self {
            rank: rank.number,
            pod: rank.pod,
            state: seen.state,
            error: seen.why,
            exit_code: seen.code,
        }
    }

    fn told(&self) -> String {
        let mut text = format!("{} {}", self.rank, self.state.as_str());
        if let (State::Failed, Some(code)) = (self.state, self.exit_code) {
            let _ = write!(text, " ({code})");
        }
        if let Some(pod) = &self.pod {
            let _ = write!(text, " in {pod}");
        }
        if let Some(why) = &self.error {
            let _ = write!(text, ": {why}");
        }
        text
    }
}

/// A point of an array.
#[derive(Debug, Clone, Serialize)]
struct ClusterPoint {
    /// Its number, from 0.
    point: u32,
    /// The id of its run.
    run_id: Option<String>,
    /// Its values.
    values: BTreeMap<String, String>,
    pod: Option<String>,
    /// How far it got, in the words of queues.
    state: State,
    /// What it waits for, or why it failed.
    error: Option<String>,
    exit_code: Option<i32>,
}

impl ClusterPoint {
    fn of(found: &FoundJob, run: Option<&str>) -> Vec<Self> {
        let (Some(array), Some(points)) = (found.array(), found.points()) else {
            return Vec::new();
        };
        let of = |point: Rank| {
            let seen = Seen::of(point.state);
            let number = point.number as usize;
            let values = array.point(number).into_iter();
            Self {
                point: point.number,
                run_id: run.map(|run| run_of_point(run, number)),
                values: values.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
                pod: point.pod,
                state: seen.state,
                error: seen.why,
                exit_code: seen.code,
            }
        };
        points.into_iter().map(of).collect()
    }

    fn told(&self) -> String {
        let mut text = format!("{} {}", self.point, self.state.as_str());
        if let (State::Failed, Some(code)) = (self.state, self.exit_code) {
            let _ = write!(text, " ({code})");
        }
        for (name, value) in &self.values {
            let _ = write!(text, " {}", word(format!("{name}={value}")));
        }
        if let Some(pod) = &self.pod {
            let _ = write!(text, " in {pod}");
        }
        if let Some(why) = &self.error {
            let _ = write!(text, ": {why}");
        }
        text
    }
}

impl ClusterJob {
    fn of(cluster: &Cluster, found: &FoundJob) -> Self {
        let job = &found.job;
        let status = job.status.clone().unwrap_or_default();
        let template = job
            .spec
            .as_ref()
            .and_then(|spec| spec.template.spec.clone());
        let mut containers = template.unwrap_or_default().containers.into_iter();
        let container = containers.find(|container| container.name == found.container());
        let container = container.unwrap_or_default();
        let seen = Seen::of(found.state());
        let nodes = found.nodes().unwrap_or_default();
        let array_run = run_id(&container);
        let points = ClusterPoint::of(found, array_run.as_deref());
        let of_point = |run: String| match found.point {
            Some(point) => run_of_point(&run, point as usize),
            None => run,
        };
        // The shell of an array looks its values up; the command follows it.
        let shell = container.command.filter(|_| found.array().is_none());
        Self {
            id: job.name_any(),
            kind: found.kind.name(),
            namespace: cluster.namespace.clone(),
            cluster: cluster.url.clone(),
            queue: job.labels().get(KUEUE_QUEUE).cloned(),
            state: seen.state,
            error: seen.why,
            exit_code: seen.code,
            pod: seen.pod,
            nodes: nodes.into_iter().map(ClusterNode::of).collect(),
            points,
            run_id: array_run.map(of_point),
            asked: job.annotations().get(ASKED_ANNOTATION).cloned(),
            created: job
                .creation_timestamp()
                .map_or(Timestamp::UNIX_EPOCH, |t| t.0),
            started: status.start_time.as_ref().map(|time| time.0),
            ended: found.ended(),
            image: container.image.unwrap_or_default(),
            command: [shell, container.args]
                .into_iter()
                .flatten()
                .flatten()
                .collect(),
        }
    }

    /// How far it got, in a few words.
    pub(super) fn told(&self) -> String {
        let word = self.state.as_str();
        match (self.state, self.exit_code) {
            (State::Failed, Some(code)) => format!("{word} ({code})"),
            _ => word.to_owned(),
        }
    }

    /// All of it.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let all = [
            ("job", Some(self.id.clone())),
            (
                "kind",
                Some(self.kind.to_owned()).filter(|kind| *kind != JobKind::Job.name()),
            ),
            ("namespace", Some(self.namespace.clone())),
            ("cluster", Some(self.cluster.clone())),
            ("queue", self.queue.clone()),
            ("state", Some(self.told())),
            ("why", self.error.clone()),
            ("command", Some(shell_line(&self.command))),
            ("run", self.run_id.clone()),
            ("image", Some(self.image.clone())),
            ("asked for", self.asked.clone()),
            ("pod", self.pod.clone()),
            ("launched", time(Some(self.created))),
            ("started", time(self.started)),
            ("ended", time(self.ended)),
        ];
        let nodes = self
            .nodes
            .iter()
            .map(|node| vec!["rank".to_owned(), node.told()]);
        let points = self
            .points
            .iter()
            .map(|point| vec!["point".to_owned(), point.told()]);
        rows(all).chain(nodes).chain(points).collect()
    }
}

/// The id of its run, of an array that of all its points; in the label it may be cut.
fn run_id(container: &Container) -> Option<String> {
    let mut variables = container.env.iter().flatten();
    let value = variables
        .find(|v| v.name == MLBUILD_RUN_ID)?
        .value
        .as_ref()?;
    Some(run_of_all_points(value).to_owned())
}

/// How far a Job got.
struct Seen {
    state: State,
    why: Option<String>,
    pod: Option<String>,
    code: Option<i32>,
}

impl Seen {
    fn of(state: kubernetes::State) -> Self {
        let seen = |state, pod, why| Self {
            state,
            why,
            pod,
            code: None,
        };
        match state {
            kubernetes::State::Waiting { why } => seen(State::Queued, None, Some(why)),
            kubernetes::State::Stuck { pod, why } => seen(State::Queued, Some(pod), Some(why)),
            kubernetes::State::Running { pod } => seen(State::Running, Some(pod), None),
            kubernetes::State::Again { pod } => {
                let why = format!("{pod} failed; the Job makes another pod");
                seen(State::Queued, Some(pod), Some(why))
            }
            kubernetes::State::Ended(end) => Self {
                code: end.code,
                ..match end.code {
                    Some(0) => seen(State::Succeeded, end.pod, end.why),
                    _ => seen(State::Failed, end.pod, end.why),
                }
            },
        }
    }
}

/// Whether a cluster is known that could have this Job, without asking it.
pub(super) fn may_have(typed: &str, args: &ClusterArgs) -> bool {
    is_known(args) || args.query().is_recorded(typed)
}

fn is_known(args: &ClusterArgs) -> bool {
    kubernetes::is_known(&args.target())
}

/// The cluster's Jobs. Where nobody asked for them, a cluster that isn't known is passed over, and
/// one that doesn't answer is told and hides no other jobs.
pub(super) async fn list(args: &ListArgs) -> CommandResult<Vec<ClusterJob>> {
    let at = ClusterArgs {
        namespace: args.namespace.clone(),
        context: args.context.clone(),
    };
    let is_asked_for = args.kind == Some(Kind::Kubernetes) || at.is_typed();
    if args.kind == Some(Kind::Queue) && at.is_typed() {
        return Err(CommandError::user(
            "--kind queue leaves the cluster out, and --namespace, --context and --kubeconfig are of one",
        ));
    }
    let is_others = matches!(args.kind, Some(Kind::Queue | Kind::Slurm));
    if is_others || (args.queue.is_some() && !is_asked_for) {
        return Ok(Vec::new());
    }
    let mut jobs = if is_asked_for {
        all(&at).await?
    } else if !is_known(&at) {
        Vec::new()
    } else {
        or_none("the Jobs of the Kubernetes cluster", all(&at)).await
    };
    jobs.retain(|job| {
        args.state.is_none_or(|state| state == job.state)
            && (args.queue.is_none() || args.queue == job.queue)
    });
    Ok(jobs)
}

async fn all(at: &ClusterArgs) -> CommandResult<Vec<ClusterJob>> {
    let cluster = connect(&at.target()).await?;
    let found = cluster.find_all(MANAGED_BY).await?;
    Ok(found
        .iter()
        .map(|found| ClusterJob::of(&cluster, found))
        .collect())
}

/// A Job by its name or its run's id.
pub(super) async fn job(typed: &str, at: &ClusterArgs) -> CommandResult<ClusterJob> {
    let (cluster, found) = find(typed, at).await?;
    Ok(ClusterJob::of(&cluster, &found))
}

async fn find(typed: &str, at: &ClusterArgs) -> CommandResult<(Cluster, FoundJob)> {
    match at.find(typed).await {
        // Nobody spoke of a cluster: it was the last place to look.
        Err(error) if !at.is_typed() && !at.query().is_recorded(typed) => {
            if error.kind != ErrorKind::User {
                output::warning(&format!("the cluster can't be asked: {}", error.message()));
            }
            let message = format!("no job `{typed}`, in a queue or in the cluster");
            Err(CommandError::user(message).hint("mlbuild jobs list"))
        }
        other => other,
    }
}

/// What it printed.
pub(super) async fn logs(args: &LogsArgs) -> CommandResult {
    let (cluster, found) = find(&args.job, &args.places.cluster).await?;
    let wanted = logs::Wanted {
        follow: args.follow,
        ..logs::Wanted::default()
    };
    let printed = logs::print(&cluster, &found, wanted);
    printed.await.map(drop)
}

/// What the pods of a queue's job print, while it runs.
pub(super) async fn logs_of_queue(
    args: &LogsArgs,
    store: &Store,
    job: &Job,
    place: &ObjectRef,
) -> CommandResult {
    let target = ClusterTarget {
        namespace: Some(place.namespace.clone()),
        ..args.places.cluster.target()
    };
    let cluster = connect(&target).await?;
    let run = job.run_id.clone().unwrap_or_default();
    let mut log: Option<(String, LogLines)> = None;
    loop {
        let pods = cluster.pods((RUN_LABEL, &run)).await?;
        if !args.follow {
            return print_all(&cluster, &pods, place).await;
        }
        if let Some(pod) = pods.first() {
            let name = pod.name_any();
            if pods.len() > 1 && log.is_none() {
                output::note(&format!(
                    "of {} pods, the first one is followed: {name}",
                    pods.len()
                ));
            }
            let (_, lines) =
                log.get_or_insert_with(|| (name.clone(), LogLines::of(&job_container(pod))));
            lines.follow = true;
            // A program may print nothing for hours: the cluster is asked meanwhile whether it is there.
            let wait = Wait::on(format!("the cluster {}", cluster.url));
            let reading = lines.read(&cluster, &name, |text| {
                wait.progress();
                output::write_bytes(text).map_err(LineError::Output)
            });
            // Until its container has started, there is nothing to read; what else is wrong is heard below.
            if let Ok(Err(LineError::Output(error))) =
                wait.alive(reading, || cluster.answers()).await
            {
                return Err(CommandError::environment(error));
            }
        }
        // It ended, or is tried again.
        if store.job(&job.id)?.state != State::Running {
            return Ok(());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Why a line wasn't handed on.
enum LineError {
    Cluster(KubernetesError),
    Output(std::io::Error),
}

impl From<KubernetesError> for LineError {
    fn from(error: KubernetesError) -> Self {
        Self::Cluster(error)
    }
}

async fn print_all(cluster: &Cluster, pods: &[Pod], place: &ObjectRef) -> CommandResult {
    if pods.is_empty() {
        return Err(CommandError::work(format!(
            "the {} has no pod yet",
            place.shown()
        )));
    }
    for pod in pods {
        let name = pod.name_any();
        if pods.len() > 1 {
            output::write_bytes(format!("==> {name} <==\n").as_bytes())
                .map_err(CommandError::environment)?;
        }
        let mut lines = LogLines::of(&job_container(pod));
        let read = lines.read_whole(cluster, &name, |text| {
            output::write_bytes(text).map_err(LineError::Output)
        });
        match read.await {
            Ok(()) => {}
            Err(LineError::Output(error)) => return Err(CommandError::environment(error)),
            Err(LineError::Cluster(error)) if pods.len() == 1 => return Err(error.into()),
            Err(LineError::Cluster(error)) => output::warning(&format!("{name}: {error}")),
        }
    }
    Ok(())
}

/// The container that runs the job's image, which has the run's id.
fn job_container(pod: &Pod) -> String {
    let all = || pod.spec.iter().flat_map(|spec| &spec.containers);
    let own = all().find(|container| run_id(container).is_some());
    own.or(all().next())
        .map(|container| container.name.clone())
        .unwrap_or_default()
}

/// Removes one that isn't over.
pub(super) async fn cancel(typed: &str, at: &ClusterArgs) -> CommandResult {
    let (cluster, found) = find(typed, at).await?;
    let at = found.at();
    let name = word(&at.name);
    if at.point.is_some() {
        return cancel_point(&cluster, &found).await;
    }
    let kubectl = format!("kubectl delete {} {name}", at.kind.word());
    let (label, by) = MANAGED_BY;
    if found.job.labels().get(label).map(String::as_str) != Some(by) {
        let message = format!("the {at} isn't one of mlbuild's");
        return Err(CommandError::user(message).hint(kubectl));
    }
    if Seen::of(found.state()).state.is_final() {
        let message = format!("the {at} is over");
        let hint = format!("to remove it and its output: {kubectl}");
        return Err(CommandError::user(message).hint(hint));
    }
    cluster.remove(&at).await?;
    output::note(&format!("the {at} is removed"));
    Ok(())
}

/// Ends one point of an array, and none of the others. One that the Job would try again can't be ended alone, and
/// one that has no pod has nothing to be ended.
async fn cancel_point(cluster: &Cluster, found: &FoundJob) -> CommandResult {
    let at = found.at();
    let whole = format!("mlbuild jobs cancel {}", word(&at.name));
    let seen = Seen::of(found.state());
    if seen.state.is_final() {
        return Err(CommandError::user(format!("the {at} is over")));
    }
    let spec = found.job.spec.as_ref();
    if spec.and_then(|spec| spec.backoff_limit_per_index) != Some(0) {
        let message = format!("the {at} would be tried again: the array has --restart");
        return Err(CommandError::user(message).hint(format!("all of them: {whole}")));
    }
    let Some(pod) = found.pods.first().map(|pod| pod.name_any()) else {
        let message = format!("the {at} has no pod yet that could be ended");
        return Err(CommandError::user(message).hint(format!("all of them: {whole}")));
    };
    cluster.remove_pod(&pod).await?;
    output::note(&format!("the {at} is ended: its pod {pod} is removed"));
    Ok(())
}
