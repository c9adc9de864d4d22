//! One build: the request, the session beside it, the progress, the result.

mod cache;
mod check;
mod oci_index;
mod progress;
mod question;
mod request;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use mlbuild_proto::moby::buildkit::v1::StatusResponse;
use mlbuild_proto::moby::buildkit::v1::sourcepolicy::Policy;
use mlbuild_waits::{Stalled, Wait};
use oci_spec::image::Descriptor;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::client::Client;
use crate::error::{BuildFailure, SolveError};
use crate::session::{ExportTarget, RunningSession, Session, SessionError, Targets, new_id};
use crate::status::status_text;
use crate::wire::DOCKERFILE_FRONTEND;
use progress::Progress;
pub use question::{Answers, Question};
use request::Prepared;

/// How long to wait for the daemon's last words after cancelling.
const CANCEL_WAIT: Duration = Duration::from_millis(500);
/// How long a solve may go on after its session has broken.
const SESSION_GRACE: Duration = Duration::from_secs(3);

/// What to build and where the result goes.
#[derive(Debug)]
pub struct SolveOptions {
    /// Names the build to the daemon; must be new. [`SolveOptions::default`]
    /// makes one up.
    pub reference: String,
    /// Which frontend reads the input.
    pub frontend: String,
    /// The frontend's options: `filename`, `target`, `build-arg:NAME`,
    /// `label:NAME`, `platform`, `context:NAME`, `attest:…`, `no-cache` …
    pub frontend_attrs: BTreeMap<String, String>,
    /// Results. With none, the build only fills the cache.
    pub exports: Vec<Export>,
    /// Blobs that an `oci` export into a folder leaves out, because whoever reads it has them
    /// elsewhere: sizes in bytes by digest.
    pub held: BTreeMap<String, u64>,
    /// Caches to look in.
    pub cache_from: Vec<CacheOption>,
    /// Caches to write to.
    pub cache_to: Vec<CacheOption>,
    /// What the build may do beyond the usual: `network.host`,
    /// `security.insecure`, `device`.
    pub entitlements: Vec<String>,
    /// Rules that pin or forbid sources.
    pub source_policy: Option<Policy>,
    /// Leaves no record in the daemon's build history.
    pub internal: bool,
    /// Asked of the image before it is exported. Of one with attestations it can't be: they would
    /// be lost.
    pub question: Option<Question>,
}

impl Default for SolveOptions {
    fn default() -> Self {
        Self {
            reference: new_id(),
            frontend: DOCKERFILE_FRONTEND.to_string(),
            frontend_attrs: BTreeMap::new(),
            exports: Vec::new(),
            held: BTreeMap::new(),
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            entitlements: Vec::new(),
            source_policy: None,
            internal: false,
            question: None,
        }
    }
}

/// One result of a build.
#[derive(Debug)]
pub struct Export {
    /// `image`, `moby`, `oci`, `docker`, `local` or `tar`.
    pub kind: String,
    /// The exporter's options: `name`, `push`, `compression` …
    pub attrs: BTreeMap<String, String>,
    /// Where it goes; `image` and `moby` need none.
    pub output: Option<ExportTarget>,
}

/// A cache to read or write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheOption {
    /// `registry`, `local`, `inline`, `gha`, `s3`, `azblob`.
    pub kind: String,
    /// Its options: `ref`, `src`, `dest`, `mode` …
    pub attrs: BTreeMap<String, String>,
}

/// What a build made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SolveOutput {
    /// All that the exporters answered.
    pub exporter_response: BTreeMap<String, String>,
    /// The image's manifest or index, from `containerimage.descriptor`
    /// (BuildKit ≥ 0.10). Docker's classic store doesn't tell one.
    pub descriptor: Option<Descriptor>,
    /// The configuration's digest, which Docker calls the image ID; absent for
    /// an index.
    pub config_digest: Option<String>,
    /// What was answered to [`SolveOptions::question`]; `None` where nothing was.
    pub answers: Option<Answers>,
}

impl SolveOutput {
    fn new(
        exporter_response: BTreeMap<String, String>,
        answers: Option<Answers>,
    ) -> Result<Self, SolveError> {
        let bad = |why: String| SolveError::Answer(format!("containerimage.descriptor: {why}"));
        let descriptor = match exporter_response.get("containerimage.descriptor") {
            None => None,
            Some(text) => {
                let json = base64::engine::general_purpose::STANDARD
                    .decode(text)
                    .map_err(|e| bad(e.to_string()))?;
                Some(serde_json::from_slice(&json).map_err(|e| bad(e.to_string()))?)
            }
        };
        let config_digest = exporter_response
            .get("containerimage.config.digest")
            .cloned();
        Ok(Self {
            exporter_response,
            descriptor,
            config_digest,
            answers,
        })
    }
}

