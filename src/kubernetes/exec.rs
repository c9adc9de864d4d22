//! A program in a running container.

use futures::SinkExt as _;
use futures::channel::mpsc::Sender;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{AttachParams, AttachedProcess, TerminalSize};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Cluster, KubernetesError};

/// A program that was started there.
pub struct Program {
    process: AttachedProcess,
    sizes: Option<Sender<TerminalSize>>,
}

impl Cluster {
    /// Starts a program in a container of a pod.
    ///
    /// # Errors
    /// Where the cluster refuses, or the container doesn't run.
    pub async fn start_in(
        &self,
        pod: &str,
        container: &str,
        words: &[String],
        terminal: bool,
    ) -> Result<Program, KubernetesError> {
        let wanted = AttachParams::default()
            .container(container)
            .stdin(true)
            .stdout(true)
            .stderr(!terminal)
            .tty(terminal);
        let started = self.api::<Pod>().exec(pod, words, &wanted).await;
        let mut process = started
            .map_err(|error| self.error(&format!("create pods/exec in the Pod {pod}"), error))?;
        let sizes = process.terminal_size();
        Ok(Program { process, sizes })
    }
}

impl Program {
    /// Where its input goes.
    pub fn stdin(&mut self) -> Option<impl AsyncWrite + Send + Unpin + 'static> {
        self.process.stdin()
    }

    /// Its output.
    pub fn stdout(&mut self) -> Option<impl AsyncRead + Send + Unpin + 'static> {
        self.process.stdout()
    }

    /// Its error output, where it has no terminal.
    pub fn stderr(&mut self) -> Option<impl AsyncRead + Send + Unpin + 'static> {
        self.process.stderr()
    }

    /// Tells it the size of the terminal.
    pub async fn resize(&mut self, width: u16, height: u16) {
        if let Some(sizes) = &mut self.sizes {
            let _ = sizes.send(TerminalSize { width, height }).await;
        }
    }

    /// Its exit code, when it has ended; an error's text where it couldn't be started.
    pub fn end(&mut self) -> impl Future<Output = Result<i32, String>> + use<> {
        let status = self.process.take_status();
        async move {
            let status = match status {
                Some(status) => status.await,
                None => None,
            };
            let status = status.ok_or_else(|| "the connection was cut".to_owned())?;
            let causes = status.details.and_then(|details| details.causes);
            let mut codes = causes
                .into_iter()
                .flatten()
                .filter(|cause| cause.reason.as_deref() == Some("ExitCode"));
            let code = codes.next().and_then(|cause| cause.message?.parse().ok());
            match (code, status.message) {
                (Some(code), _) => Ok(code),
                (None, Some(message)) if !message.is_empty() => Err(message),
                (None, _) => Ok(0),
            }
        }
    }
}
