//! Containers, as an agent needs them: calls wait while the daemon is away.

use std::future::Future;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mlbuild_docker::containers::{ContainerEvent, ContainerState};

use tokio::runtime::Handle;

use super::container_api::{CallError, ContainerApi, Podman};
use super::labels;
use crate::runtime::RuntimeCli;
use crate::start::StartError;
use crate::start::job::Engine;

/// How long before the daemon is asked again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How far back events are looked for, in seconds.
const EVENTS_SECONDS: i64 = 24 * 3600;
/// Lines, and bytes, of a job's output that are kept.
const LINES: &str = "2000";
const BYTES: usize = 64 << 10;

/// How often Podman is asked for what others left unstarted: each time is a process.
const PODMAN_INTERVAL: Duration = Duration::from_secs(60);

pub(super) struct Containers {
    pub(super) engine: Engine,
    /// Does the calls. They are waited for on the agent's own threads, never on the runtime's.
    runtime: Handle,
    /// When Podman was asked last.
    asked: Mutex<Option<Instant>>,
}

/// A container of a job that doesn't run.
pub(super) struct LeftContainer {
    pub(super) id: String,
    pub(super) job: String,
    /// Of the assignment that it was made under.
    pub(super) fencing_token: i64,
    /// Whether it goes when it has ended.
    pub(super) is_to_go: bool,
    /// Whether it ran.
    pub(super) is_ended: bool,
}

impl Containers {
    /// The containers of an engine that answers.
    ///
    /// # Errors
    /// Where it doesn't.
    pub(super) fn of(cli: RuntimeCli, runtime: Handle) -> Result<Self, StartError> {
        let engine = runtime.block_on(Engine::find(cli))?;
        Ok(Self {
            engine,
            runtime,
            asked: Mutex::default(),
        })
    }

    /// Waits for one call on this thread.
    pub(super) fn wait<T>(&self, call: impl Future<Output = T>) -> T {
        self.runtime.block_on(call)
    }

    fn calls(&self) -> ContainerApi<'_> {
        match self.engine.api() {
            Some(api) => ContainerApi::Docker(api),
            None => ContainerApi::Podman(Podman(self.engine.program())),
        }
    }

    /// Starts a container.
    ///
    /// # Errors
    /// Where it didn't start: a daemon that goes away meanwhile is asked what it did.
    pub(super) fn start(&self, id: &str) -> Result<(), String> {
        let Err(error) = self.wait(self.calls().start(id)) else {
            return Ok(());
        };
        match (self.state(id), &error) {
            (Some(state), _) if state.running => Ok(()),
            // Podman has said all that there is to say.
            (_, CallError::Refused(words)) if self.engine.is_podman() => Err(words.clone()),
            (Some(state), _) if state.status != "created" && state.error.is_empty() => Ok(()),
            (Some(state), CallError::Refused(_)) if !state.error.is_empty() => Err(state.error),
            (_, CallError::Refused(words)) => Err(words.clone()),
            // Nobody heard the answer. One that can be removed didn't start, and won't.
            _ => {
                if self.remove(id) {
                    Err(error.words().to_owned())
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Whether a container goes when it has ended.
    pub(super) fn is_to_go(&self, id: &str) -> bool {
        let found = self.wait(self.calls().inspect(id)).ok().flatten();
        let labels = found.and_then(|container| container.config.labels);
        labels.is_some_and(|labels| labels.contains_key(labels::REMOVE))
    }

    /// What a container does; `None` if it is gone.
    pub(super) fn state(&self, id: &str) -> Option<ContainerState> {
        loop {
            match self.wait(self.calls().inspect(id)) {
                Ok(found) => return found.map(|container| container.state),
                Err(_) => std::thread::sleep(RETRY_INTERVAL),
            }
        }
    }

    /// Waits until a container has ended; `None` if it is gone.
    pub(super) fn end(&self, id: &str) -> Option<ContainerState> {
        loop {
            let ended = self.wait(self.calls().wait(id));
            match self.state(id) {
                Some(state) if state.running || state.status == "created" => {
                    if ended.is_err() {
                        std::thread::sleep(RETRY_INTERVAL);
                    }
                }
                state => return state,
            }
        }
    }

    /// Stops a container; tries until it is done.
    pub(super) fn stop(&self, id: &str) {
        while self.wait(self.calls().stop(id)).is_err() {
            std::thread::sleep(RETRY_INTERVAL);
            if self.state(id).is_none_or(|state| !state.running) {
                return;
            }
        }
    }

    /// Removes a container that doesn't run; false where it runs.
    pub(super) fn remove(&self, id: &str) -> bool {
        loop {
            match self.wait(self.calls().remove(id)) {
                Ok(removed) => return removed,
                Err(_) => match self.state(id) {
                    None => return true,
                    Some(_) => std::thread::sleep(RETRY_INTERVAL),
                },
            }
        }
    }

    /// What the daemon remembers of a container.
    pub(super) fn events(&self, id: &str) -> Vec<ContainerEvent> {
        loop {
            let now = jiff::Timestamp::now().as_second();
            match self.wait(self.calls().events(id, now - EVENTS_SECONDS, now + 1)) {
                Ok(events) => return events,
                Err(_) => std::thread::sleep(RETRY_INTERVAL),
            }
        }
    }

    /// Containers of a store's jobs that don't run.
    pub(super) fn left(&self, store: &str) -> Vec<LeftContainer> {
        if self.engine.is_podman() {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.is_some_and(|asked| asked.elapsed() < PODMAN_INTERVAL) {
                return Vec::new();
            }
            *asked = Some(Instant::now());
        }
        let label = format!("{}={store}", labels::STORE);
        let Ok(containers) = self.wait(self.calls().stopped(&label)) else {
            return Vec::new();
        };
        let of_it = |container: mlbuild_docker::containers::ContainerSummary| {
            let labels = &container.labels;
            Some(LeftContainer {
                job: labels.get(labels::JOB)?.clone(),
                fencing_token: labels.get(labels::FENCING_TOKEN)?.parse().ok()?,
                is_to_go: labels.contains_key(labels::REMOVE),
                is_ended: matches!(container.state.as_str(), "exited" | "stopped" | "dead"),
                id: container.id,
            })
        };
        containers.into_iter().filter_map(of_it).collect()
    }

    /// Whether an image is in the store.
    pub(super) fn has_image(&self, name: &str) -> bool {
        self.wait(self.calls().has_image(name))
    }

    /// The end of what a container printed.
    pub(super) fn log(&self, id: &str) -> String {
        let read = || -> std::io::Result<Vec<u8>> {
            let (mut reader, writer) = std::io::pipe()?;
            let mut child = Command::new(self.engine.program())
                .args(["logs", "--tail", LINES, "--", id])
                .stdin(Stdio::null())
                .stdout(writer.try_clone()?)
                .stderr(writer)
                .spawn()?;
            let mut bytes = Vec::new();
            let read = reader.read_to_end(&mut bytes);
            let status = child.wait()?;
            read?;
            // Then these are the program's own words.
            Ok(if status.success() { bytes } else { Vec::new() })
        };
        let bytes = read().unwrap_or_default();
        let tail = &bytes[bytes.len().saturating_sub(BYTES)..];
        // PostgreSQL keeps no NUL in a text.
        String::from_utf8_lossy(tail).replace('\0', "\u{fffd}")
    }
}