impl Client {
    /// Builds. `status` gets the daemon's progress messages; its receiver
    /// should keep reading, or may be dropped. When `cancel` fires, the
    /// daemon's work is ended, and the call returns
    /// [`SolveError::Cancelled`].
    ///
    /// What the daemon would drop without a word is refused beforehand.
    pub async fn solve(
        &self,
        mut options: SolveOptions,
        mut session: Session,
        status: mpsc::Sender<StatusResponse>,
        cancel: CancellationToken,
    ) -> Result<SolveOutput, SolveError> {
        if cancel.is_cancelled() {
            return Err(SolveError::Cancelled);
        }
        let wanted = check::wanted(&options);
        // Asking what the builder is costs milliseconds that a plain build
        // needn't spend.
        if !wanted.is_empty() {
            check::refuse_ignored(&wanted, &self.info().await?)?;
        }

        let reference = options.reference.clone();
        let question = options.question.take();
        let prepared = Prepared::new(options, &mut session)?;
        let mut running = RunningSession::start(session, prepared.targets.clone(), self)?;
        let mark = question.as_ref().map(|question| question.mark.clone());
        let wait = Arc::new(Wait::on(self.peer()));
        let progress = Progress::start(self, reference, status, mark, wait.clone());

        let mut solving = Box::pin(async {
            match &question {
                Some(question) => question::solve(self, prepared.request, question).await,
                None => {
                    let answer = self.control().solve(prepared.request).await;
                    answer.map(|answer| (answer, None))
                }
            }
        });
        // Its steps may take hours: what counts is whether the daemon lives.
        let work = wait.alive(&mut solving, || self.clone().answers_anything());
        let outcome = tokio::select! {
            answer = work => match answer {
                Ok(answer) => answer.map_err(Ended::Status),
                Err(stalled) => Err(Ended::Stalled(stalled)),
            },
            () = cancel.cancelled() => Err(Ended::Cancelled),
            reason = running.broken() => Err(Ended::Session(reason)),
        };
        let outcome = match outcome {
            // The solve usually fails too, and says more.
            Err(Ended::Session(reason)) => {
                match tokio::time::timeout(SESSION_GRACE, &mut solving).await {
                    Ok(answer) => answer.map_err(Ended::Status),
                    Err(_) => Err(Ended::Session(reason)),
                }
            }
            outcome => outcome,
        };
        // Dropping the call tells the daemon to stop.
        drop(solving);

        let failed_step = match &outcome {
            Ok(_) | Err(Ended::Status(_)) => progress.finish().await,
            // The daemon's last words are that the steps were stopped.
            Err(_) => tokio::time::timeout(CANCEL_WAIT, progress.finish())
                .await
                .unwrap_or_default(),
        };
        drop(running);

        match outcome {
            Ok((answer, answers)) => {
                let response = answer.into_inner().exporter_response;
                let output = SolveOutput::new(response, answers)?;
                prepared.after.run(&output)?;
                prepared
                    .targets
                    .commit()
                    .map_err(|(path, e)| SolveError::Output { path, source: e })?;
                Ok(output)
            }
            Err(Ended::Cancelled) => Err(SolveError::Cancelled),
            Err(Ended::Session(reason)) => Err(SessionError::Refused(reason).into()),
            Err(Ended::Stalled(stalled)) => Err(SolveError::Stalled(stalled)),
            Err(Ended::Status(_)) if cancel.is_cancelled() => Err(SolveError::Cancelled),
            Err(Ended::Status(status)) => {
                Err(self.failed_solve(&status, &prepared.targets, failed_step))
            }
        }
    }

    /// Why a call failed that nobody stopped: an output of it may be what couldn't be written.
    fn failed_solve(
        &self,
        status: &Status,
        targets: &Targets,
        failed_step: Option<String>,
    ) -> SolveError {
        if let Some((path, source)) = targets.unwritten().take() {
            return SolveError::Output { path, source };
        }
        let mut error = self.solve_error(status);
        if let SolveError::Build(failure) = &mut error {
            // Old daemons say it only in the progress.
            failure.vertex = failure.vertex.take().or(failed_step);
        }
        error
    }

    /// Sorts a failed call: did the daemon answer, or did the connection break?
    pub(crate) fn solve_error(&self, status: &Status) -> SolveError {
        use std::error::Error as _;
        // Only statuses made on this side have a source.
        if status.source().is_some() {
            return SolveError::Lost {
                endpoint: self.endpoint().to_string(),
                reason: status_text(status),
            };
        }
        SolveError::Build(BuildFailure::new(status))
    }
}

enum Ended {
    Status(Status),
    Cancelled,
    Session(String),
    Stalled(Stalled),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptor_is_decoded() {
        let json = r#"{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","size":7}"#;
        let text = base64::engine::general_purpose::STANDARD.encode(json);
        let response = [("containerimage.descriptor".to_string(), text)].into();
        let output = SolveOutput::new(response, None).unwrap();
        assert_eq!(output.descriptor.unwrap().size(), 7);
        let bad = [("containerimage.descriptor".to_string(), "?".to_string())].into();
        assert!(matches!(
            SolveOutput::new(bad, None),
            Err(SolveError::Answer(_))
        ));
    }
}
