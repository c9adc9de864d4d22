//! A Job of several pods to its end: what each of them prints, with its number before each line.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;

use super::error::SubmitError;
use super::follow::{LogError, LogSink, Watched, read, read_on};
use crate::kubernetes::{Cluster, End, FoundJob, LogLines, Rank, State};

/// When one failed, the others are ended by the cluster, for which it gives them half a minute. This long
/// their last words are waited for.
const LAST_WORDS: Duration = Duration::from_secs(60);
/// When the cluster says that all are over, what is still on its way comes within this.
const ON_THE_WAY: Duration = Duration::from_secs(5);
/// At least this lies between two requests for a log that ends at once.
const LOG_PAUSE: Duration = Duration::from_millis(200);
/// How often the rest of a log is asked for, where the cluster can't be reached.
const TRIES: u32 = 5;

/// Hands on a line of one of several pods: its number stands before it, and its end after it.
pub(super) fn hand_on(number: u32, line: &[u8], sink: LogSink<'_>) -> std::io::Result<()> {
    let mut whole = format!("[{number}] ").into_bytes();
    whole.extend_from_slice(line);
    if !line.ends_with(b"\n") {
        whole.push(b'\n');
    }
    sink(&whole)
}

/// How far the log of one pod was read.
#[derive(Default)]
struct RankLog {
    pod: String,
    /// Where it stopped; none while it is being read.
    idle: Option<LogLines>,
    is_read: bool,
    failures: u32,
    has_told: bool,
}

/// A log that was read up to its end, or a cut.
struct Stopped {
    number: u32,
    pod: String,
    log: LogLines,
    read: Result<(), LogError>,
}

pub(super) struct Ranks<'a> {
    watched: Watched<'a>,
    sink: LogSink<'a>,
    /// The one whose log is wanted; all where none is named.
    only: Option<u32>,
    logs: BTreeMap<u32, RankLog>,
    reading: FuturesUnordered<LocalBoxFuture<'a, Stopped>>,
    /// Since when one has failed, or all have ended.
    ending: Option<Instant>,
}

impl<'a> Ranks<'a> {
    pub(super) fn new(watched: Watched<'a>, sink: LogSink<'a>, only: Option<u32>) -> Self {
        Self {
            watched,
            sink,
            only,
            logs: BTreeMap::new(),
            reading: FuturesUnordered::new(),
            ending: None,
        }
    }

    /// Follows all of them to their end, which is that of the first one that failed.
    pub(super) async fn see_the_end(&mut self, mut found: FoundJob) -> Result<End, SubmitError> {
        loop {
            let ranks = found.ranks().unwrap_or_default();
            for rank in &ranks {
                self.read_on(rank);
            }
            match found.state() {
                State::Stuck { pod, why } => return Err(SubmitError::Stuck { pod, why }),
                State::Ended(end) => {
                    let since = *self.ending.get_or_insert_with(Instant::now);
                    self.tell_end(&ranks, &end);
                    if found.is_over() || since.elapsed() > LAST_WORDS || self.has_all(&ranks) {
                        self.drain().await?;
                        return Ok(end);
                    }
                }
                state => self.tell_state(&found, &ranks, &state).await,
            }
            tokio::select! {
                Some(stopped) = self.reading.next(), if !self.reading.is_empty() => {
                    self.stopped(stopped)?;
                    tokio::time::sleep(LOG_PAUSE).await;
                }
                () = self.watched.cluster.changed(&found) => {}
            }
            found = self.watched.find().await?;
        }
    }

    /// Reads on in the log of one, where it isn't being read.
    fn read_on(&mut self, rank: &Rank) {
        let (Some(pod), None | Some(true)) = (&rank.pod, self.only.map(|only| only == rank.number))
        else {
            return;
        };
        let follow = match rank.state {
            State::Running { .. } => true,
            State::Ended(_) | State::Again { .. } => false,
            State::Waiting { .. } | State::Stuck { .. } => return,
        };
        let known = self.logs.entry(rank.number).or_default();
        if known.pod != *pod {
            *known = RankLog {
                pod: pod.clone(),
                idle: Some(LogLines::of(self.watched.job.kind.container())),
                ..RankLog::default()
            };
        }
        if known.is_read {
            return;
        }
        let Some(mut log) = known.idle.take() else {
            return;
        };
        log.follow = follow;
        let (cluster, sink, number, pod) =
            (self.watched.cluster, self.sink, rank.number, pod.clone());
        let is_alone = self.only.is_some();
        self.reading.push(Box::pin(async move {
            let line = |line: &[u8]| {
                if is_alone {
                    sink(line)
                } else {
                    hand_on(number, line, sink)
                }
            };
            let read = if follow {
                read_on(&mut log, cluster, &pod, &line).await
            } else {
                read(&mut log, cluster, &pod, &line).await
            };
            Stopped {
                number,
                pod,
                log,
                read,
            }
        }));
    }

