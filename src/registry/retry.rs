//! Sorting failures of one call: those that may pass, and those that won't.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use mlbuild_waits::{Flow, Stalled};
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use serde::Deserialize;

use super::endpoint::{CONNECT_TIMEOUT, Endpoint};
use super::error::RegistryError;
use super::scope::Scope;

/// Why one call failed.
#[derive(Debug)]
pub(super) enum CallFailure {
    /// May work a little later: a cut connection, an overloaded server.
    Transient {
        why: String,
        /// No connection could be made at all.
        connect: bool,
        /// How long the server asks to be left alone.
        after: Option<Duration>,
    },
    /// Nothing came for as long as anything is waited for.
    Stalled(Stalled),
    /// Won't get better by itself.
    Final(RegistryError),
}

/// A peer that stalls is tried so often: each try takes as long as the limit.
pub(super) const STALLED_TRIES: u32 = 2;

impl CallFailure {
    pub(super) fn transient(why: impl ToString) -> Self {
        CallFailure::Transient {
            why: why.to_string(),
            connect: false,
            after: None,
        }
    }

    /// How long to wait before the next try: what the server asks for, else `usual`.
    pub(super) fn wait(&self, usual: Duration) -> Pause {
        let asked = match self {
            CallFailure::Transient { after, .. } => *after,
            _ => None,
        };
        Pause::new(asked, usual)
    }

    /// What went wrong, in a few words.
    pub(super) fn why(&self) -> String {
        match self {
            CallFailure::Transient { why, .. } => why.clone(),
            CallFailure::Stalled(stalled) => stalled.to_string(),
            CallFailure::Final(error) => error.to_string(),
        }
    }

    /// The error of a call that isn't tried again.
    pub(super) fn given_up(self, endpoint: &Endpoint, what: &str, tried: u32) -> RegistryError {
        match self {
            CallFailure::Final(error) => error,
            CallFailure::Transient { why, .. } => endpoint.lost(what, tried, why),
            CallFailure::Stalled(Stalled { peer, silent }) => RegistryError::Silent {
                peer,
                what: what.to_owned(),
                seconds: silent.as_secs(),
            },
        }
    }

    /// Whether another try may help, after so many of them.
    pub(super) fn is_worth_a_try(&self, endpoint: &Endpoint, tried: u32, attempts: u32) -> bool {
        let limit = match self {
            CallFailure::Final(_) => return false,
            CallFailure::Transient { connect, .. } if *connect && !endpoint.has_answered() => 1,
            CallFailure::Transient { .. } => attempts,
            CallFailure::Stalled(_) if !endpoint.has_answered() => 1,
            CallFailure::Stalled(_) => attempts.min(STALLED_TRIES),
        };
        tried < limit
    }
}

impl From<Stalled> for CallFailure {
    fn from(stalled: Stalled) -> Self {
        CallFailure::Stalled(stalled)
    }
}

impl From<RegistryError> for CallFailure {
    fn from(error: RegistryError) -> Self {
        CallFailure::Final(error)
    }
}

/// Sorts a failure below HTTP.
pub(super) fn sort(registry: &str, error: &reqwest::Error) -> CallFailure {
    let why = innermost(error);
    let registry = registry.to_owned();
    if why.contains("invalid peer certificate") {
        let why = why.replace("invalid peer certificate: ", "");
        return CallFailure::Final(RegistryError::Untrusted { registry, why });
    }
    if why.contains("InvalidContentType") {
        return CallFailure::Final(RegistryError::PlainHttp { registry });
    }
    if error.is_redirect() {
        return CallFailure::Final(RegistryError::Redirect { registry, why });
    }
    if error.is_builder() {
        return CallFailure::Final(RegistryError::Unreachable { registry, why });
    }
    let connect = error.is_connect();
    let why = if connect && error.is_timeout() {
        format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())
    } else {
        why
    };
    CallFailure::Transient {
        why,
        connect,
        after: None,
    }
}

/// The cause that says most: the last one of the chain.
fn innermost(error: &dyn Error) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}

/// True for answers that a later try may better.
pub(super) fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// Longest wait that a registry may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// How long to wait before the next try.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    length: Duration,
    is_asked: bool,
}

impl Pause {
    pub(super) fn new(asked: Option<Duration>, usual: Duration) -> Self {
        Self {
            length: asked.unwrap_or(usual).min(LONGEST_WAIT),
            is_asked: asked.is_some(),
        }
    }

    /// Waits; what a server asked for is told.
    pub(super) async fn take(self, endpoint: &Endpoint) {
        if self.is_asked {
            mlbuild_waits::pause(endpoint.peer(), self.length).await;
        } else {
            tokio::time::sleep(self.length).await;
        }
    }
}

/// What an answer asks for in `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
pub(super) fn asked_wait(answer: &Response) -> Option<Duration> {
    read_wait(answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim())
}

fn read_wait(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let left = until.duration_since(jiff::Timestamp::now());
    Some(Duration::try_from(left).unwrap_or_default())
}

/// The errors of an answer, as the specification has them.
#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    errors: Vec<RefusalItem>,
}

#[derive(Default, Deserialize)]
struct RefusalItem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    detail: serde_json::Value,
}

