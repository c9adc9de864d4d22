//! The daemon's progress messages, beside the solve and a little beyond it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use mlbuild_proto::moby::buildkit::v1::{StatusRequest, StatusResponse};
use mlbuild_waits::Wait;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::client::Client;

/// How long the progress stream may be silent after the solve has ended. It
/// usually ends by itself; Go's client waits as long.
const STATUS_SILENCE: Duration = Duration::from_secs(5);
/// The daemon's progress on its way to whoever shows it.
pub(super) struct Progress {
    forwarding: JoinHandle<()>,
    /// Changes with each message; holds the first step that failed.
    seen: watch::Receiver<Option<String>>,
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.forwarding.abort();
    }
}

impl Progress {
    pub(super) fn start(
        client: &Client,
        reference: String,
        to: mpsc::Sender<StatusResponse>,
        hidden: Option<String>,
        wait: Arc<Wait>,
    ) -> Self {
        let (tell, seen) = watch::channel(None);
        let mut control = client.control();
        let forwarding = tokio::spawn(async move {
            let request = StatusRequest { r#ref: reference };
            // A break isn't told: the solve breaks with it.
            let Ok(answer) = control.status(request).await else {
                return;
            };
            let mut messages = answer.into_inner();
            let mut filter = hidden.map(StepFilter::new);
            while let Ok(Some(mut message)) = messages.message().await {
                wait.progress();
                if let Some(filter) = &mut filter {
                    filter.hide(&mut message);
                }
                let failed = message.vertexes.iter().find(|v| !v.error.is_empty());
                tell.send_modify(|first| {
                    if first.is_none() {
                        *first = failed.map(|v| v.digest.clone());
                    }
                });
                if to.send(message).await.is_err() {
                    return;
                }
            }
        });
        Self { forwarding, seen }
    }

    /// Waits for the end, which may come after the solve's, but not for ever.
    /// Returns the first step that failed.
    pub(super) async fn finish(mut self) -> Option<String> {
        loop {
            let silence = tokio::time::sleep(STATUS_SILENCE);
            tokio::select! {
                _ = &mut self.forwarding => break,
                Ok(()) = self.seen.changed() => {}
                () = silence => break,
            }
        }
        self.seen.borrow().clone()
    }
}

/// Hides the steps that have a mark in their name, and all that is said of them.
struct StepFilter {
    mark: String,
    /// Digests of the steps behind it.
    hidden: HashSet<String>,
}

impl StepFilter {
    fn new(mark: String) -> Self {
        Self {
            mark,
            hidden: HashSet::new(),
        }
    }

    fn hide(&mut self, message: &mut StatusResponse) {
        let marked = message
            .vertexes
            .iter()
            .filter(|v| v.name.contains(&self.mark));
        self.hidden.extend(marked.map(|v| v.digest.clone()));
        let is_seen = |digest: &String| !self.hidden.contains(digest);
        message.vertexes.retain(|v| is_seen(&v.digest));
        message.statuses.retain(|s| is_seen(&s.vertex));
        message.logs.retain(|l| is_seen(&l.vertex));
        message.warnings.retain(|w| is_seen(&w.vertex));
    }
}

#[cfg(test)]
mod tests {
    use mlbuild_proto::moby::buildkit::v1::{Vertex, VertexLog};

    use super::*;

    #[test]
    fn marked_steps_are_hidden_with_what_they_say() {
        let vertex = |digest: &str, name: &str| Vertex {
            digest: digest.into(),
            name: name.into(),
            ..Vertex::default()
        };
        let log = |vertex: &str| VertexLog {
            vertex: vertex.into(),
            ..VertexLog::default()
        };
        let mut filter = StepFilter::new("the-mark".into());
        let mut first = StatusResponse {
            vertexes: vec![vertex("a", "[1/2] RUN"), vertex("b", "[the-mark 1/1] RUN")],
            ..StatusResponse::default()
        };
        filter.hide(&mut first);
        assert_eq!(first.vertexes, [vertex("a", "[1/2] RUN")]);
        let mut second = StatusResponse {
            logs: vec![log("b"), log("a")],
            ..StatusResponse::default()
        };
        filter.hide(&mut second);
        assert_eq!(second.logs, [log("a")]);
    }
}
