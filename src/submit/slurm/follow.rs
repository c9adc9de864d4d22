//! A job of Slurm's to its end. What it printed and its exit code are files of its folder: they are read
//! also while slurmctld doesn't answer, and after it has forgotten the job.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::super::error::SubmitError;
use super::super::follow::LogSink;
use crate::reporter::Reporter;
use crate::runtime::slurm::{EXIT_CODE_FILE, OUTPUT_FILE};
use crate::slurm::{JobNumber, JobPhase, Slurm, SlurmError, SlurmJob};

/// How often the job's folder is looked at.
const POLL: Duration = Duration::from_millis(500);
/// How often Slurm is asked for the job's state.
const ASK: Duration = Duration::from_secs(3);
/// So long the last of the output may need to a shared folder, where Slurm doesn't say that the job is over.
const SETTLES: Duration = Duration::from_secs(5);
/// How long a cluster that doesn't answer is asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlurmEnd {
    /// The container's exit code, 128 and the signal's number where a signal ended it; `None` where nobody knows.
    pub code: Option<i32>,
    /// What Slurm says of it, where it didn't just end.
    pub why: Option<String>,
}

/// How it ended, for whoever waited.
#[derive(Debug)]
pub enum SlurmFollowEnd {
    /// The job is over.
    Ended(SlurmEnd),
    /// Ctrl-C.
    Cancelled,
}

/// Follows a job to its end.
///
/// # Errors
/// Where the cluster is lost, or has forgotten the job before anybody saw how it ended.
pub async fn follow(
    slurm: &Slurm,
    job: JobNumber,
    folder: &str,
    cancelled: &CancellationToken,
    sink: LogSink<'_>,
    reporter: &dyn Reporter,
) -> Result<SlurmFollowEnd, SubmitError> {
    let mut follower = Follower {
        slurm,
        job,
        folder,
        sink,
        reporter,
        read: 0,
        told: String::new(),
        lost: None,
    };
    tokio::select! {
        () = cancelled.cancelled() => Ok(SlurmFollowEnd::Cancelled),
        end = follower.see_the_end() => end.map(SlurmFollowEnd::Ended),
    }
}

struct Follower<'a> {
    slurm: &'a Slurm,
    job: JobNumber,
    folder: &'a str,
    sink: LogSink<'a>,
    reporter: &'a dyn Reporter,
    /// Bytes of the output that were handed on.
    read: u64,
    /// What was told last.
    told: String,
    /// Since when the login node hasn't answered.
    lost: Option<Instant>,
}

impl Follower<'_> {
    async fn see_the_end(&mut self) -> Result<SlurmEnd, SubmitError> {
        let slurm = self.slurm;
        let mut asking = Box::pin(slurm.job(self.job));
        let (mut is_asking, mut asked) = (true, Instant::now());
        let mut written: Option<Instant> = None;
        loop {
            if self.print().await? {
                let since = *written.get_or_insert_with(Instant::now);
                if since.elapsed() > SETTLES {
                    return self.end(None).await;
                }
            } else {
                written = None;
            }
            tokio::select! {
                answer = &mut asking, if is_asking => {
                    is_asking = false;
                    asked = Instant::now();
                    if let Some(end) = self.look(answer).await? {
                        return Ok(end);
                    }
                }
                () = tokio::time::sleep(POLL) => {}
            }
            // Whose exit code is there is over at once, and Slurm says so soon.
            let pause = if written.is_some() { POLL } else { ASK };
            if !is_asking && asked.elapsed() >= pause {
                asking.set(slurm.job(self.job));
                is_asking = true;
            }
        }
    }

    /// What Slurm says of the job: its end, if it has ended.
    async fn look(
        &mut self,
        answer: Result<SlurmJob, SlurmError>,
    ) -> Result<Option<SlurmEnd>, SubmitError> {
        match answer {
            Ok(job) => {
                match job.phase() {
                    JobPhase::Waiting => {
                        let why = job
                            .reason
                            .unwrap_or_else(|| "Slurm hasn't looked at it yet".to_owned());
                        self.tell(format!("waiting: {why}"));
                    }
                    JobPhase::Running => {
                        self.tell(format!("running on {}", job.nodes.unwrap_or_default()))
                    }
                    JobPhase::Ended => return self.end(Some(&job.state)).await.map(Some),
                }
                Ok(None)
            }
            Err(SlurmError::NotFound { .. }) => self.end(None).await.map(Some),
            Err(error) => {
                self.tell(format!("{error}; asking again"));
                Ok(None)
            }
        }
    }

    /// The end, with the last of the output.
    async fn end(&mut self, state: Option<&str>) -> Result<SlurmEnd, SubmitError> {
        loop {
            let before = self.read;
            self.print().await?;
            if self.read == before {
                break;
            }
        }
        end_of(self.slurm, self.job, self.folder, state).await
    }

    /// Hands on what was printed since; true where the job has written down its exit code.
    async fn print(&mut self) -> Result<bool, SubmitError> {
        let printed = self
            .slurm
            .printed(self.folder, OUTPUT_FILE, EXIT_CODE_FILE, self.read);
        match printed.await {
            Ok(printed) => {
                self.lost = None;
                if !printed.bytes.is_empty() {
                    (self.sink)(&printed.bytes).map_err(SubmitError::Output)?;
                    self.read += printed.bytes.len() as u64;
                }
                Ok(printed.has_ended)
            }
            Err(error) => {
                let since = *self.lost.get_or_insert_with(Instant::now);
                if since.elapsed() > ANSWER_TIMEOUT {
                    return Err(SubmitError::SlurmLost {
                        job: self.job,
                        source: error,
                    });
                }
                self.tell(format!("{error}; asking again"));
                Ok(false)
            }
        }
    }

    fn tell(&mut self, text: String) {
        if self.told != text {
            self.reporter.note(text.as_str());
            self.told = text;
        }
    }
}

