//! Progress for programs: each status message as one line of JSON, in the shape that
//! `buildx build --progress=rawjson` writes (Go's `client.SolveStatus`).

use std::io::{self, Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use mlbuild_proto::{
    moby::buildkit::v1::{StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning},
    pb,
};
use prost_types::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    renderer::Renderer,
    state::{Event, Nanos, State},
};

/// See the [module](self).
pub(crate) struct RawJson<W> {
    out: W,
}

impl<W: Write> RawJson<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write + Send> Renderer for RawJson<W> {
    fn update(
        &mut self,
        _: &State,
        response: &StatusResponse,
        _: &[Event],
        _: Nanos,
    ) -> io::Result<()> {
        let status = solve_status(response);
        if status != json!({}) {
            writeln!(self.out, "{}", crate::printable::line(&status.to_string()))?;
        }
        self.out.flush()
    }

    fn note(&mut self, _: &State, _: &str, _: Nanos) -> io::Result<()> {
        // A reader of this stream expects nothing but status objects.
        Ok(())
    }
}

/// The JSON of one status message.
pub(crate) fn solve_status(response: &StatusResponse) -> Value {
    let mut object = Map::new();
    put_list(
        &mut object,
        "vertexes",
        response.vertexes.iter().map(vertex),
    );
    put_list(
        &mut object,
        "statuses",
        response.statuses.iter().map(status),
    );
    put_list(&mut object, "logs", response.logs.iter().map(log));
    put_list(
        &mut object,
        "warnings",
        response.warnings.iter().map(warning),
    );
    Value::Object(object)
}

fn vertex(vertex: &Vertex) -> Value {
    let mut object = Map::new();
    put_text(&mut object, "digest", &vertex.digest);
    put_list(
        &mut object,
        "inputs",
        vertex.inputs.iter().map(|i| json!(i)),
    );
    put_text(&mut object, "name", &vertex.name);
    put_time(&mut object, "started", vertex.started.as_ref());
    put_time(&mut object, "completed", vertex.completed.as_ref());
    if vertex.cached {
        object.insert("cached".into(), true.into());
    }
    put_text(&mut object, "error", &vertex.error);
    if let Some(group) = &vertex.progress_group {
        let mut inner = Map::new();
        put_text(&mut inner, "id", &group.id);
        put_text(&mut inner, "name", &group.name);
        if group.weak {
            inner.insert("weak".into(), true.into());
        }
        object.insert("progressGroup".into(), inner.into());
    }
    object.into()
}

fn status(status: &VertexStatus) -> Value {
    let mut object = Map::new();
    object.insert("id".into(), json!(status.id));
    put_text(&mut object, "vertex", &status.vertex);
    put_text(&mut object, "name", &status.name);
    put_number(&mut object, "total", status.total);
    object.insert("current".into(), json!(status.current));
    object.insert("timestamp".into(), time(status.timestamp.as_ref()));
    put_time(&mut object, "started", status.started.as_ref());
    put_time(&mut object, "completed", status.completed.as_ref());
    object.into()
}

fn log(log: &VertexLog) -> Value {
    let mut object = Map::new();
    put_text(&mut object, "vertex", &log.vertex);
    put_number(&mut object, "stream", log.stream);
    object.insert("data".into(), base64(&log.msg));
    object.insert("timestamp".into(), time(log.timestamp.as_ref()));
    object.into()
}

fn warning(warning: &VertexWarning) -> Value {
    let mut object = Map::new();
    put_text(&mut object, "vertex", &warning.vertex);
    put_number(&mut object, "level", warning.level);
    if !warning.short.is_empty() {
        object.insert("short".into(), base64(&warning.short));
    }
    put_list(
        &mut object,
        "detail",
        warning.detail.iter().map(|d| base64(d)),
    );
    put_text(&mut object, "url", &warning.url);
    if let Some(info) = &warning.info {
        let mut inner = Map::new();
        put_text(&mut inner, "filename", &info.filename);
        if !info.data.is_empty() {
            inner.insert("data".into(), base64(&info.data));
        }
        put_text(&mut inner, "language", &info.language);
        object.insert("sourceInfo".into(), inner.into());
    }
    put_list(&mut object, "range", warning.ranges.iter().map(range));
    object.into()
}

fn range(range: &pb::Range) -> Value {
    let position = |position: &Option<pb::Position>| {
        let position = position.unwrap_or_default();
        let mut object = Map::new();
        put_number(&mut object, "line", position.line.into());
        put_number(&mut object, "character", position.character.into());
        object
    };
    json!({ "start": position(&range.start), "end": position(&range.end) })
}

