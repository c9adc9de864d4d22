//! Sorting failures of one call: those that may pass, and those that won't.

use std::error::Error;

use reqwest::{Response, StatusCode};
use serde::Deserialize;

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
    },
    /// Won't get better by itself.
    Final(RegistryError),
}

impl CallFailure {
    pub(super) fn transient(why: impl ToString) -> Self {
        CallFailure::Transient {
            why: why.to_string(),
            connect: false,
        }
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
    if error.is_builder() {
        return CallFailure::Final(RegistryError::Unreachable { registry, why });
    }
    CallFailure::Transient {
        why,
        connect: error.is_connect(),
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
    let text = short_text(answer).await;
    let refusal: Refusal = serde_json::from_str(&text).unwrap_or_default();
    let said = said(&refusal, &text);
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
        return CallFailure::transient(format!("{status} {said}").trim_end());
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
    while let Some(piece) = answer.chunk().await.map_err(|e| e.to_string())? {
        if bytes.len() + piece.len() > limit {
            return Err(format!("it is larger than {limit} bytes"));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// At most 64 KiB of an answer's body.
async fn short_text(mut answer: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await {
        bytes.extend_from_slice(&piece);
        if bytes.len() > 64 << 10 {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
