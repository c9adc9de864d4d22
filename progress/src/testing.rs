//! A short way to write the status messages of a daemon, for the tests of this module.
//! Times are seconds after [`T0`].

use mlbuild_proto::{
    moby::buildkit::v1::{StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning},
    pb,
};
use prost_types::Timestamp;

use super::state::{Event, Nanos, State};

/// The daemon's clock when the tests' builds start.
pub(crate) const T0: i64 = 1_700_000_000;

pub(crate) fn at(seconds: f64) -> Option<Timestamp> {
    let nanos = (seconds * 1e9).round() as i64;
    Some(Timestamp {
        seconds: T0 + nanos.div_euclid(1_000_000_000),
        nanos: i32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap(),
    })
}

pub(crate) fn local(seconds: f64) -> Nanos {
    T0 * 1_000_000_000 + (seconds * 1e9).round() as Nanos
}

pub(crate) fn vertex(digest: &str, name: &str) -> Vertex {
    Vertex {
        digest: digest.into(),
        name: name.into(),
        ..Default::default()
    }
}

pub(crate) fn started(digest: &str, name: &str, start: f64) -> Vertex {
    Vertex {
        started: at(start),
        ..vertex(digest, name)
    }
}

pub(crate) fn done(digest: &str, name: &str, start: f64, end: f64) -> Vertex {
    Vertex {
        completed: at(end),
        ..started(digest, name, start)
    }
}

pub(crate) fn cached(digest: &str, name: &str, start: f64) -> Vertex {
    Vertex {
        cached: true,
        ..done(digest, name, start, start)
    }
}

pub(crate) fn failed(digest: &str, name: &str, start: f64, end: f64, error: &str) -> Vertex {
    Vertex {
        error: error.into(),
        ..done(digest, name, start, end)
    }
}

pub(crate) fn grouped(vertex: Vertex, id: &str, name: &str, weak: bool) -> Vertex {
    let group = pb::ProgressGroup {
        id: id.into(),
        name: name.into(),
        weak,
    };
    Vertex {
        progress_group: Some(group),
        ..vertex
    }
}

pub(crate) fn log(digest: &str, time: f64, text: &str) -> VertexLog {
    VertexLog {
        vertex: digest.into(),
        timestamp: at(time),
        stream: 1,
        msg: text.to_owned().into_bytes().into(),
    }
}

pub(crate) fn task(digest: &str, id: &str, current: i64, total: i64, time: f64) -> VertexStatus {
    VertexStatus {
        id: id.into(),
        vertex: digest.into(),
        current,
        total,
        timestamp: at(time),
        started: at(0.0),
        ..Default::default()
    }
}

pub(crate) fn task_done(digest: &str, id: &str, total: i64, time: f64) -> VertexStatus {
    VertexStatus {
        completed: at(time),
        ..task(digest, id, total, total, time)
    }
}

pub(crate) fn lint(digest: &str, short: &str, line: i32) -> VertexWarning {
    let position = |line| Some(pb::Position { line, character: 0 });
    VertexWarning {
        vertex: digest.into(),
        level: 1,
        short: short.to_owned().into_bytes().into(),
        detail: vec![b"JSON arguments recommended".to_vec().into()],
        url: "https://docs.docker.com/go/dockerfile/rule/json-args/".into(),
        info: Some(pb::SourceInfo {
            filename: "Dockerfile".into(),
            data: b"FROM scratch\nRUN true\nCMD sleep 1\n".to_vec().into(),
            ..Default::default()
        }),
        ranges: vec![pb::Range {
            start: position(line),
            end: position(line),
        }],
    }
}

pub(crate) fn vertices(vertexes: impl Into<Vec<Vertex>>) -> StatusResponse {
    StatusResponse {
        vertexes: vertexes.into(),
        ..Default::default()
    }
}

pub(crate) fn logs(logs: impl Into<Vec<VertexLog>>) -> StatusResponse {
    StatusResponse {
        logs: logs.into(),
        ..Default::default()
    }
}

pub(crate) fn tasks(statuses: impl Into<Vec<VertexStatus>>) -> StatusResponse {
    StatusResponse {
        statuses: statuses.into(),
        ..Default::default()
    }
}

pub(crate) fn warnings(warnings: impl Into<Vec<VertexWarning>>) -> StatusResponse {
    StatusResponse {
        warnings: warnings.into(),
        ..Default::default()
    }
}

/// Folds messages that arrive at once.
pub(crate) fn fold(messages: impl IntoIterator<Item = StatusResponse>) -> (State, Vec<Event>) {
    let mut state = State::default();
    let events = messages
        .into_iter()
        .flat_map(|m| state.apply(&m, local(0.0)))
        .collect();
    (state, events)
}

/// A small build as a daemon tells it, each message with the local time of its arrival: a context
/// that is counted, a cached base, two steps at once, one of which fails.
pub(crate) fn failing_build() -> Vec<(f64, StatusResponse)> {
    let (load, base) = (
        "[internal] load build context",
        "[1/3] FROM docker.io/library/debian:12",
    );
    let (apt, pip) = (
        "[2/3] RUN apt-get install -y git",
        "[stage-1 2/2] RUN pip install nump",
    );
    let context = "transferring context:";
    vec![
        (
            0.0,
            vertices([
                vertex("base", base),
                vertex("load", load),
                vertex("apt", apt),
            ]),
        ),
        (
            0.1,
            vertices([started("load", load, 0.1), cached("base", base, 0.1)]),
        ),
        (0.2, tasks([task("load", context, 1_000_000, 0, 0.2)])),
        (0.5, tasks([task_done("load", context, 209_000_000, 0.5)])),
        (
            0.5,
            vertices([done("load", load, 0.1, 0.5), started("apt", apt, 0.5)]),
        ),
        (
            0.6,
            logs([log("apt", 0.6, "Reading package lists...\nBuilding dep")]),
        ),
        (0.7, vertices([started("pip", pip, 0.7)])),
        (
            0.8,
            logs([
                log("apt", 0.8, "endency tree...\n"),
                log("pip", 0.8, "Collecting nump\n"),
            ]),
        ),
        (
            2.1,
            logs([log(
                "pip",
                2.0,
                "ERROR: No matching distribution found for nump\n",
            )]),
        ),
        (
            2.1,
            vertices([failed(
                "pip",
                pip,
                0.7,
                2.1,
                "process \"/bin/sh -c pip install nump\" did not complete successfully: exit code: 1",
            )]),
        ),
        (
            2.2,
            vertices([failed("apt", apt, 0.5, 2.2, "context canceled")]),
        ),
    ]
}