fn base64(bytes: &[u8]) -> Value {
    STANDARD.encode(bytes).into()
}

/// RFC 3339; Go's zero time where there is none.
fn time(timestamp: Option<&Timestamp>) -> Value {
    timestamp.map_or_else(|| "0001-01-01T00:00:00Z".into(), |t| t.to_string().into())
}

fn put_time(object: &mut Map<String, Value>, key: &str, timestamp: Option<&Timestamp>) {
    if timestamp.is_some() {
        object.insert(key.into(), time(timestamp));
    }
}

fn put_text(object: &mut Map<String, Value>, key: &str, text: &str) {
    if !text.is_empty() {
        object.insert(key.into(), text.into());
    }
}

fn put_number(object: &mut Map<String, Value>, key: &str, number: i64) {
    if number != 0 {
        object.insert(key.into(), number.into());
    }
}

fn put_list(object: &mut Map<String, Value>, key: &str, values: impl Iterator<Item = Value>) {
    let values: Vec<Value> = values.collect();
    if !values.is_empty() {
        object.insert(key.into(), values.into());
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{cached, failed, grouped, lint, log, task, vertex, vertices},
        *,
    };

    #[test]
    fn the_shape_is_that_of_buildx() {
        let group = grouped(
            cached("sha256:aa", "[1/2] FROM x", 0.25),
            "id",
            "group",
            true,
        );
        let response = StatusResponse {
            vertexes: vec![
                Vertex {
                    inputs: vec!["sha256:00".into()],
                    ..group
                },
                failed("sha256:bb", "RUN no", 1.0, 2.0, "exit code: 1"),
            ],
            statuses: vec![
                task("sha256:aa", "extracting", 0, 10, 0.5),
                VertexStatus::default(),
            ],
            logs: vec![log("sha256:bb", 1.5, "oh\n")],
            warnings: vec![lint("sha256:bb", "JSONArgs", 3)],
        };
        insta::assert_snapshot!(serde_json::to_string_pretty(&solve_status(&response)).unwrap(), @r#"
        {
          "logs": [
            {
              "data": "b2gK",
              "stream": 1,
              "timestamp": "2023-11-14T22:13:21.500Z",
              "vertex": "sha256:bb"
            }
          ],
          "statuses": [
            {
              "current": 0,
              "id": "extracting",
              "started": "2023-11-14T22:13:20Z",
              "timestamp": "2023-11-14T22:13:20.500Z",
              "total": 10,
              "vertex": "sha256:aa"
            },
            {
              "current": 0,
              "id": "",
              "timestamp": "0001-01-01T00:00:00Z"
            }
          ],
          "vertexes": [
            {
              "cached": true,
              "completed": "2023-11-14T22:13:20.250Z",
              "digest": "sha256:aa",
              "inputs": [
                "sha256:00"
              ],
              "name": "[1/2] FROM x",
              "progressGroup": {
                "id": "id",
                "name": "group",
                "weak": true
              },
              "started": "2023-11-14T22:13:20.250Z"
            },
            {
              "completed": "2023-11-14T22:13:22Z",
              "digest": "sha256:bb",
              "error": "exit code: 1",
              "name": "RUN no",
              "started": "2023-11-14T22:13:21Z"
            }
          ],
          "warnings": [
            {
              "detail": [
                "SlNPTiBhcmd1bWVudHMgcmVjb21tZW5kZWQ="
              ],
              "level": 1,
              "range": [
                {
                  "end": {
                    "line": 3
                  },
                  "start": {
                    "line": 3
                  }
                }
              ],
              "short": "SlNPTkFyZ3M=",
              "sourceInfo": {
                "data": "RlJPTSBzY3JhdGNoClJVTiB0cnVlCkNNRCBzbGVlcCAxCg==",
                "filename": "Dockerfile"
              },
              "url": "https://docs.docker.com/go/dockerfile/rule/json-args/",
              "vertex": "sha256:bb"
            }
          ]
        }
        "#);
    }

    #[test]
    fn an_empty_message_writes_nothing() {
        let mut out = RawJson::new(Vec::new());
        out.update(&State::default(), &StatusResponse::default(), &[], 0)
            .unwrap();
        out.update(&State::default(), &vertices([vertex("a", "a")]), &[], 0)
            .unwrap();
        assert_eq!(
            String::from_utf8(out.out).unwrap(),
            "{\"vertexes\":[{\"digest\":\"a\",\"name\":\"a\"}]}\n"
        );
    }
}