/// How a job that is over ended: its own word, else Slurm's, else that of its accounts.
///
/// # Errors
/// Where none of them has one.
pub(super) async fn end_of(
    slurm: &Slurm,
    job: JobNumber,
    folder: &str,
    state: Option<&str>,
) -> Result<SlurmEnd, SubmitError> {
    let own = slurm.read(&format!("{folder}/{EXIT_CODE_FILE}")).await?;
    let own = own.and_then(|text| text.trim().parse().ok());
    let said = match own {
        Some(_) => None,
        None => slurm.exit_code(job).await,
    };
    let (code, by_accounts) = said.map_or((None, None), |(code, state)| (Some(code), state));
    let state = by_accounts.as_deref().or(state);
    end_by(own, state, code).ok_or(SubmitError::Forgotten { job })
}

/// How a job ended by what its folder has, and by its state and its code in Slurm's words; `None` where nobody
/// knows.
pub(super) fn end_by(
    own: Option<i32>,
    state: Option<&str>,
    by_slurm: Option<i32>,
) -> Option<SlurmEnd> {
    let state = state.unwrap_or_default();
    let is_plain = matches!(state, "" | "COMPLETED" | "FAILED");
    // Slurm has no code for what it ended itself.
    let by_slurm = by_slurm.filter(|code| *code != 0 || state == "COMPLETED");
    let end = SlurmEnd {
        code: own.or(by_slurm),
        why: (!is_plain).then(|| state.to_owned()),
    };
    (end.code.is_some() || !state.is_empty()).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_the_programs_own_word_else_slurms() {
        for (own, state, code, wanted) in [
            (
                Some(3),
                Some("TIMEOUT"),
                None,
                Some((Some(3), Some("TIMEOUT"))),
            ),
            (Some(0), None, None, Some((Some(0), None))),
            (
                None,
                Some("TIMEOUT"),
                Some(0),
                Some((None, Some("TIMEOUT"))),
            ),
            (
                None,
                Some("OUT_OF_MEMORY"),
                Some(137),
                Some((Some(137), Some("OUT_OF_MEMORY"))),
            ),
            (None, Some("COMPLETED"), Some(0), Some((Some(0), None))),
            (None, Some("FAILED"), Some(7), Some((Some(7), None))),
            (
                None,
                Some("NODE_FAIL"),
                None,
                Some((None, Some("NODE_FAIL"))),
            ),
            (None, None, Some(7), Some((Some(7), None))),
            (None, None, Some(0), None),
            (None, None, None, None),
        ] {
            let end = end_by(own, state, code);
            let end = end.as_ref().map(|end| (end.code, end.why.as_deref()));
            assert_eq!(end, wanted, "{own:?} {state:?} {code:?}");
        }
    }
}
