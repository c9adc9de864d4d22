//! The daemon's progress messages, beside the solve and a little beyond it.

use std::time::Duration;

use mlbuild_proto::moby::buildkit::v1::{StatusRequest, StatusResponse};
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
            while let Ok(Some(message)) = messages.message().await {
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
