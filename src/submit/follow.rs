//! A Job to its end: what it waits for is told, what its container prints is passed on.

use std::io;
use std::time::{Duration, Instant};

use mlbuild_waits::Wait;
use tokio_util::sync::CancellationToken;

use super::error::SubmitError;
use crate::kubernetes::{Cluster, End, KubernetesError, LogLines, State};
use crate::reporter::Reporter;
use crate::runtime::kubernetes::CONTAINER;

/// How long a cluster that doesn't answer is asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// Takes what a container prints, line by line.
pub type LogSink<'a> = &'a dyn Fn(&[u8]) -> io::Result<()>;

/// Why a log wasn't read to its end.
pub(super) enum LogError {
    /// The cluster refuses.
    Cluster(KubernetesError),
    /// Whoever takes the lines does.
    Sink(io::Error),
}

impl From<KubernetesError> for LogError {
    fn from(error: KubernetesError) -> Self {
        Self::Cluster(error)
    }
}

impl From<LogError> for SubmitError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Cluster(error) => error.into(),
            LogError::Sink(error) => Self::Output(error),
        }
    }
}

/// Reads a log up to its end.
pub(super) async fn read(
    log: &mut LogLines,
    cluster: &Cluster,
    pod: &str,
    sink: LogSink<'_>,
) -> Result<(), LogError> {
    let line = |bytes: &[u8]| sink(bytes).map_err(LogError::Sink);
    log.read_whole(cluster, pod, line).await
}

/// Reads a log for as long as it comes, up to a cut. A program may print nothing for hours: the cluster is asked
/// meanwhile whether it is still there.
async fn read_on(
    log: &mut LogLines,
    cluster: &Cluster,
    pod: &str,
    sink: LogSink<'_>,
) -> Result<(), LogError> {
    let wait = Wait::on(format!("the cluster {}", cluster.url));
    let line = |bytes: &[u8]| {
        wait.progress();
        sink(bytes).map_err(LogError::Sink)
    };
    let reading = log.read(cluster, pod, line);
    match wait.alive(reading, || cluster.answers()).await {
        Ok(end) => end.map(drop),
        // Whoever follows asks for the Job next, and hears what is wrong.
        Err(_) => Ok(()),
    }
}

/// How it ended, for whoever waited.
#[derive(Debug)]
pub enum FollowEnd {
    /// The Job is over.
    Ended(End),
    /// Ctrl-C.
    Cancelled,
}

/// Follows a Job to its end.
///
/// # Errors
/// Where its container can't start, somebody removes it, or the cluster is lost.
pub async fn follow(
    cluster: &Cluster,
    job: &str,
    cancelled: &CancellationToken,
    sink: LogSink<'_>,
    reporter: &dyn Reporter,
) -> Result<FollowEnd, SubmitError> {
    let mut follower = Follower {
        cluster,
        job,
        sink,
        reporter,
        told: String::new(),
        pod: String::new(),
        log: LogLines::default(),
        lost: None,
    };
    tokio::select! {
        () = cancelled.cancelled() => Ok(FollowEnd::Cancelled),
        end = follower.see_the_end() => end.map(FollowEnd::Ended),
    }
}

struct Follower<'a> {
    cluster: &'a Cluster,
    job: &'a str,
    sink: LogSink<'a>,
    reporter: &'a dyn Reporter,
    /// What was told last.
    told: String,
    /// The pod whose log is being read.
    pod: String,
    log: LogLines,
    /// Since when the cluster hasn't answered.
    lost: Option<Instant>,
}

impl Follower<'_> {
    async fn see_the_end(&mut self) -> Result<End, SubmitError> {
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
                    let no_pod = if found.pods.is_empty() {
                        self.cluster.why_no_pod(self.job).await
                    } else {
                        None
                    };
                    let why = no_pod.map_or(why, |said| format!("no pod can be made: {said}"));
                    self.tell(format!("waiting: {why}"));
                }
                State::Stuck { pod, why } => {
                    return Err(SubmitError::Stuck { pod, why });
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
    async fn print(&mut self, pod: &str, follow: bool) -> Result<(), SubmitError> {
        if self.pod != pod {
            pod.clone_into(&mut self.pod);
            self.log = LogLines::of(CONTAINER);
        }
        self.log.follow = follow;
        let printed = if follow {
            read_on(&mut self.log, self.cluster, pod, self.sink).await
        } else {
            read(&mut self.log, self.cluster, pod, self.sink).await
        };
        match printed {
            // Its node may be gone, or not know of it yet: the pod's state tells what matters.
            Err(LogError::Cluster(error)) => {
                self.tell(format!("the log can't be read: {error}"));
                Ok(())
            }
            other => Ok(other?),
        }
    }

    fn tell(&mut self, text: String) {
        if self.told != text {
            self.reporter.note(text.as_str());
            self.told = text;
        }
    }

    /// A cluster that doesn't answer for a moment loses no Job.
    async fn lost(&mut self, error: KubernetesError) -> Result<(), SubmitError> {
        let since = *self.lost.get_or_insert_with(Instant::now);
        match error {
            KubernetesError::NotFound { .. } => Err(SubmitError::Removed {
                job: self.job.to_owned(),
            }),
            KubernetesError::Unreachable { .. } | KubernetesError::Failed { .. }
                if since.elapsed() < ANSWER_TIMEOUT =>
            {
                self.tell(format!("{error}; asking again"));
                tokio::time::sleep(RETRY_PAUSE).await;
                Ok(())
            }
            source => Err(SubmitError::Lost {
                job: self.job.to_owned(),
                source,
            }),
        }
    }
}
