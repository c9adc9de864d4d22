//! Processes by id and start time, so that one that has since taken an old id
//! is never mistaken for ours.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// A process that can be told from a later one with its id.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub struct ProcessId {
    /// Its id.
    pub id: u32,
    /// Clock ticks from boot to its start, as `/proc/ID/stat` has them.
    pub started: u64,
}

impl ProcessId {
    /// The process with this id now, if there is one.
    pub fn of(id: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The second field, a name in parentheses, may hold anything.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (state != "Z").then_some(Self { id, started })
    }

    /// Whether it still runs.
    pub fn is_alive(self) -> bool {
        Self::of(self.id) == Some(self)
    }

    /// Asks it to end; after `patience` ends it. Returns when it is gone.
    pub async fn stop(self, patience: Duration) {
        let deadline = Instant::now() + patience;
        self.signal(Signal::TERM);
        while self.is_alive() {
            if Instant::now() > deadline {
                self.signal(Signal::KILL);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn signal(self, signal: Signal) {
        if self.is_alive()
            && let Some(pid) = Pid::from_raw(self.id.cast_signed())
        {
            let _ = kill_process(pid, signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_known_by_its_start_too() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("sleep");
        let id = ProcessId::of(child.id()).expect("it runs");
        assert!(id.is_alive());
        assert!(
            !ProcessId {
                started: id.started + 1,
                ..id
            }
            .is_alive()
        );
        id.stop(Duration::from_secs(5)).await;
        assert!(!id.is_alive());
        child.wait().expect("reaped");
    }
}
