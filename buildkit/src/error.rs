//! Failed builds: the typed details that BuildKit puts into a failed call's
//! status, as errors that point at a Dockerfile line.

use base64::Engine as _;
use mlbuild_proto::google::rpc;
use prost::Message as _;
use serde::Deserialize;

use crate::client::RequestError;
use crate::session::SessionError;

/// Why a solve didn't succeed.
#[derive(Debug, thiserror::Error)]
pub enum SolveError {
    /// The build itself failed: a step, the Dockerfile, an export.
    #[error("{0}")]
    Build(BuildFailure),
    /// The caller cancelled.
    #[error("the build was cancelled")]
    Cancelled,
    /// The connection to the builder broke while it was building.
    #[error("lost the builder at {endpoint}: {reason}")]
    Lost {
        /// The builder's address.
        endpoint: String,
        /// What broke.
        reason: String,
    },
    /// The builder hangs: it holds the connection and gives no sign of life.
    #[error(transparent)]
    Stalled(#[from] mlbuild_waits::Stalled),
    /// What the session should serve can't be served.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The request makes no sense, or asks for what can't be done.
    #[error("{0}")]
    Options(String),
    /// A result can't be written on this side.
    #[error("{}: {source}", path.display())]
    Output {
        /// Where to.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A question to the builder failed.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The builder's answer can't be understood.
    #[error("the builder's answer: {0}")]
    Answer(String),
}

/// A failure that the builder reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildFailure {
    /// The builder's words, without its own call stack.
    pub message: String,
    /// The gRPC code, such as `Unknown` or `NotFound`.
    pub code: String,
    /// The digest of the step that failed, if one did; `StatusResponse` has its
    /// name and logs.
    pub vertex: Option<String>,
    /// Where in which source files it comes from, innermost first; BuildKit
    /// before 0.9 doesn't tell.
    pub sources: Vec<FailureSource>,
}

/// A place in a source file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureSource {
    /// The file's name, such as `Dockerfile`.
    pub filename: String,
    /// Its language, such as `Dockerfile`, if told.
    pub language: String,
    /// Its whole content.
    pub content: Vec<u8>,
    /// First and last lines, counted from 1, both included.
    pub ranges: Vec<(u32, u32)>,
}

impl std::fmt::Display for BuildFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(source) = self.sources.first()
            && let Some((line, _)) = source.ranges.first()
        {
            write!(f, "{}:{line}: ", source.filename)?;
        }
        f.write_str(&self.message)
    }
}

impl BuildFailure {
    pub(crate) fn new(status: &tonic::Status) -> Self {
        let mut failure = Self {
            message: strip_prefix(status.message()).to_string(),
            code: format!("{:?}", status.code()),
            ..Default::default()
        };
        let Ok(details) = rpc::Status::decode(status.details()) else {
            return failure;
        };
        for detail in details.details {
            // The details are Go structures in JSON, named by the type URL.
            let Some(kind) = detail.type_url.rsplit('/').next() else {
                continue;
            };
            match kind {
                "errdefs.Vertex+json" => {
                    if let Ok(vertex) = serde_json::from_slice::<VertexJson>(&detail.value) {
                        failure.vertex = Some(vertex.digest);
                    }
                }
                "errdefs.Source+json" => {
                    if let Ok(source) = serde_json::from_slice::<SourceJson>(&detail.value) {
                        failure.sources.push(source.into());
                    }
                }
                _ => {}
            }
        }
        failure
    }
}

/// Drops what Go's libraries put before an error, as often as they do:
/// `failed to solve: `, `rpc error: code = Unknown desc = `.
fn strip_prefix(mut message: &str) -> &str {
    loop {
        let rest = message.strip_prefix("failed to solve: ").or_else(|| {
            let (_, rest) = message
                .strip_prefix("rpc error: code = ")?
                .split_once(" desc = ")?;
            Some(rest)
        });
        match rest {
            Some(rest) => message = rest,
            None => return message,
        }
    }
}

