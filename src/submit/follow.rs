//! A Job to its end: what it waits for is told, what its container prints is passed on.

use std::io;
use std::time::{Duration, Instant};

use mlbuild_waits::Wait;
use tokio_util::sync::CancellationToken;

use super::error::SubmitError;
use super::ranks::Ranks;
use crate::kubernetes::{Cluster, End, FoundJob, JobRef, KubernetesError, LogLines, State};
use crate::reporter::Reporter;

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
pub(super) async fn read_on(
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

/// Follows a Job to its end. Of a Job of several pods it hands on what all of them print, or what the one with
/// the number `only` does.
///
/// # Errors
/// Where a container can't start, somebody removes the Job, or the cluster is lost.
pub async fn follow(
    cluster: &Cluster,
    job: &JobRef,
    only: Option<u32>,
    cancelled: &CancellationToken,
    sink: LogSink<'_>,
    reporter: &dyn Reporter,
) -> Result<FollowEnd, SubmitError> {
    let watched = Watched::new(cluster, job, reporter);
    tokio::select! {
        () = cancelled.cancelled() => Ok(FollowEnd::Cancelled),
        end = see_the_end(watched, only, sink) => end.map(FollowEnd::Ended),
    }
}

async fn see_the_end(
    mut watched: Watched<'_>,
    only: Option<u32>,
    sink: LogSink<'_>,
) -> Result<End, SubmitError> {
    let found = watched.find().await?;
    if found.ranks().is_some() {
        return Ranks::new(watched, sink, only).see_the_end(found).await;
    }
    let mut follower = Follower {
        watched,
        sink,
        pod: String::new(),
        log: LogLines::default(),
    };
    follower.see_the_end(found).await
}

/// A Job that is looked at again and again.
pub(super) struct Watched<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) job: &'a JobRef,
    reporter: &'a dyn Reporter,
    /// What was told last.
    told: String,
    /// Since when the cluster hasn't answered.
    lost: Option<Instant>,
}

impl<'a> Watched<'a> {
    pub(super) fn new(cluster: &'a Cluster, job: &'a JobRef, reporter: &'a dyn Reporter) -> Self {
        Self {
            cluster,
            job,
            reporter,
            told: String::new(),
            lost: None,
        }
    }

    /// The Job as it is now. A cluster that doesn't answer for a moment loses no Job.
    pub(super) async fn find(&mut self) -> Result<FoundJob, SubmitError> {
        loop {
            match self.cluster.find(self.job).await {
                Ok(found) => {
                    self.lost = None;
                    return Ok(found);
                }
                Err(error) => self.wait_for_answer(error).await?,
            }
        }
    }

    pub(super) fn tell(&mut self, text: String) {
        if self.told != text {
            self.reporter.note(text.as_str());
            self.told = text;
        }
    }

    async fn wait_for_answer(&mut self, error: KubernetesError) -> Result<(), SubmitError> {
        let since = *self.lost.get_or_insert_with(Instant::now);
        match error {
            KubernetesError::NotFound { .. } => Err(SubmitError::Removed {
                job: self.job.name.clone(),
            }),
            KubernetesError::Unreachable { .. } | KubernetesError::Failed { .. }
                if since.elapsed() < ANSWER_TIMEOUT =>
            {
                self.tell(format!("{error}; asking again"));
                tokio::time::sleep(RETRY_PAUSE).await;
                Ok(())
            }
            source => Err(SubmitError::Lost {
                job: self.job.name.clone(),
                source,
            }),
        }
    }
}

struct Follower<'a> {
    watched: Watched<'a>,
    sink: LogSink<'a>,
    /// The pod whose log is being read.
    pod: String,
    log: LogLines,
}

impl Follower<'_> {
    async fn see_the_end(&mut self, mut found: FoundJob) -> Result<End, SubmitError> {
        loop {
            let Watched { cluster, job, .. } = self.watched;
            match found.state() {
                State::Waiting { why } => {
                    let no_pod = if found.pods.is_empty() {
                        cluster.why_no_pod(job).await
                    } else {
                        None
                    };
                    let why = no_pod.map_or(why, |said| format!("no pod can be made: {said}"));
                    self.watched.tell(format!("waiting: {why}"));
                }
                State::Stuck { pod, why } => {
                    return Err(SubmitError::Stuck { pod, why });
                }
                State::Running { pod } => {
                    self.watched.tell(format!("running in {pod}"));
                    self.print(&pod, &found, true).await?;
                }
                State::Again { pod } => {
                    self.print(&pod, &found, false).await?;
                    self.watched
                        .tell(format!("{pod} failed; the Job makes another pod"));
                }
                State::Ended(end) => {
                    if let Some(pod) = &end.pod {
                        self.print(pod, &found, false).await?;
                    }
                    return Ok(end);
                }
            }
            cluster.changed(&found).await;
            found = self.watched.find().await?;
        }
    }

    /// The log, from where it was left.
    async fn print(&mut self, pod: &str, of: &FoundJob, follow: bool) -> Result<(), SubmitError> {
        if self.pod != pod {
            pod.clone_into(&mut self.pod);
            self.log = LogLines::of(of.container());
        }
        self.log.follow = follow;
        let cluster = self.watched.cluster;
        let printed = if follow {
            read_on(&mut self.log, cluster, pod, self.sink).await
        } else {
            read(&mut self.log, cluster, pod, self.sink).await
        };
        match printed {
            // Its node may be gone, or not know of it yet: the pod's state tells what matters.
            Err(LogError::Cluster(error)) => {
                self.watched.tell(format!("the log can't be read: {error}"));
                Ok(())
            }
            other => Ok(other?),
        }
    }
}
