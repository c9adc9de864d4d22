//! Programs that are waited for: git, credential helpers.
//!
//! A program that works uses the processor, it or one that it started. One that hangs doesn't.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::{Stalled, Wait};

/// A wait on programs that this process started.
#[derive(Debug)]
pub struct ProgramWait {
    wait: Wait,
}

impl ProgramWait {
    /// A wait on the program with this id. It is killed, with those that it started, once it has
    /// done nothing for too long.
    pub fn on(peer: impl Into<String>, id: u32) -> Self {
        let activity = move || processor_time(id);
        let release = move || kill(id);
        Self {
            wait: Wait::blocking(peer.into(), activity, release),
        }
    }

    /// A wait on the programs that this thread starts from now on, by a library that doesn't tell their
    /// ids. A name says nothing: a program may become another one.
    pub fn on_children(peer: impl Into<String>) -> Self {
        let thread = std::fs::read_link("/proc/thread-self").unwrap_or_default();
        let list = Path::new("/proc").join(thread).join("children");
        let before = listed(&list);
        let started = move || -> Vec<u32> {
            let all = listed(&list).into_iter();
            all.filter(|id| !before.contains(id)).collect()
        };
        let same = started.clone();
        let activity = move || started().into_iter().map(processor_time).sum();
        let release = move || same().into_iter().for_each(kill);
        Self {
            wait: Wait::blocking(peer.into(), activity, release),
        }
    }

    /// Why the program was ended, where it was.
    pub fn stalled(&self) -> Option<Stalled> {
        self.wait.is_released().then(|| self.wait.stalled())
    }
}

/// The programs that one has started, from any of its threads.
fn children(id: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{id}/task")) else {
        return Vec::new();
    };
    let lists = tasks.flatten().map(|task| task.path().join("children"));
    lists.flat_map(|list| listed(&list)).collect()
}

/// The ids in a thread's list of what it started.
fn listed(list: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(list).unwrap_or_default();
    let ids = text.split_whitespace();
    ids.filter_map(|id| id.parse().ok()).collect()
}

/// Ticks that a program, and those that it started, have used so far.
fn processor_time(id: u32) -> u64 {
    let own = std::fs::read_to_string(format!("/proc/{id}/stat")).ok();
    // The name in parentheses may hold anything; after it, fields 14 to 17 are times.
    let own = own.as_deref().and_then(|stat| stat.rsplit_once(')'));
    let own: u64 = own.map_or(0, |(_, rest)| {
        let times = rest.split_whitespace().skip(11).take(4);
        times.filter_map(|time| time.parse::<u64>().ok()).sum()
    });
    own + children(id).into_iter().map(processor_time).sum::<u64>()
}

/// Kills a program, and those that it started first: they would go on without it.
fn kill(id: u32) {
    children(id).into_iter().for_each(kill);
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}
