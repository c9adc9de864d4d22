//! A job at work, as others of the agent's threads see it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::builds::RunningBuild;
use super::containers::Containers;

/// What of a job can be ended: its build, then its container.
#[derive(Default)]
pub(super) struct JobHandle {
    cancelled: AtomicBool,
    container: Mutex<Option<String>>,
    build: Mutex<Option<Arc<dyn RunningBuild>>>,
}

impl JobHandle {
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Has it end.
    pub(super) fn cancel(&self, containers: &Arc<Containers>) {
        if self.cancelled.swap(true, Ordering::SeqCst) {
            return;
        }
        self.end_build();
        let container = locked(&self.container);
        if let Some(id) = container.clone() {
            let containers = containers.clone();
            thread::spawn(move || containers.stop(&id));
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

    /// The container runs: from now on a wish to end stops it.
    pub(super) fn set_container(&self, containers: &Containers, id: &str) {
        *locked(&self.container) = Some(id.to_owned());
        if self.is_cancelled() {
            containers.stop(id);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
