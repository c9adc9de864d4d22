//! One wait on one peer.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::board::{self, Entry};
use crate::policy::policy;

/// A peer that did nothing for too long.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer from {peer} for {} s", .silent.as_secs())]
pub struct Stalled {
    /// Who was waited for.
    pub peer: String,
    /// How long without progress.
    pub silent: Duration,
}

/// A wait on a peer, from when it is made until it is dropped.
#[derive(Debug)]
pub struct Wait {
    id: u64,
}

impl Drop for Wait {
    fn drop(&mut self) {
        board::lock().entries.remove(&self.id);
    }
}

impl Wait {
    /// Begins a wait; `peer` as in "the registry 127.0.0.1:5000".
    pub fn on(peer: impl Into<String>) -> Self {
        Self::with(peer.into(), policy().stall)
    }

    /// As [`Wait::on`], for work that may take so many times as long as the policy's limit.
    pub fn on_slow(peer: impl Into<String>, times: u32) -> Self {
        Self::with(peer.into(), policy().stall.map(|limit| limit * times))
    }

    fn with(peer: String, limit: Option<Duration>) -> Self {
        let entry = Entry {
            peer,
            since: Instant::now(),
            limit,
            is_active: true,
            told: 0,
            activity: None,
            seen: 0,
            release: None,
            is_released: false,
        };
        Self {
            id: board::add(entry),
        }
    }

    /// A wait that blocks its thread: a change of what `activity` gives is progress, and `release`
    /// frees the thread once the limit is reached.
    pub(crate) fn blocking(
        peer: String,
        mut activity: impl FnMut() -> u64 + Send + 'static,
        release: impl FnOnce() + Send + 'static,
    ) -> Self {
        let seen = activity();
        let wait = Self::on(peer);
        wait.change(|entry| {
            entry.seen = seen;
            entry.activity = Some(Box::new(activity));
            entry.release = Some(Box::new(release));
        });
        wait
    }

    fn change<T>(&self, change: impl FnOnce(&mut Entry) -> T) -> T {
        let mut board = board::lock();
        let entry = board.entries.get_mut(&self.id);
        change(entry.expect("it is on the board until it is dropped"))
    }

    /// The peer did something.
    pub fn progress(&self) {
        self.change(Entry::restart);
    }

    /// From now on so many times the policy's limit: the peer has all it needs, and has to work.
    pub fn gets_slow(&self, times: u32) {
        self.change(|entry| {
            entry.restart();
            entry.limit = policy().stall.map(|limit| limit * times);
        });
    }

    /// Whether the wait counts; it begins again with `silent` behind it.
    pub(crate) fn count(&self, is_active: bool, silent: Duration) {
        self.change(|entry| {
            entry.is_active = is_active;
            entry.since = Instant::now().checked_sub(silent).unwrap_or(entry.since);
        });
    }

    /// Since the last progress.
    pub fn silent(&self) -> Duration {
        self.change(|entry| entry.since.elapsed())
    }

    pub(crate) fn is_released(&self) -> bool {
        self.change(|entry| entry.is_released)
    }

    /// The error, if it is given up now.
    pub fn stalled(&self) -> Stalled {
        self.change(|entry| Stalled {
            peer: entry.peer.clone(),
            silent: entry.since.elapsed(),
        })
    }

    /// Returns when the limit is reached.
    pub async fn until_stalled(&self) -> Stalled {
        loop {
            let (silent, limit) = self.change(|entry| (entry.since.elapsed(), entry.limit));
            match limit {
                None => sleep(Duration::from_secs(3600)).await,
                Some(limit) if silent >= limit => return self.stalled(),
                Some(limit) => sleep(limit - silent).await,
            }
        }
    }

    /// Waits for work of the peer.
    ///
    /// # Errors
    /// [`Stalled`], where there is no progress for too long.
    pub async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, Stalled> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            stalled = self.until_stalled() => Err(stalled),
        }
    }

    /// Waits for work that may take hours and say nothing meanwhile: while nothing is heard,
    /// `question` asks the peer for a sign of life, which is true where it gave one.
    ///
    /// # Errors
    /// [`Stalled`], where there is neither progress nor a sign of life for too long.
    pub async fn alive<T, Q: Future<Output = bool>>(
        &self,
        work: impl Future<Output = T>,
        question: impl Fn() -> Q,
    ) -> Result<T, Stalled> {
        let asking = async {
            let notice = policy().notice;
            loop {
                let silent = self.silent();
                if silent < notice / 2 {
                    sleep(notice / 2 - silent).await;
                } else if let Ok(true) = timeout(notice * 6, question()).await {
                    self.progress();
                } else {
                    sleep(notice / 5).await;
                }
            }
        };
        tokio::select! {
            biased;
            done = self.within(work) => done,
            () = asking => unreachable!("it asks until it is dropped"),
        }
    }
}
