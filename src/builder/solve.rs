//! One solve on a builder, from the first line of its progress to the error that explains why it failed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use mlbuild_buildkit::StatusResponse;
use mlbuild_progress::{BuildTrace, LocalSteps};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::redaction::{MessageRedactor, Redaction};
use super::{BuildInputs, BuilderError, ExplainFailure};
use crate::host::HostSettings;
use crate::plan::BuildPlan;
use crate::reporter::{Reporter, Titles};

/// How long the builder's part of a build that was cancelled may take to end.
const CANCEL_GRACE: Duration = Duration::from_millis(600);
/// Messages of the builder that may wait.
const WAITING: usize = 64;

/// What is to be solved, with everything but the progress.
#[derive(Debug, Clone)]
pub struct SolveRequest<'a> {
    /// The plan.
    pub plan: &'a BuildPlan,
    /// Key under which the builder finds the context that it was sent before; empty for none.
    pub transfer_key: &'a str,
    /// Settings of the host's network that steps may see.
    pub host: &'a HostSettings,
    /// Sockets of ssh agents, by id.
    pub ssh: &'a BTreeMap<String, PathBuf>,
    /// Registry hosts that are reached by plain http.
    pub insecure: &'a [String],
    /// True if the image's packages are listed in the same solve.
    pub asks_packages: bool,
    /// Stops it.
    pub cancel: CancellationToken,
}

impl<'a> SolveRequest<'a> {
    /// The inputs of a builder, whose status messages go to `events`.
    pub fn inputs(&self, events: mpsc::Sender<StatusResponse>) -> BuildInputs<'a> {
        BuildInputs {
            plan: self.plan,
            transfer_key: self.transfer_key,
            host: self.host,
            ssh: self.ssh,
            insecure: self.insecure,
            events,
            cancel: self.cancel.clone(),
            asks_packages: self.asks_packages,
            redaction: Redaction::of(self.plan, self.host),
        }
    }

    /// Does the work while the reporter is told of its progress, and gives what came out with what
    /// was seen on the way.
    ///
    /// # Errors
    /// Those of the work; of a failed step with its last lines and its place in the Dockerfile.
    pub async fn solve<T, E, W>(
        &self,
        reporter: &dyn Reporter,
        titles: Titles,
        work: impl FnOnce(BuildInputs<'a>, LocalSteps) -> W,
    ) -> Result<(T, BuildTrace), E>
    where
        E: ExplainFailure + From<BuilderError>,
        W: Future<Output = Result<T, E>>,
    {
        let mut progress = reporter.begin_solve(titles);
        let (events, incoming) = mpsc::channel(WAITING);
        let inputs = self.inputs(events);
        let redactor = MessageRedactor::new(inputs.redaction.clone());
        let shown = progress.sender();
        let steps = progress.local_steps();
        // Inputs go with the work: their sender has to be gone before the progress ends.
        let work = work(inputs, steps);
        let cancelled = async {
            self.cancel.cancelled().await;
            // The builder's own part ends in an orderly way; what doesn't is dropped.
            tokio::time::sleep(CANCEL_GRACE).await;
            Err(BuilderError::Cancelled.into())
        };
        let work = async {
            tokio::select! {
                biased;
                done = work => done,
                cancelled = cancelled => cancelled,
            }
        };
        let work = Box::pin(redacted(work, incoming, shown, redactor));
        let done = progress.during(work).await;
        let trace = progress.finish().await;
        match done {
            Ok(done) => Ok((done, trace)),
            Err(error) => Err(error.explain(&trace, self.plan)),
        }
    }
}

/// Does work while messages of the builder go from `incoming` to `shown` without their secrets.
async fn redacted<T>(
    work: impl Future<Output = T>,
    mut incoming: mpsc::Receiver<StatusResponse>,
    shown: mpsc::Sender<StatusResponse>,
    mut redactor: MessageRedactor,
) -> T {
    let mut work = std::pin::pin!(work);
    let done = loop {
        tokio::select! {
            // Where nobody shows them any more, they are dropped.
            Some(message) = incoming.recv() => drop(shown.send(redactor.message(message)).await),
            done = &mut work => break done,
        }
    };
    incoming.close();
    while let Some(message) = incoming.recv().await {
        let _ = shown.send(redactor.message(message)).await;
    }
    if let Some(rest) = redactor.finish() {
        let _ = shown.send(rest).await;
    }
    done
}

/// Titles for a build whose steps have none.
pub fn untitled() -> Titles {
    Box::new(|_| None)
}
