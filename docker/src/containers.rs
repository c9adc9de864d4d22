//! Containers, as far as somebody who looks after them needs it.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Deserialize;

use super::api::{DockerApi, DockerApiError, accepted, empty, parse, post, read, request};

/// A container, as the daemon describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerInspect {
    /// Its id.
    pub id: String,
    /// What it does.
    pub state: ContainerState,
    /// What it was made with.
    pub config: ContainerConfig,
}

/// What a container was made with.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// Its labels.
    pub labels: Option<BTreeMap<String, String>>,
}

/// What a container does.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerState {
    /// `created`, `running`, `exited`, ….
    pub status: String,
    /// Whether its process is there, or will be again after a restart.
    pub running: bool,
    /// The exit code of its process.
    pub exit_code: i64,
    /// Why it couldn't be started.
    #[serde(default)]
    pub error: String,
}

/// A container in a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerSummary {
    /// Its id.
    pub id: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// As [`ContainerState::status`].
    #[serde(default)]
    pub state: String,
}

/// Something that happened to a container.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerEvent {
    /// `create`, `start`, `die`, ….
    pub action: String,
    /// To whom.
    pub actor: EventActor,
}

/// To whom something happened.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventActor {
    /// What is known of it, its exit code among others.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

impl DockerApi {
    /// A container by name or id; `None` if there is none.
    ///
    /// # Errors
    /// Where the daemon can't be asked.
    pub async fn container_inspect(
        &self,
        id: &str,
    ) -> Result<Option<ContainerInspect>, DockerApiError> {
        self.get_if_there(&format!("/containers/{id}/json")).await
    }

    /// Starts a container. One that runs is left as it is.
    ///
    /// # Errors
    /// Where it can't be started.
    pub async fn container_start(&self, id: &str) -> Result<(), DockerApiError> {
        let path = format!("/containers/{id}/start");
        let call = format!("POST {path}");
        let response = self.call(&call, post(&path, empty())).await?;
        match response.status() {
            StatusCode::NOT_MODIFIED => Ok(()),
            _ => accepted(&call, response).await.map(drop),
        }
    }

    /// Waits until a container doesn't run; returns its exit code, or `None` if it is gone.
    ///
    /// # Errors
    /// Where the daemon goes away.
    pub async fn container_wait(&self, id: &str) -> Result<Option<i64>, DockerApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Ended {
            status_code: i64,
        }
        let path = format!("/containers/{id}/wait");
        let call = format!("POST {path}");
        let response = self.call(&call, post(&path, empty())).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = accepted(&call, response).await?;
        let ended: Ended = parse(&call, &read(&call, response).await?)?;
        Ok(Some(ended.status_code))
    }

    /// Stops a container, as `docker stop` does.
    ///
    /// # Errors
    /// Where it can't be stopped.
    pub async fn container_stop(&self, id: &str) -> Result<(), DockerApiError> {
        let path = format!("/containers/{id}/stop");
        let call = format!("POST {path}");
        let response = self.call(&call, post(&path, empty())).await?;
        match response.status() {
            StatusCode::NOT_MODIFIED | StatusCode::NOT_FOUND => Ok(()),
            _ => accepted(&call, response).await.map(drop),
        }
    }

    /// Removes a container that doesn't run, with its anonymous volumes. Returns false, and
    /// removes nothing, if it runs.
    ///
    /// # Errors
    /// Where it can't be removed for another reason.
    pub async fn container_remove(&self, id: &str) -> Result<bool, DockerApiError> {
        let path = format!("/containers/{id}?v=1");
        let call = format!("DELETE {path}");
        let response = self
            .call(&call, request(http::Method::DELETE, &path, empty()))
            .await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(true),
            StatusCode::CONFLICT => Ok(false),
            _ => accepted(&call, response).await.map(|_| true),
        }
    }

    /// The containers that don't run, among those that have a label: made and never started, or ended.
    ///
    /// # Errors
    /// Where the daemon can't be asked.
    pub async fn containers_stopped(
        &self,
        label: &str,
    ) -> Result<Vec<ContainerSummary>, DockerApiError> {
        let filters =
            serde_json::json!({ "label": [label], "status": ["created", "exited", "dead"] });
        let path = with_filters("/containers/json?all=1&", &filters);
        self.get_json(&path).await
    }

    /// What happened to a container since a moment, in seconds since 1970, as far as the daemon
    /// remembers.
    ///
    /// # Errors
    /// Where the daemon can't be asked.
    pub async fn container_events(
        &self,
        id: &str,
        since: i64,
        until: i64,
    ) -> Result<Vec<ContainerEvent>, DockerApiError> {
        let filters = serde_json::json!({ "container": [id], "type": ["container"] });
        let path = with_filters(&format!("/events?since={since}&until={until}&"), &filters);
        let call = "GET /events".to_owned();
        let get = request(http::Method::GET, &path, empty());
        let response = accepted(&call, self.call(&call, get).await?).await?;
        let body = read(&call, response).await?;
        let lines = body.split(|byte| *byte == b'\n');
        lines
            .filter(|line| !line.trim_ascii().is_empty())
            .map(|line| parse(&call, line))
            .collect()
    }
}

fn with_filters(path: &str, filters: &serde_json::Value) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("filters", &filters.to_string())
        .finish();
    format!("{path}{query}")
}