/// Reads an answer that isn't a success.
pub(super) async fn refusal(scope: &Scope, what: &str, answer: Response) -> CallFailure {
    let status = answer.status();
    let asked = asked_wait(&answer);
    let text = short_text(answer).await;
    let refusal: Refusal = serde_json::from_str(&text).unwrap_or_default();
    let said = said(&refusal, &text);
    let said = beside(status, &said).to_owned();
    let has = |code: &str| refusal.errors.iter().any(|e| e.code == code);
    let registry = scope.registry.clone();
    let repository = scope.repository.clone();
    if is_disk_full(&refusal, &text) {
        let message = "no space left on its disk".to_owned();
        let what = what.to_owned();
        return RegistryError::Server {
            registry,
            what,
            status: status.as_u16(),
            message,
        }
        .into();
    }
    if is_transient(status) {
        return CallFailure::Transient {
            why: format!("{status} {said}").trim_end().to_owned(),
            connect: false,
            after: asked,
        };
    }
    let error = if has("NAME_INVALID") {
        RegistryError::NameInvalid {
            registry,
            repository,
            message: said,
        }
    } else if status == StatusCode::FORBIDDEN || has("DENIED") {
        RegistryError::Denied {
            registry,
            repository,
            action: scope.action(),
            message: said,
        }
    } else if status == StatusCode::NOT_FOUND {
        RegistryError::NotFound {
            reference: format!("{registry}/{repository}"),
        }
    } else {
        let what = what.to_owned();
        RegistryError::Server {
            registry,
            what,
            status: status.as_u16(),
            message: said,
        }
    };
    error.into()
}

/// What a registry said, without the status that stands before it in every message.
fn beside(status: StatusCode, said: &str) -> &str {
    let is_digit = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_digit());
    let rest = said
        .strip_prefix(status.as_str())
        .filter(|rest| !is_digit(rest));
    let rest = rest.unwrap_or(said).trim_start();
    let reason = status.canonical_reason().unwrap_or_default();
    rest.strip_prefix(reason)
        .unwrap_or(rest)
        .trim_start_matches([' ', ':'])
}

fn said(refusal: &Refusal, text: &str) -> String {
    let lines: Vec<String> = refusal
        .errors
        .iter()
        .map(|e| {
            if e.message.is_empty() {
                e.code.clone()
            } else {
                e.message.clone()
            }
        })
        .collect();
    if !lines.is_empty() {
        return lines.join("; ");
    }
    let line = text.lines().next().unwrap_or_default().trim();
    if line.starts_with('<') {
        String::new()
    } else {
        line.chars().take(200).collect()
    }
}

/// Distribution's file system driver reports the bare error number.
fn is_disk_full(refusal: &Refusal, text: &str) -> bool {
    const ENOSPC: i64 = 28;
    text.contains("no space left")
        || refusal
            .errors
            .iter()
            .any(|e| e.detail["Enclosed"]["Err"].as_i64() == Some(ENOSPC))
}

/// An answer's body of at most `limit` bytes.
///
/// # Errors
/// Why it isn't there.
pub(super) async fn bounded(mut answer: Response, limit: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut flow = Flow::from(host_of(&answer));
    let why = |failure: CallFailure| failure.why();
    while let Some(piece) = next_piece(&mut flow, &mut answer).await.map_err(why)? {
        if bytes.len() + piece.len() > limit {
            return Err(format!("it is larger than {limit} bytes"));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// The next piece of an answer's body.
///
/// # Errors
/// Why there is none; it may come at another try.
pub(super) async fn next_piece(
    flow: &mut Flow,
    answer: &mut Response,
) -> Result<Option<Bytes>, CallFailure> {
    let size = |piece: &Result<Option<Bytes>, reqwest::Error>| match piece {
        Ok(Some(piece)) => piece.len(),
        _ => 0,
    };
    match flow.next(answer.chunk(), size).await {
        Ok(piece) => piece.map_err(CallFailure::transient),
        Err(stalled) => Err(stalled.into()),
    }
}

/// Who sends an answer, for whoever waits for the rest of it.
pub(super) fn host_of(answer: &Response) -> String {
    let url = answer.url();
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// At most 64 KiB of an answer's body.
async fn short_text(mut answer: Response) -> String {
    let mut bytes = Vec::new();
    let mut flow = Flow::from(host_of(&answer));
    while let Ok(Some(piece)) = next_piece(&mut flow, &mut answer).await {
        bytes.extend_from_slice(&piece);
        if bytes.len() > 64 << 10 {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_said_once() {
        let of = |said| beside(StatusCode::INTERNAL_SERVER_ERROR, said);
        for said in [
            "",
            "500",
            "500 Internal Server Error",
            "Internal Server Error",
        ] {
            assert_eq!(of(said), "", "{said}");
        }
        assert_eq!(of("500 Internal Server Error: no disk"), "no disk");
        assert_eq!(of("no disk"), "no disk");
        assert_eq!(of("5001 blobs are missing"), "5001 blobs are missing");
    }

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        assert_eq!(read_wait("7"), Some(Duration::from_secs(7)));
        let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(40);
        let date = soon.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let wait = read_wait(&date).unwrap();
        assert!((30..=40).contains(&wait.as_secs()), "{date}: {wait:?}");
        let past = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(read_wait(past), Some(Duration::ZERO));
        assert_eq!(read_wait("soon"), None);
    }
}