    /// A log has come to its end, or was cut.
    fn stopped(&mut self, stopped: Stopped) -> Result<(), SubmitError> {
        let Stopped {
            number,
            pod,
            log,
            read,
        } = stopped;
        let known = self.logs.entry(number).or_default();
        if known.pod != pod {
            return Ok(());
        }
        let is_last = !log.follow;
        known.idle = Some(log);
        match read {
            Ok(()) => known.is_read = is_last,
            Err(LogError::Sink(error)) => return Err(SubmitError::Output(error)),
            Err(LogError::Cluster(error)) => {
                known.failures += u32::from(is_last);
                known.is_read = is_last && (!error.may_pass() || known.failures >= TRIES);
                if !known.has_told {
                    known.has_told = true;
                    self.watched
                        .tell(format!("the log of rank {number} can't be read: {error}"));
                }
            }
        }
        Ok(())
    }

    /// Whether all have ended, and all that they printed is read.
    fn has_all(&self, ranks: &[Rank]) -> bool {
        ranks.iter().all(|rank| {
            let is_over = matches!(rank.state, State::Ended(_));
            let is_wanted = self.only.is_none_or(|only| only == rank.number);
            let is_read = self.logs.get(&rank.number).is_some_and(|log| log.is_read);
            is_over && (is_read || !is_wanted)
        })
    }

    /// Waits for what is on its way.
    async fn drain(&mut self) -> Result<(), SubmitError> {
        let until = tokio::time::Instant::now() + ON_THE_WAY;
        while let Ok(Some(stopped)) = tokio::time::timeout_at(until, self.reading.next()).await {
            let (number, pod) = (stopped.number, stopped.pod.clone());
            let was_last = !stopped.log.follow;
            self.stopped(stopped)?;
            // What came after the last answer.
            if !was_last {
                self.read_on(&Rank {
                    number,
                    pod: Some(pod.clone()),
                    state: State::Again { pod },
                });
            }
        }
        self.reading.clear();
        Ok(())
    }

    fn tell_end(&mut self, ranks: &[Rank], end: &End) {
        let is_left = ranks
            .iter()
            .any(|rank| matches!(rank.state, State::Running { .. }));
        if let (Some(why), true) = (&end.why, is_left) {
            self.watched.tell(format!("{why}; the others are ended"));
        }
    }

    async fn tell_state(&mut self, found: &FoundJob, ranks: &[Rank], state: &State) {
        let running = ranks
            .iter()
            .filter(|rank| matches!(rank.state, State::Running { .. }));
        let running = running.count();
        let waiting = ranks.iter().find_map(|rank| match &rank.state {
            State::Waiting { why } => Some((rank.number, why.clone())),
            _ => None,
        });
        let text = match (waiting, state) {
            (Some((_, why)), State::Waiting { .. }) => {
                let no_pod = if found.pods.is_empty() {
                    self.watched.cluster.why_no_pod(self.watched.job).await
                } else {
                    None
                };
                match no_pod {
                    Some(said) => format!("waiting: no pod can be made: {said}"),
                    None => format!("waiting: {why}"),
                }
            }
            (Some((number, why)), _) => format!(
                "{running} of {} nodes run; rank {number} waits: {why}",
                ranks.len()
            ),
            (None, State::Running { .. }) if running == ranks.len() => {
                format!("{running} nodes run")
            }
            _ => return,
        };
        self.watched.tell(text);
    }
}

/// Hands on what the pods of a Job have printed so far, one after the other: all of it, or so many of the last
/// lines of each.
///
/// # Errors
/// Where none has printed anything that could be read.
pub(super) async fn last_lines(
    cluster: &Cluster,
    (ranks, container): (&[Rank], &str),
    tail: Option<u32>,
    sink: LogSink<'_>,
) -> Result<usize, SubmitError> {
    let mut read_of = 0;
    for Rank { number, pod, state } in ranks {
        let has_begun = !matches!(state, State::Waiting { .. } | State::Stuck { .. });
        let Some(pod) = pod.as_ref().filter(|_| has_begun) else {
            continue;
        };
        let mut log = LogLines::of(container);
        log.tail = tail.map(i64::from);
        let line = |line: &[u8]| hand_on(*number, line, sink);
        read(&mut log, cluster, pod, &line).await?;
        read_of += 1;
    }
    Ok(read_of)
}
