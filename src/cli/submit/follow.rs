//! A Job to its end: what it waits for is told, what its container prints is passed on.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::cli::output;
use crate::error::{CommandError, CommandResult, ErrorKind};
use crate::kubernetes::{Cluster, End, KubernetesError, LogLines, State};
use crate::runtime::kubernetes::CONTAINER;

/// How long a cluster that doesn't answer is asked again.
const PATIENCE: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_secs(2);

/// How it ended, for whoever waited.
#[derive(Debug)]
pub(in crate::cli) enum Outcome {
    /// The Job is over.
    Ended(End),
    /// Ctrl-C.
    Cancelled,
}

/// Follows a Job to its end.
///
/// # Errors
/// Where its container can't start, somebody removes it, or the cluster is lost.
pub(in crate::cli) async fn follow(
    cluster: &Cluster,
    job: &str,
    cancelled: &CancellationToken,
) -> CommandResult<Outcome> {
    let mut follower = Follower {
        cluster,
        job,
        told: String::new(),
        pod: String::new(),
        log: LogLines::default(),
        lost: None,
    };
    tokio::select! {
        () = cancelled.cancelled() => Ok(Outcome::Cancelled),
        end = follower.see_the_end() => end.map(Outcome::Ended),
    }
}

struct Follower<'a> {
    cluster: &'a Cluster,
    job: &'a str,
    /// What was told last.
    told: String,
    /// The pod whose log is being read.
    pod: String,
    log: LogLines,
    /// Since when the cluster hasn't answered.
    lost: Option<Instant>,
}

impl Follower<'_> {
    async fn see_the_end(&mut self) -> CommandResult<End> {
        loop {
            let found = match self.cluster.find(self.job).await {
                Ok(found) => found,
                Err(error) => {
                    self.lost(error).await?;
                    continue;
                }
            };
            self.lost = None;
            match found.state(CONTAINER) {
                State::Waiting { why } => {
                    let no_pod = match found.pods.is_empty() {
                        true => self.cluster.why_no_pod(self.job).await,
                        false => None,
                    };
                    let why = no_pod.map_or(why, |said| format!("no pod can be made: {said}"));
                    self.tell(format!("waiting: {why}"));
                }
                State::Stuck { pod, why } => {
                    return Err(CommandError::runtime(format!(
                        "the container of {pod} can't start: {why}"
                    ))
                    .hint("is the image there, and may the cluster pull it? --pull-secret NAME, --local-image"));
                }
                State::Running { pod } => {
                    self.tell(format!("running in {pod}"));
                    self.print(&pod, true).await?;
                }
                State::Again { pod } => {
                    self.print(&pod, false).await?;
                    self.tell(format!("{pod} failed; the Job makes another pod"));
                }
                State::Ended(end) => {
                    if let Some(pod) = &end.pod {
                        self.print(pod, false).await?;
                    }
                    return Ok(end);
                }
            }
            self.cluster.changed(&found).await;
        }
    }

    /// The log, from where it was left.
    async fn print(&mut self, pod: &str, follow: bool) -> CommandResult {
        if self.pod != pod {
            pod.clone_into(&mut self.pod);
            self.log = LogLines::of(CONTAINER);
        }
        self.log.follow = follow;
        let read = self.log.read(self.cluster, pod, output::answer_bytes).await;
        match read {
            // Its node may be gone, or not know of it yet: the pod's state tells what matters.
            Err(error) if error.kind != ErrorKind::Work => {
                self.tell(format!("the log can't be read: {}", error.message()));
                Ok(())
            }
            other => other,
        }
    }

    fn tell(&mut self, text: String) {
        if self.told != text {
            output::note(&text);
            self.told = text;
        }
    }

    /// A cluster that doesn't answer for a moment loses no Job.
    async fn lost(&mut self, error: KubernetesError) -> CommandResult {
        let since = *self.lost.get_or_insert_with(Instant::now);
        match error {
            KubernetesError::NotFound { .. } => Err(CommandError::work(format!(
                "the Job {} was removed while it ran",
                self.job
            ))),
            KubernetesError::Unreachable { .. } | KubernetesError::Failed { .. }
                if since.elapsed() < PATIENCE =>
            {
                self.tell(format!("{error}; asking again"));
                tokio::time::sleep(PAUSE).await;
                Ok(())
            }
            error => Err(CommandError::from(error).hint(format!(
                "the Job may run on; to look again: mlbuild logs -f {}",
                self.job
            ))),
        }
    }
}
