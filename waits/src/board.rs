//! All waits of the process, and the thread that looks at them.
//!
//! A thread, because a wait may block whatever thread it is on, and the runtime's too.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, Once, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::policy::policy;

/// Why somebody is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has made no progress for some time.
    Silent,
    /// It asked to be left alone, for [`Notice::limit`].
    Asked,
}

/// A wait that is worth a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Why.
    pub reason: Reason,
    /// Who is waited for, as in "the registry 127.0.0.1:5000".
    pub peer: String,
    /// Since the last progress.
    pub silent: Duration,
    /// After how long it will be given up; `None` where it won't.
    pub limit: Option<Duration>,
}

/// A wait on the board.
pub(crate) struct Entry {
    pub(crate) peer: String,
    /// When the last progress was.
    pub(crate) since: Instant,
    pub(crate) limit: Option<Duration>,
    /// Not while nobody is being waited for, as between two pieces of a body.
    pub(crate) is_active: bool,
    /// How often it was told of since the last progress.
    pub(crate) told: u32,
    /// What the peer has done so far, where that can be seen from outside: a change is progress.
    pub(crate) activity: Option<Box<dyn FnMut() -> u64 + Send>>,
    pub(crate) seen: u64,
    /// Frees a thread that waits, once the limit is reached.
    pub(crate) release: Option<Box<dyn FnOnce() + Send>>,
    pub(crate) is_released: bool,
}

impl Entry {
    pub(crate) fn restart(&mut self) {
        self.since = Instant::now();
        self.told = 0;
    }

    /// When the next notice is due.
    fn next_notice(&self, notice: Duration) -> Duration {
        match self.told {
            0 => notice,
            1 => notice * 3,
            2 => notice * 6,
            n => notice * 12 * (n - 2),
        }
    }
}

#[derive(Default)]
pub(crate) struct Board {
    next: u64,
    pub(crate) entries: BTreeMap<u64, Entry>,
}

type Listener = Box<dyn Fn(&Notice) + Send + Sync>;

static BOARD: Mutex<Board> = Mutex::new(Board {
    next: 0,
    entries: BTreeMap::new(),
});
static CHANGED: Condvar = Condvar::new();
static LISTENER: OnceLock<Listener> = OnceLock::new();
/// From this length on, a wait that was asked for is told of.
const TOLD_PAUSE: Duration = Duration::from_secs(1);
/// How often programs are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Has `listener` hear of waits that last. The first listener of the process stays.
pub fn on_notice(listener: impl Fn(&Notice) + Send + Sync + 'static) {
    let _ = LISTENER.set(Box::new(listener));
}

/// Waits for as long as a peer asked to be left alone, and tells of it.
pub async fn pause(peer: impl Into<String>, length: Duration) {
    if let Some(listener) = LISTENER.get().filter(|_| length >= TOLD_PAUSE) {
        listener(&Notice {
            reason: Reason::Asked,
            peer: peer.into(),
            silent: Duration::ZERO,
            limit: Some(length),
        });
    }
    tokio::time::sleep(length).await;
}

/// Ends the programs that are waited for, as before the process exits.
pub fn release_all() {
    let releases: Vec<_> = lock()
        .entries
        .values_mut()
        .filter_map(|entry| entry.release.take())
        .collect();
    for release in releases {
        release();
    }
}

pub(crate) fn lock() -> MutexGuard<'static, Board> {
    BOARD.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn add(entry: Entry) -> u64 {
    static WATCHER: Once = Once::new();
    WATCHER.call_once(|| {
        // Without the thread nothing is told, and waits on a runtime end all the same.
        let _ = std::thread::Builder::new()
            .name("waits".into())
            .spawn(watch);
    });
    let mut board = lock();
    let id = board.next;
    board.next += 1;
    let is_first = board.entries.is_empty();
    board.entries.insert(id, entry);
    drop(board);
    if is_first {
        CHANGED.notify_one();
    }
    id
}

fn watch() {
    let mut board = lock();
    loop {
        if board.entries.is_empty() {
            board = CHANGED.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
        let (notices, releases, pause) = look(&mut board);
        drop(board);
        for release in releases {
            release();
        }
        if let Some(listener) = LISTENER.get() {
            notices.iter().for_each(listener);
        }
        std::thread::sleep(pause);
        board = lock();
    }
}

type Found = (Vec<Notice>, Vec<Box<dyn FnOnce() + Send>>, Duration);

/// What is to be told and to be released now, and how long until something may be again.
fn look(board: &mut Board) -> Found {
    let (mut notices, mut releases) = (Vec::new(), Vec::new());
    let notice = policy().notice;
    // A wait that begins meanwhile is told of after `notice` at the earliest.
    let mut pause = notice.min(LOOK);
    for entry in board.entries.values_mut().filter(|entry| entry.is_active) {
        if let Some(activity) = &mut entry.activity {
            let now = activity();
            if now != entry.seen {
                entry.seen = now;
                entry.restart();
            }
        }
        let silent = entry.since.elapsed();
        let due = entry.next_notice(notice);
        if silent >= due {
            entry.told += 1;
            notices.push(Notice {
                reason: Reason::Silent,
                peer: entry.peer.clone(),
                silent,
                limit: entry.limit,
            });
        } else {
            pause = pause.min(due - silent);
        }
        if let Some(limit) = entry.limit
            && entry.release.is_some()
        {
            if silent >= limit {
                entry.is_released = true;
                releases.extend(entry.release.take());
            } else {
                pause = pause.min(limit - silent);
            }
        }
    }
    (notices, releases, pause.max(Duration::from_millis(20)))
}
