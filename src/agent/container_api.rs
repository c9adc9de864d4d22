//! The few calls that an agent makes of what runs its containers: Docker's API, or Podman's
//! program, which has no daemon.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use mlbuild_docker::api::{DockerApi, DockerApiError};
use mlbuild_docker::containers::{ContainerEvent, ContainerInspect, ContainerSummary};
use serde::Deserialize;
use serde_json::json;

/// What became of a call that failed.
#[derive(Debug)]
pub(super) enum CallError {
    /// It was refused, in these words.
    Refused(String),
    /// Nobody heard the answer.
    Lost(String),
}

impl CallError {
    pub(super) fn words(&self) -> &str {
        match self {
            Self::Refused(words) | Self::Lost(words) => words,
        }
    }
}

impl From<DockerApiError> for CallError {
    fn from(error: DockerApiError) -> Self {
        match error {
            DockerApiError::Daemon { message, .. } => Self::Refused(message),
            error => Self::Lost(error.to_string()),
        }
    }
}

/// Who is called.
pub(super) enum ContainerApi<'a> {
    Docker(&'a DockerApi),
    Podman(Podman<'a>),
}

impl ContainerApi<'_> {
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<ContainerInspect>, CallError> {
        match self {
            Self::Docker(api) => Ok(api.container_inspect(id).await?),
            Self::Podman(podman) => podman.inspect(id),
        }
    }

    pub(super) async fn start(&self, id: &str) -> Result<(), CallError> {
        match self {
            Self::Docker(api) => Ok(api.container_start(id).await?),
            Self::Podman(podman) => podman.done(&["start", id]).map(drop),
        }
    }

    /// Returns when a container doesn't run.
    pub(super) async fn wait(&self, id: &str) -> Result<(), CallError> {
        match self {
            Self::Docker(api) => Ok(api.container_wait(id).await.map(drop)?),
            Self::Podman(podman) => podman.done(&["wait", id]).map(drop),
        }
    }

    pub(super) async fn stop(&self, id: &str) -> Result<(), CallError> {
        match self {
            Self::Docker(api) => Ok(api.container_stop(id).await?),
            Self::Podman(podman) => podman.done(&["stop", id]).map(drop),
        }
    }

    /// Removes a container that doesn't run; false where it runs.
    pub(super) async fn remove(&self, id: &str) -> Result<bool, CallError> {
        match self {
            Self::Docker(api) => Ok(api.container_remove(id).await?),
            Self::Podman(podman) => podman.remove(id),
        }
    }

    /// What happened to a container, from a moment on, in seconds since 1970.
    pub(super) async fn events(
        &self,
        id: &str,
        since: i64,
        until: i64,
    ) -> Result<Vec<ContainerEvent>, CallError> {
        match self {
            Self::Docker(api) => Ok(api.container_events(id, since, until).await?),
            Self::Podman(podman) => podman.events(id, since),
        }
    }

    /// Containers with a label that don't run.
    pub(super) async fn stopped(&self, label: &str) -> Result<Vec<ContainerSummary>, CallError> {
        match self {
            Self::Docker(api) => Ok(api.containers_stopped(label).await?),
            Self::Podman(podman) => podman.stopped(label),
        }
    }

    pub(super) async fn has_image(&self, name: &str) -> bool {
        match self {
            Self::Docker(api) => matches!(api.image_inspect(name).await, Ok(Some(_))),
            Self::Podman(podman) => podman.done(&["image", "exists", name]).is_ok(),
        }
    }
}

/// Podman's program.
pub(super) struct Podman<'a>(pub(super) &'a Path);

impl Podman<'_> {
    /// A Ctrl-C for the agent isn't one for what it has begun.
    fn ran(&self, args: &[&str]) -> Result<Output, CallError> {
        let output = Command::new(self.0)
            .args(args)
            .stdin(Stdio::null())
            .process_group(0)
            .output();
        let output = output.map_err(|error| CallError::Lost(format!("podman: {error}")))?;
        match output.status.code() {
            Some(_) => Ok(output),
            None => Err(CallError::Lost(format!("podman: {}", output.status))),
        }
    }

    fn done(&self, args: &[&str]) -> Result<Vec<u8>, CallError> {
        let output = self.ran(args)?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(CallError::Refused(said(&output)))
        }
    }

    fn inspect(&self, id: &str) -> Result<Option<ContainerInspect>, CallError> {
        let output = self.ran(&["container", "inspect", id])?;
        if !output.status.success() {
            return if said(&output).contains("no such container") {
                Ok(None)
            } else {
                Err(CallError::Lost(said(&output)))
            };
        }
        let mut found: Vec<ContainerInspect> = parse(&output.stdout)?;
        let found = found.pop().map(|mut container| {
            let state = &mut container.state;
            // Docker's words for it.
            match state.status.as_str() {
                "configured" | "initialized" => state.status = "created".to_owned(),
                "stopping" => state.running = true,
                "stopped" => state.status = "exited".to_owned(),
                _ => {}
            }
            container
        });
        Ok(found)
    }

    fn remove(&self, id: &str) -> Result<bool, CallError> {
        const MISSING: i32 = 1;
        const RUNS: i32 = 2;
        let output = self.ran(&["rm", "--volumes", id])?;
        match output.status.code() {
            Some(0 | MISSING) => Ok(true),
            Some(RUNS) => Ok(false),
            _ => Err(CallError::Refused(said(&output))),
        }
    }

    fn events(&self, id: &str, since: i64) -> Result<Vec<ContainerEvent>, CallError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Event {
            status: String,
            // A zero is left out.
            #[serde(default)]
            container_exit_code: i64,
        }
        let since = jiff::Timestamp::from_second(since).unwrap_or_default();
        let container = format!("container={id}");
        let said = self.done(&[
            "events",
            "--stream=false",
            &format!("--since={since}"),
            "--filter",
            &container,
            "--format=json",
        ])?;
        let lines = said.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.trim_ascii().is_empty());
        let event = |line| {
            let event: Event = parse(line)?;
            let (action, attributes) = match event.status.as_str() {
                "died" => (
                    "die",
                    json!({ "exitCode": event.container_exit_code.to_string() }),
                ),
                other => (other, json!({})),
            };
            let event = json!({ "Action": action, "Actor": { "Attributes": attributes } });
            serde_json::from_value(event).map_err(|error| CallError::Lost(error.to_string()))
        };
        lines.map(event).collect()
    }

    fn stopped(&self, label: &str) -> Result<Vec<ContainerSummary>, CallError> {
        let label = format!("label={label}");
        let said = self.done(&[
            "ps",
            "--all",
            "--no-trunc",
            "--filter",
            &label,
            "--filter=status=created",
            "--filter=status=exited",
            "--format=json",
        ])?;
        parse(&said)
    }
}

fn parse<T: serde::de::DeserializeOwned>(said: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(said).map_err(|error| CallError::Lost(format!("podman: {error}")))
}

/// Podman's words.
fn said(output: &Output) -> String {
    let words = String::from_utf8_lossy(&output.stderr);
    words.trim().trim_start_matches("Error: ").to_owned()
}