#[derive(Deserialize)]
struct VertexJson {
    #[serde(default)]
    digest: String,
}

#[derive(Deserialize)]
struct SourceJson {
    info: Option<InfoJson>,
    #[serde(default)]
    ranges: Vec<RangeJson>,
}

#[derive(Default, Deserialize)]
struct InfoJson {
    #[serde(default)]
    filename: String,
    #[serde(default)]
    language: String,
    /// Base64, as Go writes bytes.
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
struct RangeJson {
    start: Option<PositionJson>,
    end: Option<PositionJson>,
}

#[derive(Deserialize)]
struct PositionJson {
    #[serde(default)]
    line: u32,
}

impl From<SourceJson> for FailureSource {
    fn from(json: SourceJson) -> Self {
        let info = json.info.unwrap_or_default();
        let line = |p: &Option<PositionJson>| p.as_ref().map_or(0, |p| p.line);
        Self {
            filename: info.filename,
            language: info.language,
            content: base64::engine::general_purpose::STANDARD
                .decode(info.data)
                .unwrap_or_default(),
            ranges: merged(
                json.ranges
                    .iter()
                    .map(|r| (line(&r.start), line(&r.end).max(line(&r.start))))
                    .filter(|(start, _)| *start > 0),
            ),
        }
    }
}

/// Some daemons tell each line of an instruction by itself.
fn merged(ranges: impl Iterator<Item = (u32, u32)>) -> Vec<(u32, u32)> {
    let mut merged: Vec<(u32, u32)> = Vec::new();
    for (start, end) in ranges {
        match merged.last_mut() {
            Some(last) if (last.0..=last.1 + 1).contains(&start) => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn any(kind: &str, json: &str) -> prost_types::Any {
        prost_types::Any {
            type_url: format!("github.com/moby/buildkit/{kind}"),
            value: json.as_bytes().to_vec(),
        }
    }

    #[test]
    fn details_point_at_the_step_and_the_line() {
        let details = rpc::Status {
            code: 2,
            message: String::new(),
            details: vec![
                any("stack.Stack+json", r#"{"frames":[{"Name":"main.main"}]}"#),
                any("errdefs.Vertex+json", r#"{"digest":"sha256:11"}"#),
                any(
                    "errdefs.Source+json",
                    r#"{"info":{"filename":"Dockerfile","data":"RlJPTSB4ClJVTiBmYWxzZQo="},"ranges":[{"start":{"line":2},"end":{"line":2}}]}"#,
                ),
            ],
        };
        let status = tonic::Status::with_details(
            tonic::Code::Unknown,
            "failed to solve: process \"/bin/sh -c false\" did not complete successfully: exit code: 1",
            Bytes::from(details.encode_to_vec()),
        );
        let failure = BuildFailure::new(&status);
        assert_eq!(failure.vertex.as_deref(), Some("sha256:11"));
        assert_eq!(failure.sources[0].content, b"FROM x\nRUN false\n");
        insta::assert_snapshot!(failure, @r#"Dockerfile:2: process "/bin/sh -c false" did not complete successfully: exit code: 1"#);
    }

    #[test]
    fn what_go_puts_before_an_error_is_dropped() {
        let text = "failed to solve: rpc error: code = Internal desc = rpc error: code = Unknown desc = no";
        assert_eq!(strip_prefix(text), "no");
        assert_eq!(strip_prefix("rpc error: odd"), "rpc error: odd");
    }

    #[test]
    fn neighbouring_lines_are_one_range() {
        let lines = [(3, 3), (4, 5), (9, 9)].into_iter();
        assert_eq!(merged(lines), [(3, 5), (9, 9)]);
    }

    #[test]
    fn a_status_without_details_is_its_message() {
        let failure = BuildFailure::new(&tonic::Status::unknown("no such frontend"));
        assert_eq!(failure.to_string(), "no such frontend");
    }
}
