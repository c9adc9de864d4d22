//! A job at work, as others of the agent's threads see it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::builds::RunningBuild;

/// Stops what was started for a job.
pub(super) type Stop = Arc<dyn Fn() + Send + Sync>;

/// What of a job can be ended: its build, then what was started.
#[derive(Default)]
pub(super) struct JobHandle {
    cancelled: AtomicBool,
    stop: Mutex<Option<Stop>>,
    build: Mutex<Option<Arc<dyn RunningBuild>>>,
}

impl JobHandle {
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Has it end.
    pub(super) fn cancel(&self) {
        if self.cancelled.swap(true, Ordering::SeqCst) {
            return;
        }
        self.end_build();
        if let Some(stop) = locked(&self.stop).clone() {
            thread::spawn(move || stop());
        }
    }

    pub(super) fn set_build(&self, build: Option<Arc<dyn RunningBuild>>) {
        *locked(&self.build) = build;
    }

    pub(super) fn end_build(&self) {
        if let Some(build) = &*locked(&self.build) {
            build.end();
        }
    }

    /// Something runs: from now on a wish to end stops it.
    pub(super) fn set_stop(&self, stop: Stop) {
        *locked(&self.stop) = Some(stop.clone());
        if self.is_cancelled() {
            stop();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
